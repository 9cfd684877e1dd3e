# Dropout: the units that training drops in a step.
#
# A random number is a function of the seed, the step, the layer, the row of the batch and the
# unit. It does not depend on threads, blocks or the vector width, and the forward and backward
# passes compute the same numbers. The twin of fastbp/backends/numba_/dropout.py.

from libc.stdint cimport int64_t, uint32_t

cdef extern from "dropout.h" nogil:
    uint32_t mix "fbp_mix"(uint32_t x)
    vec keep_random "fbp_keep_random"(vec v, uint32_t key, Py_ssize_t first, uint32_t threshold)


cdef uint32_t step_key(int64_t seed, Py_ssize_t steps) noexcept nogil:
    """The key of a step's random numbers; `seed` has 63 bits."""
    return mix(mix(<uint32_t>seed ^ mix(<uint32_t>steps)) ^ <uint32_t>(seed >> 32))


cdef void drop(
    const real *source, real *target, uint32_t step, Py_ssize_t layer, Py_ssize_t first,
    Py_ssize_t rows, Py_ssize_t n, Py_ssize_t stride, int64_t threshold
) noexcept nogil:
    """target = source / (1 - rate) where a unit is kept, else 0.

    `step` is the step's key, `first` is the first row's number in the batch, and the rate is
    threshold / 2**32. n is a multiple of the vector length; target may be source.
    """
    cdef Py_ssize_t r, j
    cdef uint32_t key, of_layer = mix(step ^ <uint32_t>layer)
    cdef vec scale = splat(<real>(1.0 / (1.0 - threshold * 2.0**-32)))
    check(source, (rows - 1) * stride + n)
    check(target, (rows - 1) * stride + n)
    for r in range(rows):
        key = mix(of_layer ^ <uint32_t>(first + r))
        for j from 0 <= j < n by FBP_LANES:
            store(
                target, r * stride + j,
                scale * keep_random(load(source, r * stride + j), key, j, <uint32_t>threshold),
            )
