/* The register tile, from which all matrix products are built, and the transposing of blocks.
 *
 * A tile computes `rows` x `parts` registers of C = init + A B: for each k it loads a row of B
 * once and multiplies it by `rows` numbers of A. Every element of C is one chain of fused
 * multiply-adds over k = 0, 1, ..., whatever the tile's shape, so shapes can follow the
 * processor without changing a bit of the result.
 *
 * The twin of this file is fastbp/backends/numba_/tile.py.
 */
#ifndef FASTBP_TILE_H
#define FASTBP_TILE_H

#include "check.h"
#include "simd.h"

#define FBP_PART_SPLAT(x) ((x) - (fbp_part){0})

/* Accumulators are an array only in the source: with constant bounds and every loop over
 * them unrolled, they are registers. */
#define FBP_UNROLL _Pragma("GCC unroll 16")
#define FBP_MOST_ROWS 16

FBP_INLINE void fbp_tile(
    const int rows, const int parts, const real *A, ptrdiff_t row_step, ptrdiff_t k_step,
    const real *B, ptrdiff_t ldb, const real *init, ptrdiff_t ldi, real *C, ptrdiff_t ldc,
    ptrdiff_t K)
{
    fbp_part acc[FBP_MOST_ROWS][4], b[4];
    FBP_UNROLL for (int i = 0; i < rows; i++)
        FBP_UNROLL for (int v = 0; v < parts; v++)
            acc[i][v] = ((const fbp_loose *)(init + i * ldi))[v].part;
    for (ptrdiff_t k = 0; k < K; k++) {
        FBP_UNROLL for (int v = 0; v < parts; v++)
            b[v] = ((const fbp_loose *)B)[v].part;
        FBP_UNROLL for (int i = 0; i < rows; i++) {
            const fbp_part a = FBP_PART_SPLAT(A[i * row_step]);
            FBP_UNROLL for (int v = 0; v < parts; v++)
                acc[i][v] = FBP_PART_FMA(a, b[v], acc[i][v]);
        }
        A += k_step;
        B += ldb;
    }
    FBP_UNROLL for (int i = 0; i < rows; i++)
        FBP_UNROLL for (int v = 0; v < parts; v++)
            ((fbp_loose *)(C + i * ldc))[v].part = acc[i][v];
}

/* The product for a panel of `vectors` vectors of columns, and any number of rows. */
#define FBP_PANEL(NAME, VECTORS, MOST_ROWS)                                                    \
static __attribute__((noinline)) void NAME(                                                    \
    const real *A, ptrdiff_t row_step, ptrdiff_t k_step, const real *B, ptrdiff_t ldb,         \
    const real *init, ptrdiff_t ldi, real *C, ptrdiff_t ldc, ptrdiff_t M, ptrdiff_t K)         \
{                                                                                              \
    ptrdiff_t i = 0;                                                                           \
    while (i + MOST_ROWS <= M) FBP_ROWS(MOST_ROWS, VECTORS)                                    \
    if (MOST_ROWS > 8 && i + 8 <= M) FBP_ROWS(8, VECTORS)                                      \
    if (MOST_ROWS > 4 && i + 4 <= M) FBP_ROWS(4, VECTORS)                                      \
    if (MOST_ROWS > 2 && i + 2 <= M) FBP_ROWS(2, VECTORS)                                      \
    if (i < M) FBP_ROWS(1, VECTORS)                                                            \
}
#define FBP_ROWS(ROWS, VECTORS)                                                                \
    {                                                                                          \
        fbp_tile(ROWS, VECTORS * FBP_PARTS, A + i * row_step, row_step, k_step, B, ldb,        \
                 init + i * ldi, ldi, C + i * ldc, ldc, K);                                    \
        i += ROWS;                                                                             \
    }

/* Accumulators, a row of B and a broadcast number of A should fill the registers: AVX-512 has
 * 32, of 64 bytes; AVX2 16, of 32 bytes; NEON 32 and SSE2 16, of 16 bytes. */
#if FBP_PARTS == 1
FBP_PANEL(fbp_four_vectors, 4, 6)
FBP_PANEL(fbp_two_vectors, 2, 8)
FBP_PANEL(fbp_one_vector, 1, 16)
#define FBP_WIDEST fbp_four_vectors
#define FBP_WIDTH (4 * FBP_LANES)
#elif FBP_PARTS == 2 || defined(__aarch64__)
FBP_PANEL(fbp_one_vector, 1, 6)
#else
FBP_PANEL(fbp_one_vector, 1, 2)
#endif
#ifndef FBP_WIDEST
#define FBP_WIDEST fbp_one_vector
#define FBP_WIDTH FBP_LANES
#endif

/* A factor B of more bytes does not stay in the cache while each few rows of A read all of it. */
#define FBP_WIDE (8 << 20)
#define FBP_DEPTH 128

/* The product for such a B: all rows of A use FBP_DEPTH rows of it before the next. */
static __attribute__((noinline)) void fbp_wide_product(
    const real *A, ptrdiff_t row_step, ptrdiff_t k_step, const real *B, ptrdiff_t ldb,
    const real *init, ptrdiff_t ldi, real *C, ptrdiff_t ldc, ptrdiff_t M, ptrdiff_t J,
    ptrdiff_t K)
{
    for (ptrdiff_t j = 0; j < J; j += FBP_WIDTH) {
        for (ptrdiff_t k = 0; k < K; k += FBP_DEPTH) {
            const ptrdiff_t depth = K - k < FBP_DEPTH ? K - k : FBP_DEPTH;
            const real *a = A + k * k_step, *b = B + k * ldb + j;
            const real *from = k ? C + j : init + j;
            const ptrdiff_t ldf = k ? ldc : ldi;
            if (j + FBP_WIDTH <= J)
                FBP_WIDEST(a, row_step, k_step, b, ldb, from, ldf, C + j, ldc, M, depth);
            else
                for (ptrdiff_t v = 0; j + v < J; v += FBP_LANES)
                    fbp_one_vector(a, row_step, k_step, b + v, ldb, from + v, ldf, C + j + v, ldc,
                                   M, depth);
        }
    }
}

/* C = init + A B.
 *
 * A is M x K with element (i, k) at A[i * row_step + k * k_step], so either order can be read;
 * B is K x J and C is M x J, rows `ldb` and `ldc` apart. J is a whole number of vectors. Row i
 * of init is at init[i * ldi]: a bias or a row of zeros with ldi = 0, or C itself to add to it.
 */
static inline void fbp_product(
    const real *A, ptrdiff_t row_step, ptrdiff_t k_step, const real *B, ptrdiff_t ldb,
    const real *init, ptrdiff_t ldi, real *C, ptrdiff_t ldc, ptrdiff_t M, ptrdiff_t J,
    ptrdiff_t K)
{
    ptrdiff_t j = 0;
    fbp_check(A, (M - 1) * row_step + (K - 1) * k_step + 1);
    fbp_check(B, (K - 1) * ldb + J);
    fbp_check(init, (M - 1) * ldi + J);
    fbp_check(C, (M - 1) * ldc + J);
    if (__builtin_expect(K * J * (ptrdiff_t)sizeof(real) >= FBP_WIDE, 0)) {
        fbp_wide_product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K);
        return;
    }
#if FBP_PARTS == 1
    for (; j + 4 * FBP_LANES <= J; j += 4 * FBP_LANES)
        fbp_four_vectors(A, row_step, k_step, B + j, ldb, init + j, ldi, C + j, ldc, M, K);
    if (j + 2 * FBP_LANES <= J) {
        fbp_two_vectors(A, row_step, k_step, B + j, ldb, init + j, ldi, C + j, ldc, M, K);
        j += 2 * FBP_LANES;
    }
#endif
    for (; j < J; j += FBP_LANES)
        fbp_one_vector(A, row_step, k_step, B + j, ldb, init + j, ldi, C + j, ldc, M, K);
}

/* Transpose a block: to[j * ldt + k] = from[k * ldf + j] for j < columns and k < FBP_LANES,
 * where rows k >= `rows` of `from` count as zeros. Neither count exceeds FBP_LANES. `to` may be
 * `from`, with the same distance between rows. */
FBP_INLINE void fbp_transpose_block(
    const real *from, ptrdiff_t ldf, ptrdiff_t rows, real *to, ptrdiff_t ldt, ptrdiff_t columns)
{
#if FBP_PARTS == 1
    /* Swap off-diagonal blocks of half the size, then of a quarter, ...: 64 shuffles for 16. */
    vec v[FBP_LANES];
#pragma GCC unroll 16
    for (int k = 0; k < FBP_LANES; k++)
        v[k] = k < rows ? fbp_load(from, k * ldf) : fbp_splat(0);
#define FBP_SWAP(D)                                                                            \
    _Pragma("GCC unroll 16") for (int k = 0; k < FBP_LANES; k++) if (!(k & D)) {               \
        ivec low, high;                                                                        \
        _Pragma("GCC unroll 16") for (int j = 0; j < FBP_LANES; j++) {                         \
            low[j] = j & D ? FBP_LANES + j - D : j;                                            \
            high[j] = j & D ? FBP_LANES + j : j + D;                                           \
        }                                                                                      \
        const vec a = v[k], b = v[k + D];                                                      \
        v[k] = FBP_PERMUTE(a, low, b);                                                         \
        v[k + D] = FBP_PERMUTE(a, high, b);                                                    \
    }
#if FBP_SINGLE
    FBP_SWAP(8)
#endif
    FBP_SWAP(4)
    FBP_SWAP(2)
    FBP_SWAP(1)
#undef FBP_SWAP
#pragma GCC unroll 16
    for (int j = 0; j < FBP_LANES; j++)
        if (j < columns) fbp_store(to, j * ldt, v[j]);
#else
    real block[FBP_LANES * FBP_LANES];
    for (ptrdiff_t k = 0; k < FBP_LANES; k++)
        fbp_store(block, k * FBP_LANES, k < rows ? fbp_load(from, k * ldf) : fbp_splat(0));
    for (ptrdiff_t j = 0; j < columns; j++)
        for (ptrdiff_t k = 0; k < FBP_LANES; k++)
            to[j * ldt + k] = block[k * FBP_LANES + j];
#endif
}

#endif
