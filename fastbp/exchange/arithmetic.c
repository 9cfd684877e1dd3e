/* What exported networks are made of: c_source.py leaves out this comment, and the functions that a
 * network does not need. Empty lines stand between functions, and not within.
 *
 * The arithmetic is that of src_cython/vmath.pxi, elementwise.pxi, losses.pxi and passes.pxi in
 * float32, operation by operation; what the functions promise stands there, too. */

#include <float.h>
#include <stddef.h>
#include <stdint.h>

/* A product and a sum become one operation only where the source says so. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif

#if defined(__FAST_MATH__)
#error "compile without -ffast-math and -Ofast: results would be others, and NaN be lost"
#endif
#if FLT_EVAL_METHOD != 0 || FLT_MANT_DIG != 24 || FLT_MAX_EXP != 128 || DBL_MANT_DIG != 53
#error "needs IEEE arithmetic in which a float has 32 bits and a double 64 (on i386: -mfpmath=sse)"
#endif

union number {
    float value;
    uint32_t bits;
};

/* a b + c, rounded once. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__FP_FAST_FMAF)
#define fused(a, b, c) __builtin_fmaf(a, b, c)
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

/* The whole number nearest to x / ln 2, plus SHIFTER. */
#define SHIFTER 0x1.8p+23f
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
    x = x < -104.0f ? -104.0f : x;
    x = 89.0f < x ? 89.0f : x;
    n = nearest_shifted(x) - SHIFTER;
    return exp_scaled(less_ln2(x, n), n);
}

/* exp(-x**2 / 2). */
static float gaussian(float x)
{
    const float b = absolute(x), a = 15.0f < b ? 15.0f : b;
    const float h = a * (-0.5f * a), lost = fused(a, 0.5f * a, h), n = nearest_shifted(h) - SHIFTER;
    return exp_scaled(less_ln2(h, n) - lost, n);
}

/* e**x - 1 for x <= 0. */
static float expm1_nonpositive(float x)
{
    float t, n, near, r, lost, p, s;
    x = x < -18.0f ? -18.0f : x;
    t = nearest_shifted(x);
    n = t - SHIFTER;
    near = fused(n, -0x1.62e4p-1f, x);
    r = fused(n, -0x1.7f7d1cp-20f, near);
    lost = fused(n, -0x1.7f7d1cp-20f, near - r);
    p = r + fused(r * r, exp_fraction(r), lost);
    s = power_of_2(t);
    return fused(s, p, s - 1.0f);
}

/* ln(1 + u) for 0 <= u <= 1, as n ln 2 + ln(1 + f). */
static float log1p_unit(float u)
{
    const float n = u <= 0.5f ? 0.0f : 1.0f, f = u <= 0.5f ? u : 0.5f * u - 0.5f;
    const float s = f / (2.0f + f), z = s * s;
    float p = fused(z, 0x1.e6587ap-3f, 0x1.242cep-2f), high, sum, low;
    p = fused(p, z, 0x1.999a6ap-2f);
    p = fused(p, z, 0x1.555556p-1f);
    high = 0x1.62e4p-1f * n;
    sum = high + f;
    low = fused(n, 0x1.7f7d1cp-20f, (high - sum) + f);
    return sum + (low - s * (f - z * p));
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
    tail = gaussian(x) * (t * p);
    return x < 0.0f ? tail : 1.0f - tail;
}

static float sigmoid(float s)
{
    const float e = exponential(-absolute(s));
    return (s < 0.0f ? e : 1.0f) / (1.0f + e);
}

static float hyperbolic_tangent(float s)
{
    const float m = expm1_nonpositive(-2.0f * absolute(s));
    return with_sign(m / (2.0f + m), s);
}

static float relu(float s)
{
    return s <= 0.0f ? 0.0f : s;
}

static float leaky_relu(float s)
{
    return s <= 0.0f ? 0x1.47ae14p-7f * s : s;
}

static float elu(float s)
{
    return s <= 0.0f ? expm1_nonpositive(-absolute(s)) : s;
}

static float softplus(float s)
{
    return (s < 0.0f ? 0.0f : s) + log1p_unit(exponential(-absolute(s)));
}

static float silu(float s)
{
    return s * sigmoid(s);
}

static float gelu(float s)
{
    return s * normal_cdf(s);
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
        top = top < h[i] ? h[i] : top;
    for (i = 0; i < n; i++) {
        h[i] = exponential(h[i] - top);
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
