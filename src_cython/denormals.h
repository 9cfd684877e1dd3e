/* Denormal numbers as zeros: a mode of the processor, for the thread that trains.
 *
 * A training that has converged is full of numbers close to zero: probabilities, deltas, gradients,
 * moments. The smallest ones that a format can hold, the denormal numbers, take some processors ten
 * to a hundred times as long to compute with.
 *
 * The processor reads the mode at each operation, but compilers do not know that. So a kernel sets
 * the mode, calls a function that was hidden, which the compiler cannot inline, and restores the
 * mode.
 *
 * The twin of this file is fastbp/backends/numba_/denormals.py.
 */
#ifndef FASTBP_DENORMALS_H
#define FASTBP_DENORMALS_H

#include <stdint.h>

/* The floating-point control word of the thread, and the bits in it that turn denormal results and
 * operands to zero; 0 on unknown processors. */
#if defined(__x86_64__)

#include <xmmintrin.h>
#define FBP_FLUSH 0x8040

static inline uint64_t fbp_control(void) { return _mm_getcsr(); }
static inline void fbp_set_control(uint64_t word) { _mm_setcsr((unsigned)word); }

#elif defined(__aarch64__)

#define FBP_FLUSH (1 << 24)

static inline uint64_t fbp_control(void)
{
    uint64_t word;
    __asm__ volatile("mrs %0, fpcr" : "=r"(word) : : "memory");
    return word;
}

static inline void fbp_set_control(uint64_t word)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(word) : "memory");
}

#else

#define FBP_FLUSH 0

static inline uint64_t fbp_control(void) { return 0; }
static inline void fbp_set_control(uint64_t word) { (void)word; }

#endif

/* From now on, take denormal numbers for zeros; return the control word before. */
static inline uint64_t fbp_flush(void)
{
    const uint64_t before = fbp_control();
    fbp_set_control(before | FBP_FLUSH);
    return before;
}

/* Let the compiler take *pointer, a pointer to a function, for that of any function. */
static inline void fbp_hide(void *pointer)
{
    __asm__ volatile("" : : "r"(pointer) : "memory");
}

#endif
