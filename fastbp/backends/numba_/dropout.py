"""Dropout: the units that training drops in a step.

A random number is a function of the seed, the step, the layer, the row of the batch and the
unit. It does not depend on threads, blocks or the vector width, and the forward and backward
passes compute the same numbers. The twin of this file is ``src_cython/dropout.pxi``; the
reference is ``numpy_``.
"""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from ._jit import REALS, Piece, inner
from .simd import lanes, load, splat, store

WORD = 0xFFFFFFFF
# The increment of the 32-bit random numbers (2**32 over the golden ratio), and the factors that
# mix their bits (Chris Wellons' lowbias32).
GOLDEN, MIX_1, MIX_2 = 0x9E3779B9, 0x7FEB352D, 0x846CA68B

if config.DISABLE_JIT:

    def keep_random(v, key, first, threshold):
        x = np.arange(first, first + v.size, dtype=np.uint32) * np.uint32(GOLDEN) + np.uint32(key)
        x = (x ^ (x >> np.uint32(16))) * np.uint32(MIX_1)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(MIX_2)
        return np.where((x ^ (x >> np.uint32(16))) >= threshold, v, np.zeros_like(v))

else:
    from .simd import _Ir

    @intrinsic
    def keep_random(typingctx, v, key, first, threshold):
        """v where a random number is at least `threshold`, else 0.

        The random number depends on `key` and on the lane's number, first, first + 1, ... Both
        have 32 bits, as in `mix`.
        """

        def codegen(context, builder, signature, args):
            tool = _Ir(builder, v)
            word = ir.IntType(32)
            words = ir.VectorType(word, v.count)

            def constant(values):
                return ir.Constant(words, values)

            def all_lanes(scalar):
                first = builder.insert_element(ir.Constant(words, ir.Undefined), scalar, word(0))
                return builder.shuffle_vector(first, first, constant([0] * v.count))

            def mixed(x, shift, factor):
                x = builder.xor(x, builder.lshr(x, constant([shift] * v.count)))
                return builder.mul(x, constant([factor] * v.count))

            key, first, threshold = (all_lanes(builder.trunc(a, word)) for a in args[1:])
            x = builder.add(first, constant(list(range(v.count))))
            x = builder.add(builder.mul(x, constant([GOLDEN] * v.count)), key)
            x = mixed(mixed(x, 16, MIX_1), 15, MIX_2)
            x = builder.xor(x, builder.lshr(x, constant([16] * v.count)))
            kept = builder.icmp_unsigned(">=", x, threshold)
            return builder.select(kept, args[0], ir.Constant(tool.type, None))

        return v(v, types.intp, types.intp, types.intp), codegen


@inner
def mix(x):
    """A 32-bit number with all bits mixed."""
    x = ((x ^ (x >> 16)) * MIX_1) & WORD
    x = ((x ^ (x >> 15)) * MIX_2) & WORD
    return x ^ (x >> 16)


@inner
def step_key(seed, steps):
    """The key of a step's random numbers; `seed` has 63 bits."""
    return mix(mix((seed & WORD) ^ mix(steps & WORD)) ^ (seed >> 32))


def drop(source, target, step, layer, first, rows, n, stride, threshold):
    """target = source / (1 - rate) where a unit is kept, else 0.

    `step` is the step's key, `first` is the first row's number in the batch, and the rate is
    threshold / 2**32. n is a multiple of the vector length; target may be source.
    """
    scale = splat(target, 1.0 / (1.0 - threshold * 2.0**-32))
    of_layer = mix(step ^ layer)
    for r in range(rows):
        key = mix(of_layer ^ ((first + r) & WORD))
        for j in range(0, n, lanes(target)):
            kept = keep_random(load(source, r * stride + j), key, j, threshold)
            store(target, r * stride + j, scale * kept)


DROP = Piece(drop, REALS, REALS, *[types.intp] * 7)
