/* 64-byte vectors for the Cython kernels: the few instructions that they use.
 *
 * A `vec` holds 64 bytes of one precision: 16 floats, or 8 doubles where FASTBP_DOUBLE is
 * defined, whatever the processor's own register width. The compiler maps it on one AVX-512
 * register, two AVX2 or four SSE2 or NEON registers. Only fbp_sum_lanes and fbp_max_lanes combine
 * lanes, in a fixed order, and every fused multiply-add is written out. So results do not depend
 * on the machine's vector width.
 *
 * + - * / and unary - on vec are the compiler's own (GCC and Clang vector extensions).
 * Compile with -ffp-contract=off and never with -ffast-math.
 *
 * The twin of this file is fastbp/backends/numba_/simd.py.
 */
#ifndef FASTBP_SIMD_H
#define FASTBP_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__FAST_MATH__)
#error "fastbp needs IEEE arithmetic: compile without -ffast-math and -Ofast"
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#else
#error "fastbp's kernels are written for x86-64 and arm64"
#endif

#if defined(FASTBP_DOUBLE)
typedef double real;
typedef int64_t fbp_int;
#define FBP_SINGLE 0
#define FBP_MANTISSA_BITS 52
#define FBP_BIAS 1023
#define FBP_SHIFTER 0x1.8p52
#define FBP_ROOT_HALF_BITS INT64_C(0x3fe6a09e667f3bcd)
#define FBP_RECIPROCAL_BITS INT64_C(0x7fde623822fc16e6)
#else
typedef float real;
typedef int32_t fbp_int;
#define FBP_SINGLE 1
#define FBP_MANTISSA_BITS 23
#define FBP_BIAS 127
#define FBP_SHIFTER 0x1.8p23f
#define FBP_ROOT_HALF_BITS INT32_C(0x3f3504f3)
#define FBP_RECIPROCAL_BITS INT32_C(0x7ef311c7)
#endif

#define FBP_LANES ((ptrdiff_t)(64 / sizeof(real)))
#define FBP_INLINE static inline __attribute__((always_inline))

/* GCC warns that 64-byte arguments are passed in another way without AVX-512. Everything here is
 * inlined, so none is passed. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

typedef real vec __attribute__((vector_size(64)));
typedef fbp_int ivec __attribute__((vector_size(64)));

/* The layout of a vec in the processor's registers, and the instructions that differ between
 * processors. GCC would keep a vec wider than a register in memory; the union below, with loads
 * and stores in parts, prevents that. */

#if defined(__AVX512F__)

#define FBP_PARTS 1
#define FBP_HAS_FMA 1
#if FBP_SINGLE
typedef __m512 fbp_part;
#define FBP_OP(name) _mm512_##name##_ps
#define FBP_COMPARE(a, b, how) _mm512_cmp_ps_mask(a, b, how)
#define FBP_PERMUTE(a, index, b) (vec)_mm512_permutex2var_ps(a, (__m512i)(index), b)
#else
typedef __m512d fbp_part;
#define FBP_OP(name) _mm512_##name##_pd
#define FBP_COMPARE(a, b, how) _mm512_cmp_pd_mask(a, b, how)
#define FBP_PERMUTE(a, index, b) (vec)_mm512_permutex2var_pd(a, (__m512i)(index), b)
#endif
#define FBP_PART_FMA(a, b, c) FBP_OP(fmadd)(a, b, c)
#define FBP_PART_SQRT(a) FBP_OP(sqrt)(a)
#define FBP_PART_LT(a, b, x, y) FBP_OP(mask_blend)(FBP_COMPARE(a, b, _CMP_LT_OQ), y, x)
#define FBP_PART_LE(a, b, x, y) FBP_OP(mask_blend)(FBP_COMPARE(a, b, _CMP_LE_OQ), y, x)

#elif defined(__AVX2__) && defined(__FMA__)

#define FBP_PARTS 2
#define FBP_HAS_FMA 1
#if FBP_SINGLE
typedef __m256 fbp_part;
#define FBP_OP(name) _mm256_##name##_ps
#else
typedef __m256d fbp_part;
#define FBP_OP(name) _mm256_##name##_pd
#endif
#define FBP_PART_FMA(a, b, c) FBP_OP(fmadd)(a, b, c)
#define FBP_PART_SQRT(a) FBP_OP(sqrt)(a)
#define FBP_PART_LT(a, b, x, y) FBP_OP(blendv)(y, x, FBP_OP(cmp)(a, b, _CMP_LT_OQ))
#define FBP_PART_LE(a, b, x, y) FBP_OP(blendv)(y, x, FBP_OP(cmp)(a, b, _CMP_LE_OQ))

#elif defined(__aarch64__)

#define FBP_PARTS 4
#define FBP_HAS_FMA 1
#if FBP_SINGLE
typedef float32x4_t fbp_part;
#define FBP_OP(name) name##_f32
#else
typedef float64x2_t fbp_part;
#define FBP_OP(name) name##_f64
#endif
#define FBP_PART_FMA(a, b, c) FBP_OP(vfmaq)(c, a, b)
#define FBP_PART_SQRT(a) FBP_OP(vsqrtq)(a)
#define FBP_PART_LT(a, b, x, y) FBP_OP(vbslq)(FBP_OP(vcltq)(a, b), x, y)
#define FBP_PART_LE(a, b, x, y) FBP_OP(vbslq)(FBP_OP(vcleq)(a, b), x, y)

#else

/* The first x86-64 processors have no fma. Here it rounds twice, so results differ from others. */
#define FBP_PARTS 4
#define FBP_HAS_FMA 0
#if FBP_SINGLE
typedef __m128 fbp_part;
#define FBP_OP(name) _mm_##name##_ps
#else
typedef __m128d fbp_part;
#define FBP_OP(name) _mm_##name##_pd
#endif
#define FBP_CHOOSE(m, x, y) FBP_OP(or)(FBP_OP(and)(m, x), FBP_OP(andnot)(m, y))
#define FBP_PART_FMA(a, b, c) FBP_OP(add)(FBP_OP(mul)(a, b), c)
#define FBP_PART_SQRT(a) FBP_OP(sqrt)(a)
#define FBP_PART_LT(a, b, x, y) FBP_CHOOSE(FBP_OP(cmplt)(a, b), x, y)
#define FBP_PART_LE(a, b, x, y) FBP_CHOOSE(FBP_OP(cmple)(a, b), x, y)

#endif

typedef union { vec whole; fbp_part part[FBP_PARTS]; } fbp_parts;

#if FBP_PARTS == 1
#define FBP_EACH_PART(DO) DO(0)
#elif FBP_PARTS == 2
#define FBP_EACH_PART(DO) DO(0) DO(1)
#else
#define FBP_EACH_PART(DO) DO(0) DO(1) DO(2) DO(3)
#endif

/* a * b + c, rounded once. */
FBP_INLINE vec fbp_fma(vec a, vec b, vec c)
{
    fbp_parts pa = {a}, pb = {b}, pc = {c}, r;
#define FBP_DO(k) r.part[k] = FBP_PART_FMA(pa.part[k], pb.part[k], pc.part[k]);
    FBP_EACH_PART(FBP_DO)
#undef FBP_DO
    return r.whole;
}

/* The square root, correctly rounded. */
FBP_INLINE vec fbp_sqrt(vec v)
{
    fbp_parts pv = {v}, r;
#define FBP_DO(k) r.part[k] = FBP_PART_SQRT(pv.part[k]);
    FBP_EACH_PART(FBP_DO)
#undef FBP_DO
    return r.whole;
}

/* x where a < b, else y; y where a or b is NaN. */
FBP_INLINE vec fbp_select_lt(vec a, vec b, vec x, vec y)
{
    fbp_parts pa = {a}, pb = {b}, px = {x}, py = {y}, r;
#define FBP_DO(k) r.part[k] = FBP_PART_LT(pa.part[k], pb.part[k], px.part[k], py.part[k]);
    FBP_EACH_PART(FBP_DO)
#undef FBP_DO
    return r.whole;
}

/* x where a <= b, else y; y where a or b is NaN. */
FBP_INLINE vec fbp_select_le(vec a, vec b, vec x, vec y)
{
    fbp_parts pa = {a}, pb = {b}, px = {x}, py = {y}, r;
#define FBP_DO(k) r.part[k] = FBP_PART_LE(pa.part[k], pb.part[k], px.part[k], py.part[k]);
    FBP_EACH_PART(FBP_DO)
#undef FBP_DO
    return r.whole;
}

/* A part at an address that need not be aligned. */
typedef struct { fbp_part part; } __attribute__((packed, may_alias)) fbp_loose;

/* The vector p[i : i + FBP_LANES]. */
FBP_INLINE vec fbp_load(const real *p, ptrdiff_t i)
{
    const fbp_loose *from = (const fbp_loose *)(p + i);
    fbp_parts r;
#define FBP_DO(k) r.part[k] = from[k].part;
    FBP_EACH_PART(FBP_DO)
#undef FBP_DO
    return r.whole;
}

/* Write p[i : i + FBP_LANES] = v. */
FBP_INLINE void fbp_store(real *p, ptrdiff_t i, vec v)
{
    fbp_loose *to = (fbp_loose *)(p + i);
    fbp_parts pv = {v};
#define FBP_DO(k) to[k].part = pv.part[k];
    FBP_EACH_PART(FBP_DO)
#undef FBP_DO
}

/* The rest is the same on every processor. */

/* A vector with x in every lane. (x - 0, since x + 0 would lose the sign of a zero.) */
FBP_INLINE vec fbp_splat(real x) { return x - (vec){0}; }

/* The scalar in lane i. */
FBP_INLINE real fbp_lane(vec v, ptrdiff_t i) { return v[i]; }

/* The vector with x in lane i. */
FBP_INLINE vec fbp_with_lane(vec v, ptrdiff_t i, real x)
{
    v[i] = x;
    return v;
}

/* The absolute value. */
FBP_INLINE vec fbp_absolute(vec v)
{
    return (vec)((ivec)v & ~(ivec)fbp_splat((real)-0.0));
}

/* The magnitude of v with the sign of `sign`. */
FBP_INLINE vec fbp_copysign(vec v, vec sign)
{
    ivec m = (ivec)fbp_splat((real)-0.0);
    return (vec)(((ivec)v & ~m) | ((ivec)sign & m));
}

/* v in the lanes below `count`, the scalar `fill` in the others. */
FBP_INLINE vec fbp_keep_first(vec v, ptrdiff_t count, real fill)
{
#if FBP_SINGLE
    const vec slots = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#else
    const vec slots = {0, 1, 2, 3, 4, 5, 6, 7};
#endif
    return fbp_select_lt(slots, fbp_splat((real)count), v, fbp_splat(fill));
}

/* Half and quarter vectors of reals and of integers, for the two folds below. */
typedef real fbp_v32 __attribute__((vector_size(32)));
typedef real fbp_v16 __attribute__((vector_size(16)));
typedef fbp_int fbp_i32 __attribute__((vector_size(32)));
typedef fbp_int fbp_i16 __attribute__((vector_size(16)));
typedef union { vec whole; fbp_v32 half[2]; } fbp_halves;
typedef union { fbp_v32 whole; fbp_v16 half[2]; } fbp_quarters;

/* A vector of doubles, which has half the lanes of one of floats. */
typedef double wide __attribute__((vector_size(64)));

/* The lower and the upper half of the lanes as doubles, and the vector of two such halves. A vector
 * of doubles is its own half. */
#if FBP_SINGLE
FBP_INLINE wide fbp_low_half(vec v)
{
    fbp_halves h = {v};
    return __builtin_convertvector(h.half[0], wide);
}

FBP_INLINE wide fbp_high_half(vec v)
{
    fbp_halves h = {v};
    return __builtin_convertvector(h.half[1], wide);
}

FBP_INLINE vec fbp_narrow(wide low, wide high)
{
    fbp_halves h;
    h.half[0] = __builtin_convertvector(low, fbp_v32);
    h.half[1] = __builtin_convertvector(high, fbp_v32);
    return h.whole;
}
#else
FBP_INLINE wide fbp_low_half(vec v) { return v; }
FBP_INLINE wide fbp_high_half(vec v) { return v; }
FBP_INLINE vec fbp_narrow(wide low, wide high) { (void)high; return low; }
#endif

/* The sum by halves: lane i with lane i + n/2, until one is left. */
FBP_INLINE real fbp_sum_lanes(vec v)
{
    fbp_halves h = {v};
    fbp_quarters q = {h.half[0] + h.half[1]};
    fbp_v16 a = q.half[0] + q.half[1];
#if FBP_SINGLE
    return (a[0] + a[2]) + (a[1] + a[3]);
#else
    return a[0] + a[1];
#endif
}

FBP_INLINE real fbp_larger(real a, real b) { return a < b ? b : a; }

/* The largest lane, folded like the sum; one replaces another only where it is larger. */
FBP_INLINE real fbp_max_lanes(vec v)
{
    fbp_halves h = {v};
    fbp_i32 m = (fbp_i32)(h.half[0] < h.half[1]);
    fbp_quarters q = {(fbp_v32)((m & (fbp_i32)h.half[1]) | (~m & (fbp_i32)h.half[0]))};
    fbp_i16 n = (fbp_i16)(q.half[0] < q.half[1]);
    fbp_v16 a = (fbp_v16)((n & (fbp_i16)q.half[1]) | (~n & (fbp_i16)q.half[0]));
#if FBP_SINGLE
    return fbp_larger(fbp_larger(a[0], a[2]), fbp_larger(a[1], a[3]));
#else
    return fbp_larger(a[0], a[1]);
#endif
}

/* 1.5 * 2**mantissa_bits: adding it rounds |x| < 2**21 to a whole number in the low bits. */
FBP_INLINE vec fbp_shifter(void) { return fbp_splat(FBP_SHIFTER); }

/* 2**n for t = n + shifter, n whole and 2**n a normal number. */
FBP_INLINE vec fbp_pow2(vec t) { return (vec)(((ivec)t + FBP_BIAS) << FBP_MANTISSA_BITS); }

/* e of v = m * 2**e with sqrt(1/2) <= m < sqrt(2); v positive and normal. */
FBP_INLINE vec fbp_log_exponent(vec v)
{
    ivec e = ((ivec)v - FBP_ROOT_HALF_BITS) >> FBP_MANTISSA_BITS;
    /* e + shifter, then - shifter, is a conversion that AVX2 has for 64 bits too. */
    return (vec)(e + (ivec)fbp_shifter()) - fbp_shifter();
}

/* m of v = m * 2**e with sqrt(1/2) <= m < sqrt(2); v positive and normal. */
FBP_INLINE vec fbp_log_mantissa(vec v)
{
    ivec bits = ((ivec)v - FBP_ROOT_HALF_BITS) & (((fbp_int)1 << FBP_MANTISSA_BITS) - 1);
    return (vec)(bits + FBP_ROOT_HALF_BITS);
}

/* An estimate of 1 / v for normal v > 0, within 6 %. The subtraction of bit patterns negates the
 * exponent, and roughly inverts the mantissa. */
FBP_INLINE vec fbp_reciprocal_estimate(vec v)
{
    return (vec)(FBP_RECIPROCAL_BITS - (ivec)v);
}

/* Prefetch the cache line at p + i, which will be read soon. */
FBP_INLINE void fbp_prefetch(const real *p, ptrdiff_t i) { __builtin_prefetch(p + i, 0, 3); }

#endif
