# The names of tile.h, bfloat16.h, amx.h, team.h, denormals.h and check.h.

cdef extern from "check.h" nogil:
    const int FBP_CHECKED  # 1 in the debug build
    void forget "fbp_forget"()
    void register "fbp_register"(const char *name, const void *p, Py_ssize_t count)
    void check "fbp_check"(const void *p, Py_ssize_t count)

cdef extern from "tile.h" nogil:
    void product "fbp_product"(
        const real *A, Py_ssize_t row_step, Py_ssize_t k_step, const real *B, Py_ssize_t ldb,
        const real *init, Py_ssize_t ldi, real *C, Py_ssize_t ldc,
        Py_ssize_t M, Py_ssize_t J, Py_ssize_t K)
    void transpose_block "fbp_transpose_block"(
        const real *from_, Py_ssize_t ldf, Py_ssize_t rows,
        real *to, Py_ssize_t ldt, Py_ssize_t columns)

cdef extern from "amx.h" nogil:
    const int FBP_HAS_TILES
    bint rarely "FBP_UNLIKELY"(bint x)
    int tiles_are_on "fbp_tiles_are_on"
    void bfloat16_product "fbp_bfloat16_product"(
        const real *A, Py_ssize_t row_step, Py_ssize_t k_step, const real *B, Py_ssize_t ldb,
        const real *init, Py_ssize_t ldi, real *C, Py_ssize_t ldc,
        Py_ssize_t M, Py_ssize_t J, Py_ssize_t K)
    void unchecked_product "fbp_unchecked_product"(
        const real *A, Py_ssize_t row_step, Py_ssize_t k_step, const real *B, Py_ssize_t ldb,
        const real *init, Py_ssize_t ldi, real *C, Py_ssize_t ldc,
        Py_ssize_t M, Py_ssize_t J, Py_ssize_t K)
    real rounded_times "fbp_rounded_times"(real a, real b)

from libc.stdint cimport int64_t, uint64_t

cdef extern from "team.h" nogil:
    enum:
        STOPPED "FBP_STOPPED"
    void barrier "fbp_barrier"(int64_t *shared, Py_ssize_t threads)

cdef extern from "denormals.h" nogil:
    uint64_t control "fbp_control"()
    uint64_t flush "fbp_flush"()
    void set_control "fbp_set_control"(uint64_t word)
    void hide "fbp_hide"(void *pointer)
