"""Products of matrices whose operands are rounded to bfloat16.

C = init + the sum over blocks of 32 k of (e + o), block by block. e is the chain of fused
multiply-adds over a block's even k, o that over its odd k; both start from zero. If K is no
multiple of 32, zeros follow. Denormal numbers count as zeros, among the operands and the results.
This is how the tiles of AMX compute.

A product of two bfloat16 numbers has 16 significant bits, so it is exact in double precision. Nor
does its sum with a float32 number, rounded to double precision and then to float32, differ from
the one that is rounded once: either double precision holds it, or one of the two terms is too
small to matter.
"""

import numpy as np

BLOCK = 32
# Below this size, numbers rounded to 24 bits are smaller than the smallest normal number, 2**-126.
TINY = 2.0**-126 - 2.0**-151


def rounded(x):
    """Float32 numbers rounded to the nearest bfloat16 numbers, ties to even, as float64.

    Denormal numbers become zeros.
    """
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearest = ((u + np.uint32(0x7FFF) + ((u >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    result = np.where(np.isnan(x), x, nearest).astype(np.float64)
    return np.where(np.abs(x) < 2.0**-126, np.copysign(0.0, x), result)


def single(x):
    """Float64 numbers rounded to float32, where denormal ones become zeros."""
    return np.where(np.abs(x) < TINY, np.copysign(0.0, x), x).astype(np.float32)


def times(a, b):
    """The products of rounded numbers, elementwise; -0 is written as 0."""
    return single(rounded(a) * rounded(b)) + np.float32(0)


def _chain(A, B):
    """The chain of fused multiply-adds over all k, from zero."""
    total = np.zeros((A.shape[0], B.shape[1]), np.float32)
    for a, b in zip(A.T, B, strict=True):
        total = single(a[:, None] * b + total)
    return total


def product(A, B, init):
    """init + A B of float32 matrices; init is a matrix, a row or a number."""
    missing = -A.shape[1] % BLOCK
    A = np.pad(rounded(A), ((0, 0), (0, missing)))
    B = np.pad(rounded(B), ((0, missing), (0, 0)))
    C = single(np.broadcast_to(init, (A.shape[0], B.shape[1])).astype(np.float64))
    for start in range(0, A.shape[1], BLOCK):
        even, odd = (
            _chain(A[:, first : start + BLOCK : 2], B[first : start + BLOCK : 2])
            for first in (start, start + 1)
        )
        both = single(even.astype(np.float64) + odd)
        C = single(C.astype(np.float64) + both)
    return C
