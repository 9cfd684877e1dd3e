# The names of simd.h, so that Cython code reads like the Numba code.
#
# To Cython a vec is some floating-point number: it passes + - * / and unary - on to the C
# compiler as they stand. A scalar that meets a vec must have its precision: <real>0.5 * v.

cdef extern from "simd.h" nogil:
    ctypedef double real
    ctypedef double vec
    ctypedef double wide

    const int FBP_SINGLE  # 1 for float32, 0 for float64; a compile-time constant
    const int FBP_HAS_FMA
    const Py_ssize_t FBP_LANES

    vec load "fbp_load"(const real *p, Py_ssize_t i)
    void store "fbp_store"(real *p, Py_ssize_t i, vec v)
    vec splat "fbp_splat"(real x)
    real lane "fbp_lane"(vec v, Py_ssize_t i)
    vec with_lane "fbp_with_lane"(vec v, Py_ssize_t i, real x)
    wide low_half "fbp_low_half"(vec v)
    wide high_half "fbp_high_half"(vec v)
    vec narrow "fbp_narrow"(wide low, wide high)
    vec fma "fbp_fma"(vec a, vec b, vec c)
    vec sqrt "fbp_sqrt"(vec v)
    vec absolute "fbp_absolute"(vec v)
    vec copysign "fbp_copysign"(vec v, vec sign)
    vec select_lt "fbp_select_lt"(vec a, vec b, vec x, vec y)
    vec select_le "fbp_select_le"(vec a, vec b, vec x, vec y)
    vec keep_first "fbp_keep_first"(vec v, Py_ssize_t count, real fill)
    real sum_lanes "fbp_sum_lanes"(vec v)
    real max_lanes "fbp_max_lanes"(vec v)
    vec shifter "fbp_shifter"()
    vec pow2 "fbp_pow2"(vec t)
    vec log_exponent "fbp_log_exponent"(vec v)
    vec log_mantissa "fbp_log_mantissa"(vec v)
    vec reciprocal_estimate "fbp_reciprocal_estimate"(vec v)
    void prefetch "fbp_prefetch"(const real *p, Py_ssize_t i)
