/* Products of matrices rounded to bfloat16 in the tiles of AMX, registers of 16 rows of 64 bytes.
 *
 * A tile operation adds to 16 x 16 numbers of C what 32 k contribute, in the order that bfloat16.h
 * describes. Its operands are 16 rows of 32 numbers of A, and 32 rows of 16 numbers of B, where the
 * numbers of two consecutive k lie side by side.
 */
#ifndef FASTBP_AMX_H
#define FASTBP_AMX_H

#include "bfloat16.h"

/* GCC and Clang know AMX since these versions. Only Linux is asked for it, see _cpu.pyx. */
#if !defined(FBP_HAS_TILES)
#if FBP_SINGLE && defined(__AVX512F__) && defined(__linux__) \
    && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define FBP_HAS_TILES 1
#else
#define FBP_HAS_TILES 0
#endif
#endif

#if FBP_HAS_TILES

/* Rows of A, and numbers of k, that are packed at a time. */
#define FBP_TALL 128
#define FBP_DEEP 256
#define FBP_TILE 512 /* numbers of bfloat16 in a tile */
#define FBP_EDGE 32  /* rows and columns of C in four tiles */

#if !defined(FBP_TILE_LOAD) /* else a test computes tiles in plain C */
#define FBP_TILE_TARGET __attribute__((target("amx-tile,amx-bf16")))
#define FBP_TILE_CONFIGURE(p) _tile_loadconfig(p)
#define FBP_TILE_LOAD(t, p, bytes) _tile_loadd(t, p, bytes)
#define FBP_TILE_STORE(t, p, bytes) _tile_stored(t, p, bytes)
#define FBP_TILE_MULTIPLY(c, a, b) _tile_dpbf16ps(c, a, b)
#define FBP_TILE_RELEASE() _tile_release()
#endif

/* What tiles hold: eight of them with 16 rows of 64 bytes. */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} fbp_tile_shapes;

/* Constant, since GCC's _tile_loadconfig does not say that it reads all of it. */
static const fbp_tile_shapes fbp_shapes = {
    .palette = 1,
    .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

/* Let the compiler finish what it writes to memory before the tiles read it, and read it anew after
 * they have written. GCC's _tile_loadd does not say that it reads memory. */
#define FBP_SEEN_BY_TILES(p) __asm__ volatile("" : : "r"(p) : "memory")

typedef uint16_t fbp_halves_16 __attribute__((vector_size(32)));
typedef struct { fbp_halves_16 numbers; } __attribute__((packed, may_alias)) fbp_loose_halves;

/* Two vectors of rounded numbers as pairs: lane by lane, `first` in the low half. */
FBP_INLINE vec fbp_pairs(vec first, vec second)
{
    return (vec)(((fbp_bits)first >> 16) | (fbp_bits)second);
}

/* The tile of `rows` rows of 32 numbers, `step` apart; further rows are zeros. */
FBP_INLINE void fbp_pack_contiguous(const real *A, ptrdiff_t step, ptrdiff_t rows, uint16_t *tile)
{
    for (ptrdiff_t r = 0; r < 16; r++)
        for (ptrdiff_t half = 0; half < 2; half++) {
            const vec v = r < rows ? fbp_rounded(fbp_load(A, r * step + half * 16)) : fbp_splat(0);
            ((fbp_loose_halves *)(tile + r * 32 + half * 16))->numbers =
                __builtin_convertvector((fbp_bits)v >> 16, fbp_halves_16);
        }
}

/* The tile of A's elements (r, k) at A[r * row_step + k * k_step], for `rows` rows of at most 16 and
 * `depth` k of at most 32, with zeros behind them. */
static inline void fbp_pack_rows(
    const real *A, ptrdiff_t row_step, ptrdiff_t k_step, ptrdiff_t rows, ptrdiff_t depth,
    uint16_t *tile)
{
    real block[16 * 32] __attribute__((aligned(64)));
    if (k_step == 1 && depth == 32) {
        fbp_pack_contiguous(A, row_step, rows, tile);
    } else if (row_step == 1 && rows == 16) {
        for (ptrdiff_t p = 0; p < 16; p++) {
            const ptrdiff_t k = 2 * p;
            const vec first = k < depth ? fbp_rounded(fbp_load(A, k * k_step)) : fbp_splat(0);
            const vec second =
                k + 1 < depth ? fbp_rounded(fbp_load(A, (k + 1) * k_step)) : fbp_splat(0);
            fbp_store(block, 16 * p, fbp_pairs(first, second));
        }
        fbp_transpose_block(block, 16, 16, (real *)tile, 16, 16);
    } else {
        for (ptrdiff_t r = 0; r < 16; r++)
            for (ptrdiff_t k = 0; k < 32; k++)
                block[r * 32 + k] = r < rows && k < depth ? A[r * row_step + k * k_step] : 0;
        fbp_pack_contiguous(block, 32, 16, tile);
    }
}

/* The tile of 16 columns of B, for `depth` rows of at most 32, with zeros behind them. */
static inline void fbp_pack_columns(const real *B, ptrdiff_t ldb, ptrdiff_t depth, uint16_t *tile)
{
    for (ptrdiff_t k = 0; k < 32; k += 2) {
        const vec first = k < depth ? fbp_rounded(fbp_load(B, k * ldb)) : fbp_splat(0);
        const vec second =
            k + 1 < depth ? fbp_rounded(fbp_load(B, (k + 1) * ldb)) : fbp_splat(0);
        fbp_store((real *)tile, 16 * (k / 2), fbp_pairs(first, second));
    }
}

/* The product, in tiles; C is written in squares of FBP_EDGE rows and columns. */
static FBP_TILE_TARGET __attribute__((noinline)) void fbp_tiled_product(
    const real *A, ptrdiff_t row_step, ptrdiff_t k_step, const real *B, ptrdiff_t ldb,
    const real *init, ptrdiff_t ldi, real *C, ptrdiff_t ldc, ptrdiff_t M, ptrdiff_t J,
    ptrdiff_t K)
{
    uint16_t a[FBP_TALL * FBP_DEEP] __attribute__((aligned(64)));
    uint16_t b[FBP_EDGE * FBP_DEEP] __attribute__((aligned(64)));
    real square[FBP_EDGE * FBP_EDGE] __attribute__((aligned(64)));
    FBP_TILE_CONFIGURE(&fbp_shapes);
    for (ptrdiff_t i = 0; i < M; i += FBP_TALL) {
        const ptrdiff_t tall = fbp_least(FBP_TALL, M - i);
        const ptrdiff_t squares = (tall + FBP_EDGE - 1) / FBP_EDGE;
        const real *from = init + i * ldi;
        ptrdiff_t ldf = ldi;
        for (ptrdiff_t k = 0; k < K; k += FBP_DEEP) {
            const ptrdiff_t deep = fbp_least(FBP_DEEP, K - k);
            const ptrdiff_t blocks = (deep + FBP_BLOCK - 1) / FBP_BLOCK;
            for (ptrdiff_t g = 0; g < 2 * squares; g++)
                for (ptrdiff_t t = 0; t < blocks; t++)
                    fbp_pack_rows(
                        A + (i + 16 * g) * row_step + (k + FBP_BLOCK * t) * k_step, row_step,
                        k_step, fbp_least(16, tall - 16 * g),
                        fbp_least(FBP_BLOCK, deep - FBP_BLOCK * t), a + (g * blocks + t) * FBP_TILE);
            FBP_SEEN_BY_TILES(a);
            for (ptrdiff_t j = 0; j < J; j += FBP_EDGE) {
                const ptrdiff_t width = fbp_least(FBP_EDGE, J - j);
                for (ptrdiff_t t = 0; t < blocks; t++)
                    for (ptrdiff_t half = 0; half < 2; half++)
                        fbp_pack_columns(
                            B + (k + FBP_BLOCK * t) * ldb + j + 16 * half, ldb,
                            16 * half < width ? fbp_least(FBP_BLOCK, deep - FBP_BLOCK * t) : 0,
                            b + (2 * t + half) * FBP_TILE);
                FBP_SEEN_BY_TILES(b);
                for (ptrdiff_t g = 0; g < squares; g++) {
                    const ptrdiff_t rows = fbp_least(FBP_EDGE, tall - FBP_EDGE * g);
                    const real *before = from + FBP_EDGE * g * ldf + j;
                    real *after = C + (i + FBP_EDGE * g) * ldc + j, *target = after;
                    ptrdiff_t of_before = ldf, of_target = ldc;
                    const uint16_t *upper = a + 2 * g * blocks * FBP_TILE;
                    const uint16_t *lower = upper + blocks * FBP_TILE;
                    const int whole = rows == FBP_EDGE && width == FBP_EDGE;
                    if (!whole) {
                        for (ptrdiff_t r = 0; r < FBP_EDGE; r++)
                            for (ptrdiff_t v = 0; v < FBP_EDGE; v += FBP_LANES)
                                fbp_store(square, r * FBP_EDGE + v, r < rows && v < width
                                    ? fbp_load(before, r * ldf + v) : fbp_splat(0));
                        before = target = square;
                        of_before = of_target = FBP_EDGE;
                    }
                    FBP_SEEN_BY_TILES(before);
                    FBP_TILE_LOAD(0, before, 4 * of_before);
                    FBP_TILE_LOAD(1, before + 16, 4 * of_before);
                    FBP_TILE_LOAD(2, before + 16 * of_before, 4 * of_before);
                    FBP_TILE_LOAD(3, before + 16 * of_before + 16, 4 * of_before);
                    for (ptrdiff_t t = 0; t < blocks; t++) {
                        FBP_TILE_LOAD(4, upper + t * FBP_TILE, 64);
                        FBP_TILE_LOAD(5, lower + t * FBP_TILE, 64);
                        FBP_TILE_LOAD(6, b + 2 * t * FBP_TILE, 64);
                        FBP_TILE_LOAD(7, b + (2 * t + 1) * FBP_TILE, 64);
                        FBP_TILE_MULTIPLY(0, 4, 6);
                        FBP_TILE_MULTIPLY(1, 4, 7);
                        FBP_TILE_MULTIPLY(2, 5, 6);
                        FBP_TILE_MULTIPLY(3, 5, 7);
                    }
                    FBP_TILE_STORE(0, target, 4 * of_target);
                    FBP_TILE_STORE(1, target + 16, 4 * of_target);
                    FBP_TILE_STORE(2, target + 16 * of_target, 4 * of_target);
                    FBP_TILE_STORE(3, target + 16 * of_target + 16, 4 * of_target);
                    FBP_SEEN_BY_TILES(target);
                    if (!whole)
                        for (ptrdiff_t r = 0; r < rows; r++)
                            for (ptrdiff_t v = 0; v < width; v += FBP_LANES)
                                fbp_store(after, r * ldc + v, fbp_load(square, r * FBP_EDGE + v));
                }
            }
            from = C + i * ldc;
            ldf = ldc;
        }
    }
    FBP_TILE_RELEASE();
}

#endif

#define FBP_UNLIKELY(x) __builtin_expect(x, 0)

/* Whether tiles compute; set once, when the processor and the system have been asked. */
static int fbp_tiles_are_on;

/* C = init + A B, as `fbp_product` takes them, with operands rounded to bfloat16; K > 0. Numba's
 * kernels call it, too, whose arrays are not registered. Not inlined, so that networks that do not
 * round pay for a branch only. */
static __attribute__((noinline)) void fbp_unchecked_product(
    const real *A, ptrdiff_t row_step, ptrdiff_t k_step, const real *B, ptrdiff_t ldb,
    const real *init, ptrdiff_t ldi, real *C, ptrdiff_t ldc, ptrdiff_t M, ptrdiff_t J,
    ptrdiff_t K)
{
#if FBP_HAS_TILES
    if (fbp_tiles_are_on) {
        fbp_tiled_product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K);
        return;
    }
#endif
    fbp_emulated_product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K);
}

static inline void fbp_bfloat16_product(
    const real *A, ptrdiff_t row_step, ptrdiff_t k_step, const real *B, ptrdiff_t ldb,
    const real *init, ptrdiff_t ldi, real *C, ptrdiff_t ldc, ptrdiff_t M, ptrdiff_t J,
    ptrdiff_t K)
{
    fbp_check(A, (M - 1) * row_step + (K - 1) * k_step + 1);
    fbp_check(B, (K - 1) * ldb + J);
    fbp_check(init, (M - 1) * ldi + J);
    fbp_check(C, (M - 1) * ldc + J);
    fbp_unchecked_product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K);
}

#endif
