# cython: language_level=3
"""What this processor can do."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    static int fbp_has_avx2(void)
    {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
    static int fbp_has_avx512(void)
    {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    }
    #else
    static int fbp_has_avx2(void) { return 0; }
    static int fbp_has_avx512(void) { return 0; }
    #endif

    #if defined(__x86_64__) && defined(__linux__)
    #include <cpuid.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #define FBP_BIT(word, n) ((word) >> (n) & 1)

    /* Whether there are AMX tiles of 16 rows of 64 bytes, with operations on bfloat16. */
    static int fbp_has_tiles(void)
    {
        unsigned a, b, c, d;
        if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !FBP_BIT(d, 22) || !FBP_BIT(d, 24))
            return 0;
        return __get_cpuid_count(0x1d, 1, &a, &b, &c, &d) && a >> 16 == 1024
            && (b & 0xffff) == 64 && b >> 16 >= 8 && (c & 0xffff) == 16;
    }

    /* Whether the system saves tiles when it switches threads, and lets this process use them. */
    static int fbp_may_use_tiles(void)
    {
        unsigned a, b, c, d, low, high;
        if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !FBP_BIT(c, 27)) return 0;
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        if (!FBP_BIT(low, 17) || !FBP_BIT(low, 18)) return 0;
        return syscall(SYS_arch_prctl, 0x1023, 18) == 0; /* ARCH_REQ_XCOMP_PERM, of tile data */
    }
    #else
    static int fbp_has_tiles(void) { return 0; }
    static int fbp_may_use_tiles(void) { return 0; }
    #endif
    """
    bint fbp_has_avx2()
    bint fbp_has_avx512()
    bint fbp_has_tiles()
    bint fbp_may_use_tiles()


def supported():
    """The CPU builds of the kernels that run here, best first."""
    builds = []
    if fbp_has_avx512():
        builds.append("avx512")
    if fbp_has_avx2():
        builds.append("avx2")
    return [*builds, "baseline"]


def has_tiles():
    """Whether the processor has AMX tiles that multiply bfloat16 numbers."""
    return fbp_has_tiles()


def may_use_tiles():
    """Ask the system for permission to use tiles; whether it was given."""
    return fbp_has_tiles() and fbp_may_use_tiles()
