/* A team of threads that run the same kernel, and the barrier between the phases of a step.
 *
 * The twin of this file is fastbp/backends/numba_/team.py.
 */
#ifndef FASTBP_TEAM_H
#define FASTBP_TEAM_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#include <windows.h>
#define FBP_YIELD() SwitchToThread()
#else
#include <sched.h>
#define FBP_YIELD() sched_yield()
#endif

/* Indices in the array that a team shares, each on its own cache line: the number of threads at the
 * barrier, the number of barriers passed, and whether to stop. */
enum { FBP_ARRIVED = 0, FBP_PASSED = 8, FBP_STOPPED = 16 };

/* Number of checks before a waiting thread yields the core, some microseconds. (A pause instruction
 * in the loop would be slow on virtual machines.) */
enum { FBP_SPINS = 10000 };

/* Return when all `threads` have called this; each sees the others' earlier writes. */
static inline void fbp_barrier(int64_t *shared, ptrdiff_t threads)
{
    if (threads == 1) return;
    const int64_t passed = __atomic_load_n(shared + FBP_PASSED, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(shared + FBP_ARRIVED, 1, __ATOMIC_ACQ_REL) == threads) {
        __atomic_store_n(shared + FBP_ARRIVED, 0, __ATOMIC_RELEASE);
        __atomic_store_n(shared + FBP_PASSED, passed + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(shared + FBP_PASSED, __ATOMIC_ACQUIRE) == passed;)
        if (++spins > FBP_SPINS) FBP_YIELD();
}

#endif
