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
    """
    bint fbp_has_avx2()
    bint fbp_has_avx512()


def supported():
    """The CPU builds of the kernels that run here, best first."""
    builds = []
    if fbp_has_avx512():
        builds.append("avx512")
    if fbp_has_avx2():
        builds.append("avx2")
    return [*builds, "baseline"]
