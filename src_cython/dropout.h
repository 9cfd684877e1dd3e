/* The 32-bit random numbers of dropout, each a function of a key and the number of a unit.
 *
 * Together with dropout.pxi the twin of fastbp/backends/numba_/dropout.py.
 */
#ifndef FASTBP_DROPOUT_H
#define FASTBP_DROPOUT_H

#include "simd.h"

/* A 32-bit number, or a vector of them, with all bits mixed (Chris Wellons' lowbias32). */
#define FBP_MIX(x) ( \
    x = (x ^ (x >> 16)) * UINT32_C(0x7feb352d), \
    x = (x ^ (x >> 15)) * UINT32_C(0x846ca68b), \
    x ^ (x >> 16))

FBP_INLINE uint32_t fbp_mix(uint32_t x) { return FBP_MIX(x); }

/* v where a random number is at least `threshold`, else 0. The random number depends on `key` and
 * on the lane's number, first, first + 1, ... */
FBP_INLINE vec fbp_keep_random(vec v, uint32_t key, ptrdiff_t first, uint32_t threshold)
{
    typedef uint32_t words __attribute__((vector_size(4 * 64 / sizeof(real))));
#if FBP_SINGLE
    const words slots = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#else
    const words slots = {0, 1, 2, 3, 4, 5, 6, 7};
#endif
    /* The increment is 2**32 over the golden ratio. */
    words x = (slots + (uint32_t)first) * UINT32_C(0x9e3779b9) + key;
    x = FBP_MIX(x);
    return (vec)((ivec)v & __builtin_convertvector(x >= threshold, ivec));
}

#endif
