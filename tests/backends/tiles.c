/* Compares products in tiles (src_cython/amx.h), which are computed in plain C here, with the emulation.
 *
 * So packing and order are checked on every processor. Prints the number of differing numbers. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static union { uint16_t halves[16][32]; float singles[16][16]; } tiles[8];

static float single(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static void load(int t, const void *p, long bytes)
{
    for (int r = 0; r < 16; r++) memcpy(tiles[t].halves[r], (const char *)p + r * bytes, 64);
}

static void store(int t, void *p, long bytes)
{
    for (int r = 0; r < 16; r++) memcpy((char *)p + r * bytes, tiles[t].halves[r], 64);
}

/* As Intel's manual describes TDPBF16PS. */
static void multiply(int c, int a, int b)
{
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) {
            float even = 0, odd = 0;
            for (int k = 0; k < 16; k++) {
                const uint16_t *x = tiles[a].halves[i] + 2 * k, *y = tiles[b].halves[k] + 2 * j;
                even = fmaf(single(x[0]), single(y[0]), even);
                odd = fmaf(single(x[1]), single(y[1]), odd);
            }
            tiles[c].singles[i][j] = tiles[c].singles[i][j] + (even + odd);
        }
}

#define FBP_HAS_TILES 1
#define FBP_TILE_TARGET
#define FBP_TILE_CONFIGURE(p) (void)(p)
#define FBP_TILE_LOAD load
#define FBP_TILE_STORE store
#define FBP_TILE_MULTIPLY multiply
#define FBP_TILE_RELEASE() (void)0
#include "amx.h"

static float *numbers(long n, float scale)
{
    float *made = malloc(4 * n); /* no more, so that a sanitizer notices a step too far */
    for (long i = 0; i < n; i++) made[i] = ((float)rand() / RAND_MAX - 0.5f) * scale;
    return made;
}

int main(void)
{
    long differing = 0;
    fbp_flush(); /* as tiles do */
    for (int round = 0; round < 100; round++) {
        const long M = round % 7 ? rand() % 300 + 1 : 1, K = round % 11 ? rand() % 600 + 1 : 1;
        const long J = 16 * (rand() % 9 + 1), ldb = J + 16 * (rand() % 2), ldc = J + 16 * (rand() % 2);
        const long turned = rand() % 2, lda = (turned ? M : K) + rand() % 20;
        const long n = (M - 1) * ldc + J, ldi = round % 3 ? ldc : 0;
        const float scale = round % 4 == 3 ? 1e-19f : 1;
        float *A = numbers(((turned ? K : M) - 1) * lda + (turned ? M : K), scale);
        float *B = numbers((K - 1) * ldb + J, scale), *init = numbers(n, scale * scale);
        float *C = malloc(4 * n), *D = malloc(4 * n);
        memcpy(C, init, 4 * n);
        memcpy(D, init, 4 * n);
        fbp_emulated_product(A, turned ? 1 : lda, turned ? lda : 1, B, ldb,
                             round % 3 == 2 ? C : init, ldi, C, ldc, M, J, K);
        fbp_tiled_product(A, turned ? 1 : lda, turned ? lda : 1, B, ldb,
                          round % 3 == 2 ? D : init, ldi, D, ldc, M, J, K);
        for (long i = 0; i < n; i++) differing += memcmp(C + i, D + i, 4) != 0;
        free(A), free(B), free(init), free(C), free(D);
    }
    printf("%ld\n", differing);
    return 0;
}
