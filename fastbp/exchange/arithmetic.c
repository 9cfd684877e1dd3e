/* What exported networks are made of, with derivatives.c: c_text.py leaves out this comment, and the
 * functions that a network does not need, and puts the network's name before the names that are
 * defined here. Empty lines stand between functions, and not within. The last lines are the last
 * ones of a source.
 *
 * The arithmetic is that of src_cython/vmath.pxi, elementwise.pxi, losses.pxi and passes.pxi in
 * float32, operation by operation; what the functions promise stands there, too. */

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#error "this is C: compile it with a C compiler; only the header is for C++, too"
#endif
#if defined(__FAST_MATH__) || defined(_M_FP_FAST) || defined(__ASSOCIATIVE_MATH__) \
    || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__) \
    || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "compile without -ffast-math, -Ofast, and parts of it (-funsafe-math-optimizations,\
 -fassociative-math, -freciprocal-math, -fno-signed-zeros, -ffinite-math-only): results would change"
#endif
/* Other values than these have a float or a double computed with more digits than it has. */
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16 && FLT_EVAL_METHOD != 32
#error "FLT_EVAL_METHOD must be 0, 16 or 32: on x86 compile with -msse2 -mfpmath=sse,\
 with GCC elsewhere with -fexcess-precision=fast, with Clang without -ffp-eval-method and -ffast-math"
#endif
#if FLT_MANT_DIG != 24 || FLT_MAX_EXP != 128 || DBL_MANT_DIG != 53 || DBL_MAX_EXP != 1024
#error "needs IEEE arithmetic in which a float has 32 bits and a double 64"
#endif
#if defined(__clang__) && defined(__arm__) && defined(__ARM_NEON)
#error "Clang would compute with NEON, which makes 0 of subnormal numbers: compile with -mfpu=vfpv4-d16\
 or another unit without NEON, or with GCC"
#endif

/* Whatever the options, operations are those of the source, in its order: a product and a sum become
 * one only where the source says so. (Clang before 15 does not apply this to ?:, so none is here.) */
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wignored-pragmas"
#pragma float_control(push)
#pragma float_control(precise, on)
/* For the processors for which it has no float_control. */
#pragma clang fp reassociate(off) contract(off)
#if __clang_major__ >= 18
#pragma clang fp reciprocal(off)
#endif
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off", "no-fast-math")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#else
#pragma STDC FP_CONTRACT OFF
#endif

union number {
    float value;
    uint32_t bits;
};

/* The same number, but Clang cannot see that it is a product: with -ffp-contract=fast, it makes one
 * operation of a product and a sum against all pragmas. */
#if defined(__clang__)
__attribute__((unused))
static float opaque(float x)
{
    union number u;
    uint32_t nothing = 0;
    __asm__("" : "+r"(nothing));
    u.value = x;
    u.bits ^= nothing;
    return u.value;
}
#else
#define opaque(x) (x)
#endif

/* a b + c, rounded once. (The pragmas do not reach this call in Clang before 18, nor where it may
 * have no float_control.) */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF)
#if defined(__clang__) \
    && (__clang_major__ < 18 || !(defined(__x86_64__) || defined(__i386__) || defined(__aarch64__)))
#define fused(a, b, c) opaque(__builtin_fmaf(opaque(a), b, opaque(c)))
#else
#define fused(a, b, c) __builtin_fmaf(a, b, c)
#endif
#else
static float fused(float a, float b, float c)
{
    union {
        double value;
        uint64_t bits;
    } sum, error;
    const double product = (double)a * (double)b; /* exact */
    double rest;
    uint64_t inexact, too_large;
    sum.value = product + (double)c;
    /* What the sum lost (Knuth). */
    rest = sum.value - product;
    error.value = (product - (sum.value - rest)) + ((double)c - rest);
    /* The sum rounded to odd, from where a float is rounded as from the exact sum (Boldo and
     * Melquiond, IEEE Trans. Comput. 57, 2008). No branches: they would be hard to predict. */
    inexact = (error.value < 0.0) | (error.value > 0.0); /* neither with NaN */
    too_large = (error.bits ^ sum.bits) >> 63;
    sum.bits = (sum.bits - (inexact & too_large)) | inexact;
    return (float)sum.value;
}
#endif

static float absolute(float x)
{
    union number u;
    u.value = x;
    u.bits &= UINT32_C(0x7fffffff);
    return u.value;
}

/* The magnitude of x with the sign of y. */
static float with_sign(float x, float y)
{
    union number u, v;
    u.value = x;
    v.value = y;
    u.bits = (u.bits & UINT32_C(0x7fffffff)) | (v.bits & UINT32_C(0x80000000));
    return u.value;
}

/* 2**n for t = n + SHIFTER, n whole. */
static float power_of_2(float t)
{
    union number u;
    u.value = t;
    u.bits = (u.bits + 127) << 23;
    return u.value;
}

/* Adding it to a small number leaves a whole number in the last bits. */
#define SHIFTER 0x1.8p+23f

/* The whole number nearest to x / ln 2, plus SHIFTER. */
static float nearest_shifted(float x)
{
    return fused(x, 0x1.715476p+0f, SHIFTER);
}

/* x - n ln 2. */
static float less_ln2(float x, float n)
{
    return fused(n, -0x1.7f7d1cp-20f, fused(n, -0x1.62e4p-1f, x));
}

/* (e**r - 1 - r) / r**2 for |r| <= ln(2)/2. */
static float exp_fraction(float r)
{
    float p = fused(r, 0x1.a1256cp-13f, 0x1.6d43bp-10f);
    p = fused(p, r, 0x1.1110ep-7f);
    p = fused(p, r, 0x1.5554e8p-5f);
    p = fused(p, r, 0x1.555556p-3f);
    return fused(p, r, 0.5f);
}

/* 2**n e**r for |r| <= ln(2)/2, rounded only once where the result is subnormal. */
static float exp_scaled(float r, float n)
{
    const float p = fused(fused(exp_fraction(r), r, 1.0f), r, 1.0f);
    const float t = fused(n, 0.5f, SHIFTER), first = t - SHIFTER, second = (n - first) + SHIFTER;
    return (p * power_of_2(t)) * power_of_2(second);
}

static float exponential(float x)
{
    float n;
    if (x < -104.0f)
        x = -104.0f;
    if (89.0f < x)
        x = 89.0f;
    n = nearest_shifted(x) - SHIFTER;
    return exp_scaled(less_ln2(x, n), n);
}

/* exp(-x**2 / 2). */
static float gaussian(float x)
{
    float a = absolute(x), h, lost, n;
    if (15.0f < a)
        a = 15.0f;
    h = a * (-0.5f * a);
    lost = fused(a, 0.5f * a, h);
    n = nearest_shifted(h) - SHIFTER;
    return exp_scaled(less_ln2(h, n) - lost, n);
}

/* e**x - 1 for x <= 0. */
static float expm1_nonpositive(float x)
{
    float t, n, reduced, r, lost, p, s;
    if (x < -18.0f)
        x = -18.0f;
    t = nearest_shifted(x);
    n = t - SHIFTER;
    reduced = fused(n, -0x1.62e4p-1f, x);
    r = fused(n, -0x1.7f7d1cp-20f, reduced);
    lost = fused(n, -0x1.7f7d1cp-20f, reduced - r);
    p = r + fused(r * r, exp_fraction(r), lost);
    s = power_of_2(t);
    return fused(s, p, s - 1.0f);
}

/* ln(1 + u) for 0 <= u <= 1, as n ln 2 + ln(1 + f). */
static float log1p_unit(float u)
{
    float n = 0.0f, f = u, s, z, p, high, sum, low;
    if (!(u <= 0.5f)) {
        n = 1.0f;
        f = 0.5f * u - 0.5f;
    }
    s = f / (2.0f + f);
    z = s * s;
    p = fused(z, 0x1.e6587ap-3f, 0x1.242cep-2f);
    p = fused(p, z, 0x1.999a6ap-2f);
    p = fused(p, z, 0x1.555556p-1f);
    high = 0x1.62e4p-1f * n;
    sum = high + f;
    low = fused(n, 0x1.7f7d1cp-20f, (high - sum) + f);
    return sum + (low - opaque(s * (f - opaque(z * p))));
}

/* The normal distribution function. */
static float normal_cdf(float x)
{
    const float t = 1.0f / (absolute(x) + 2.5f), w = fused(t, -5.0f, 1.0f);
    float p = fused(w, -0x1.18ad28p-15f, -0x1.aafafp-13f), tail;
    p = fused(p, w, -0x1.251d32p-12f);
    p = fused(p, w, 0x1.83d96cp-11f);
    p = fused(p, w, 0x1.499964p-9f);
    p = fused(p, w, -0x1.a991f6p-10f);
    p = fused(p, w, -0x1.0c751ap-6f);
    p = fused(p, w, 0x1.2ec126p-7f);
    p = fused(p, w, 0x1.0e4f2ep-3f);
    p = fused(p, w, -0x1.bc19ccp-2f);
    p = fused(p, w, 0x1.69cee6p-1f);
    tail = opaque(gaussian(x) * (t * p));
    if (x < 0.0f)
        return tail;
    return 1.0f - tail;
}

static float sigmoid(float s)
{
    const float e = exponential(-absolute(s));
    float above = 1.0f;
    if (s < 0.0f)
        above = e;
    return above / (1.0f + e);
}

static float hyperbolic(float s)
{
    const float m = expm1_nonpositive(-2.0f * absolute(s));
    return with_sign(m / (2.0f + m), s);
}

static float relu(float s)
{
    if (s <= 0.0f)
        return 0.0f;
    return s;
}

static float leaky(float s)
{
    if (s <= 0.0f)
        return 0x1.47ae14p-7f * s;
    return s;
}

static float elu(float s)
{
    const float below = expm1_nonpositive(-absolute(s));
    if (s <= 0.0f)
        return below;
    return s;
}

static float softplus(float s)
{
    const float curve = log1p_unit(exponential(-absolute(s)));
    if (s < 0.0f)
        s = 0.0f;
    return s + curve;
}

static float silu(float s)
{
    return s * sigmoid(s);
}

static float gelu(float s)
{
    return s * normal_cdf(s);
}

/* pi/2, and its first 35 bits and the rest. Integers, since compilers may be told to take constants
 * with a point for float. */
#define HALF_PI ((double)INT64_C(884279719003555) * 0x1p-49)
#define HALF_PI_HIGH ((double)INT64_C(26986075409) * 0x1p-34)
#define HALF_PI_LOW ((double)INT64_C(387361616177) * 0x1p-77)

/* n modulo 4, and as the result r, of x = n pi/2 + r for a large float x: see trigonometry.py. */
static double far_quadrant(double x, double *n)
{
    static const double digits[16] = {
        0, 0, 0, 10680707, 7228996, 1387004, 2578385, 16069853, 12639074, 9804092, 4427841,
        16666979, 11263675, 12935607, 2387514, 4345298,
    };
    const double base = 0x1p+24, inverse = 0x1p-24;
    double rest = x, digit_3, digit_2, digit_1, first = 0.0, carry = 0.0, up = 0.0, down = 0.0, r;
    int q = 0, i;
    if (x < 0.0)
        rest = -x;
    /* A whole number of four digits. */
    for (; rest < 0x1p+52; q--)
        rest *= base;
    for (; rest >= 0x1p+76; q++)
        rest *= inverse;
    digit_3 = (double)(int64_t)(rest * 0x1p-72);
    rest -= digit_3 * 0x1p+72;
    digit_2 = (double)(int64_t)(rest * 0x1p-48);
    rest -= digit_2 * 0x1p+48;
    digit_1 = (double)(int64_t)(rest * inverse);
    rest -= digit_1 * base;
    for (i = 0; i < 8; i++) {
        const double *of = digits + (q + 9 - i);
        first = rest * of[0] + digit_1 * of[1];
        first = first + digit_2 * of[2] + digit_3 * of[3] + carry;
        if (i < 7) {
            carry = (double)(int64_t)(first * inverse);
            first = first - carry * base;
            up = (up + first) * inverse;
            down = (down + (base - 1.0 - first)) * inverse;
        }
    }
    *n = first;
    r = up * HALF_PI;
    if (up > 0.5) {
        *n += 1.0;
        r = -down * HALF_PI;
    }
    *n -= 4.0 * (double)(int64_t)(0.25 * *n);
    if (x < 0.0) {
        *n = -*n;
        return -r;
    }
    return r;
}

/* n modulo 4, from -2 to 2, and as the result r, of s = n pi/2 + r for a finite s. */
static float quarter(float s, float *n_of_s)
{
    float n = fused(s, 0x1.45f306p-1f, SHIFTER) - SHIFTER, r;
    if (20000.0f < absolute(s)) {
        double whole;
        r = (float)far_quadrant(s, &whole);
        n = (float)whole;
    } else {
        r = (float)(((double)s - HALF_PI_HIGH * (double)n) - HALF_PI_LOW * (double)n);
    }
    *n_of_s = n - 4.0f * (fused(n, 0.25f, SHIFTER) - SHIFTER);
    return r;
}

/* sin r for |r| <= pi/4 and z = r**2. */
static float sin_near(float r, float z)
{
    const float p = fused(fused(z, -0x1.9ac856p-13f, 0x1.110c26p-7f), z, -0x1.555552p-3f);
    return fused(r * z, p, r);
}

/* cos r for |r| <= pi/4 and z = r**2. */
static float cos_near(float z)
{
    const float p = fused(fused(z, 0x1.9bd786p-16f, -0x1.6c12dp-10f), z, 0x1.555554p-5f);
    const float half = 0.5f * z, most = 1.0f - half;
    return most + fused(opaque(z * z), p, (1.0f - most) - half);
}

static float sine(float s)
{
    float n, r, z, a;
    if (!(absolute(s) <= FLT_MAX))
        return s - s;
    r = quarter(s, &n);
    z = opaque(r * r);
    a = absolute(n);
    if (absolute(a - 1.0f) < 0.5f)
        return n * cos_near(z);
    return (1.0f - a) * sin_near(r, z);
}

static float hard_tanh(float s)
{
    if (s < -1.0f)
        return -1.0f;
    if (1.0f < s)
        return 1.0f;
    return s;
}

static float selu(float s)
{
    const float below = expm1_nonpositive(-absolute(s));
    if (s <= 0.0f)
        return 0x1.c212ccp+0f * below;
    return 0x1.0cfabep+0f * s;
}

/* tanh(ln(1 + exp(s))). */
static float softplus_tanh(float s)
{
    const float u = exponential(-absolute(s));
    float above, rest;
    if (s < 0.0f) {
        above = opaque(u * (u + 2.0f));
        rest = 2.0f;
    } else {
        above = 1.0f + 2.0f * u;
        rest = opaque(2.0f * u * u);
    }
    return above / (above + rest);
}

static float mish(float s)
{
    return s * softplus_tanh(s);
}

/* The sum of 16 numbers by halves: the i-th with that half of them away, until one is left. */
static float sum_of_lanes(float *lanes)
{
    size_t half, i;
    for (half = 8; half > 0; half /= 2)
        for (i = 0; i < half; i++)
            lanes[i] += lanes[half + i];
    return lanes[0];
}

/* exp(h) over the sum of that, with the largest number subtracted from all before. */
static void softmax(float *h, size_t n)
{
    float top = h[0], lanes[16] = {0.0f}, factor;
    size_t i;
    for (i = 1; i < n; i++)
        if (top < h[i])
            top = h[i];
    for (i = 0; i < n; i++) {
        h[i] = opaque(exponential(h[i] - top));
        lanes[i % 16] += h[i];
    }
    factor = 1.0f / sum_of_lanes(lanes);
    for (i = 0; i < n; i++)
        h[i] *= factor;
}

/* s = h W + b: each s[j] is one chain of sums. */
static void layer_float32(const float *W, const float *b, const float *restrict h,
                          float *restrict s, size_t n_in, size_t n_out)
{
    size_t i, j;
    for (j = 0; j < n_out; j++)
        s[j] = b[j];
    for (i = 0; i < n_in; i++, W += n_out)
        for (j = 0; j < n_out; j++)
            s[j] = fused(h[i], W[j], s[j]);
}

/* s = h W + b, where the weights are W times their unit's step: each s[j] is one chain of sums. */
static void layer_int8(const int8_t *W, const float *step, const float *b, const float *restrict h,
                       float *restrict s, size_t n_in, size_t n_out)
{
    size_t i, j;
    for (j = 0; j < n_out; j++)
        s[j] = b[j];
    for (i = 0; i < n_in; i++, W += n_out)
        for (j = 0; j < n_out; j++)
            s[j] = fused(h[i], step[j] * (float)W[j], s[j]);
}

/* s = h W + b for a layer of one unit: 16 chains of sums. */
static void unit_float32(const float *W, const float *b, const float *h, float *s, size_t n_in)
{
    float lanes[16] = {0.0f};
    size_t i;
    for (i = 0; i < n_in; i++)
        lanes[i % 16] = fused(h[i], W[i], lanes[i % 16]);
    *s = sum_of_lanes(lanes) + *b;
}

/* s = h W + b for a layer of one unit, whose weights are W times the step: 16 chains of sums. */
static void unit_int8(const int8_t *W, const float *step, const float *b, const float *h, float *s,
                      size_t n_in)
{
    float lanes[16] = {0.0f};
    size_t i;
    for (i = 0; i < n_in; i++)
        lanes[i % 16] = fused(h[i], *step * (float)W[i], lanes[i % 16]);
    *s = sum_of_lanes(lanes) + *b;
}

/* z = (x - center) / scale, where the center is a float and a small rest. */
static void scale_inputs(const float *x, const float *center, const float *rest,
                         const float *scale, float *z, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        z[i] = ((x[i] - center[i]) - rest[i]) / scale[i];
}

/* Numbers between low and high; others become the nearer one of these. */
static void clip_inputs(float *z, float low, float high, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        if (z[i] < low)
            z[i] = low;
        if (high < z[i])
            z[i] = high;
    }
}

/* h scale + center, in place. */
static void unscale_outputs(float *h, const float *center, const float *scale, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++)
        h[i] = opaque(h[i] * scale[i]) + center[i];
}

#if defined(__clang__)
#pragma float_control(pop)
#pragma clang diagnostic pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
