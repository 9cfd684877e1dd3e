/* Products of matrices whose operands are rounded to bfloat16.
 *
 * C = init + the sum over blocks of 32 k of (e + o), block by block. e is the chain of fused
 * multiply-adds over a block's even k, o that over its odd k; both start from zero. If K is no
 * multiple of 32, zeros follow. Denormal numbers count as zeros, among the operands and the results.
 *
 * This is how the tiles of AMX compute (amx.h). The emulation below does the same operations, so it
 * gives the same bits on every processor.
 *
 * The twin of the emulation is fastbp/backends/numba_/bfloat16.py.
 */
#ifndef FASTBP_BFLOAT16_H
#define FASTBP_BFLOAT16_H

#include "denormals.h"
#include "simd.h"
#include "tile.h"

#if FBP_SINGLE

/* The numbers of k in a block; the columns and rows that are emulated at a time. */
#define FBP_BLOCK 32
#define FBP_COLUMNS (4 * FBP_LANES)
#define FBP_STRIP 32

FBP_INLINE ptrdiff_t fbp_least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

typedef uint32_t fbp_bits __attribute__((vector_size(64)));

/* v rounded to the nearest bfloat16 numbers, ties to even; denormal numbers become zeros. */
FBP_INLINE vec fbp_rounded(vec v)
{
    const fbp_bits u = (fbp_bits)v;
    const ivec magnitude = (ivec)(u & 0x7fffffff);
    const fbp_bits denormal = (fbp_bits)(magnitude < 0x800000);
    const fbp_bits nan = (fbp_bits)(magnitude > 0x7f800000);
    const fbp_bits nearest = u + 0x7fff + ((u >> 16) & 1); /* of a NaN, another number */
    const fbp_bits chosen = (nearest & ~nan) | ((u | 0x400000) & nan);
    return (vec)(chosen & 0xffff0000 & ~(denormal & 0x7fffffff));
}

/* The product of two numbers rounded to bfloat16; a denormal one is 0. */
static inline real fbp_rounded_times(real a, real b)
{
    const real x = fbp_rounded(fbp_splat(a))[0] * fbp_rounded(fbp_splat(b))[0];
    return fabsf(x) < 0x1p-126f ? 0 : x;
}

/* C[:rows, :width] = A B, where A's rows are FBP_BLOCK apart, and B's and C's FBP_COLUMNS. Every
 * second column of A and row of B takes part, `pairs` in all. */
static void fbp_chain(
    const real *A, const real *B, real *C, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t pairs)
{
    static const real zeros[FBP_COLUMNS];
    ptrdiff_t j = 0;
#if FBP_PARTS == 1
    for (; j + FBP_COLUMNS <= width; j += FBP_COLUMNS)
        fbp_four_vectors(A, FBP_BLOCK, 2, B + j, 2 * FBP_COLUMNS, zeros, 0, C + j, FBP_COLUMNS,
                         rows, pairs);
#endif
    for (; j < width; j += FBP_LANES)
        fbp_one_vector(A, FBP_BLOCK, 2, B + j, 2 * FBP_COLUMNS, zeros, 0, C + j, FBP_COLUMNS,
                       rows, pairs);
}

/* The product; the thread must take denormal numbers for zeros. */
static void fbp_emulated_body(
    const real *A, ptrdiff_t row_step, ptrdiff_t k_step, const real *B, ptrdiff_t ldb,
    const real *init, ptrdiff_t ldi, real *C, ptrdiff_t ldc, ptrdiff_t M, ptrdiff_t J,
    ptrdiff_t K)
{
    real a[FBP_STRIP * FBP_BLOCK] __attribute__((aligned(64)));
    real b[FBP_BLOCK * FBP_COLUMNS] __attribute__((aligned(64)));
    real even[FBP_STRIP * FBP_COLUMNS] __attribute__((aligned(64)));
    real odd[FBP_STRIP * FBP_COLUMNS] __attribute__((aligned(64)));
    for (ptrdiff_t i = 0; i < M; i += FBP_STRIP) {
        const ptrdiff_t rows = fbp_least(FBP_STRIP, M - i);
        const real *from = init + i * ldi;
        ptrdiff_t ldf = ldi;
        for (ptrdiff_t k = 0; k < K; k += FBP_BLOCK) {
            const ptrdiff_t there = fbp_least(FBP_BLOCK, K - k);
            /* A pair of zeros does what any number of them would: it makes -0 a 0. */
            const ptrdiff_t pairs = fbp_least(FBP_BLOCK / 2, (there + 1) / 2 + 1);
            for (ptrdiff_t p = 0; p < FBP_BLOCK; p++)
                for (ptrdiff_t r = 0; r < rows; r++)
                    a[r * FBP_BLOCK + p] =
                        p < there ? A[(i + r) * row_step + (k + p) * k_step] : 0;
            for (ptrdiff_t n = 0; n < rows * FBP_BLOCK; n += FBP_LANES)
                fbp_store(a, n, fbp_rounded(fbp_load(a, n)));
            for (ptrdiff_t j = 0; j < J; j += FBP_COLUMNS) {
                const ptrdiff_t width = fbp_least(FBP_COLUMNS, J - j);
                for (ptrdiff_t p = 0; p < 2 * pairs; p++)
                    for (ptrdiff_t v = 0; v < width; v += FBP_LANES)
                        fbp_store(b, p * FBP_COLUMNS + v, p < there
                            ? fbp_rounded(fbp_load(B, (k + p) * ldb + j + v)) : fbp_splat(0));
                fbp_chain(a, b, even, rows, width, pairs);
                fbp_chain(a + 1, b + FBP_COLUMNS, odd, rows, width, pairs);
                for (ptrdiff_t r = 0; r < rows; r++)
                    for (ptrdiff_t v = 0; v < width; v += FBP_LANES) {
                        const ptrdiff_t at = r * FBP_COLUMNS + v;
                        const vec sum = fbp_load(even, at) + fbp_load(odd, at);
                        fbp_store(C, (i + r) * ldc + j + v,
                                  fbp_load(from, r * ldf + j + v) + sum);
                    }
            }
            from = C + i * ldc;
            ldf = ldc;
        }
    }
}

/* C = init + A B, as `fbp_product` takes them, with operands rounded to bfloat16; K > 0. */
static void fbp_emulated_product(
    const real *A, ptrdiff_t row_step, ptrdiff_t k_step, const real *B, ptrdiff_t ldb,
    const real *init, ptrdiff_t ldi, real *C, ptrdiff_t ldc, ptrdiff_t M, ptrdiff_t J,
    ptrdiff_t K)
{
    void (*body)(const real *, ptrdiff_t, ptrdiff_t, const real *, ptrdiff_t, const real *,
                 ptrdiff_t, real *, ptrdiff_t, ptrdiff_t, ptrdiff_t, ptrdiff_t);
    body = fbp_emulated_body;
    fbp_hide(&body);
    const uint64_t outside = fbp_flush();
    body(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K);
    fbp_set_control(outside);
}

#else

/* Networks in double precision do not round. */
#define fbp_emulated_product fbp_product
#define fbp_rounded_times(a, b) ((a) * (b))

#endif
#endif
