"""Products of matrices whose operands are rounded to bfloat16.

C = init + the sum over blocks of 32 k of (e + o), block by block. e is the chain of fused
multiply-adds over a block's even k, o that over its odd k; both start from zero. If K is no
multiple of 32, zeros follow. Denormal numbers count as zeros, among the operands and the results.

This is how the tiles of AMX compute. The product below does the same operations, so it gives the
same bits on every processor.

The twin of this file is ``src_cython/bfloat16.h``.
"""

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import REALS, Piece, inner
from .denormals import apart, flush, set_control
from .simd import is_single, lane, lanes, load, offset, splat, store
from .tile import product

# The numbers of k in a block; the columns and rows that are computed at a time.
BLOCK = 32
COLUMNS = 64
STRIP = 32

if config.DISABLE_JIT:

    def rounded(v):
        if not is_single(v):
            return v
        u = v.view(np.uint32)
        nearest = (u + 0x7FFF + ((u >> 16) & 1)) & 0xFFFF0000
        nearest = np.where(np.isnan(v), (u | 0x400000) & 0xFFFF0000, nearest)
        return np.where(np.abs(v) < 2.0**-126, u & 0x80000000, nearest).view(np.float32)

    def _scratch(count):
        return lambda like: np.zeros(count, like.dtype)

else:
    from .simd import _Ir

    @intrinsic
    def rounded(typingctx, v):
        """v rounded to the nearest bfloat16 numbers, ties to even; denormal ones become zeros.

        Numbers in double precision stay as they are.
        """

        def codegen(context, builder, signature, args):
            tool = _Ir(builder, v)
            if not tool.single:
                return args[0]
            u = builder.bitcast(args[0], tool.integers)
            magnitude = builder.and_(u, tool.ints(0x7FFFFFFF))
            last = builder.and_(builder.lshr(u, tool.ints(16)), tool.ints(1))
            nearest = builder.add(builder.add(u, tool.ints(0x7FFF)), last)
            quiet = builder.or_(u, tool.ints(0x400000))
            is_nan = builder.icmp_unsigned(">", magnitude, tool.ints(0x7F800000))
            chosen = builder.and_(builder.select(is_nan, quiet, nearest), tool.ints(0xFFFF0000))
            sign = builder.and_(u, tool.ints(0x80000000))
            denormal = builder.icmp_unsigned("<", magnitude, tool.ints(0x800000))
            return builder.bitcast(builder.select(denormal, sign, chosen), tool.type)

        return v(v), codegen

    def _scratch(count):
        @intrinsic
        def scratch(typingctx, like):
            """Memory for some numbers, which the function keeps until it returns."""

            def codegen(context, builder, signature, args):
                element = context.get_data_type(like.dtype)
                place = cgutils.alloca_once(builder, ir.ArrayType(element, count))
                place.align = 64
                return builder.bitcast(place, element.as_pointer())

            return like(like), codegen

        return scratch


_scratch_a, _scratch_b = _scratch(STRIP * BLOCK), _scratch(BLOCK * COLUMNS)
_scratch_sums, _scratch_row = _scratch(STRIP * COLUMNS), _scratch(COLUMNS)


@inner
def rounded_times(like, a, b):
    """The product of two numbers rounded to bfloat16; a denormal one is 0."""
    x = lane(rounded(splat(like, a)), 0) * lane(rounded(splat(like, b)), 0)
    return lane(splat(like, 0.0), 0) if abs(x) < 2.0**-126 else x


@inner
def _emulated(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K):
    """The product; the thread must take denormal numbers for zeros."""
    apart()
    width = lanes(C)
    a, b = _scratch_a(C), _scratch_b(C)
    even, odd, zeros = _scratch_sums(C), _scratch_sums(C), _scratch_row(C)
    for v in range(0, COLUMNS, width):
        store(zeros, v, splat(zeros, 0.0))
    for i in range(0, M, STRIP):
        rows = min(STRIP, M - i)
        start, ldf = offset(init, i * ldi), ldi
        for k in range(0, K, BLOCK):
            there = min(BLOCK, K - k)
            # A pair of zeros does what any number of them would: it makes -0 a 0.
            pairs = min(BLOCK // 2, (there + 1) // 2 + 1)
            for p in range(BLOCK):
                for r in range(rows):
                    a[r * BLOCK + p] = 0.0
                    if p < there:
                        a[r * BLOCK + p] = A[(i + r) * row_step + (k + p) * k_step]
            for n in range(0, rows * BLOCK, width):
                store(a, n, rounded(load(a, n)))
            for j in range(0, J, COLUMNS):
                columns = min(COLUMNS, J - j)
                for p in range(2 * pairs):
                    for v in range(0, columns, width):
                        if p < there:
                            store(b, p * COLUMNS + v, rounded(load(B, (k + p) * ldb + j + v)))
                        else:
                            store(b, p * COLUMNS + v, splat(b, 0.0))
                every = 2 * COLUMNS
                product(
                    *(a, BLOCK, 2, b, every, zeros, 0),
                    *(even, COLUMNS, rows, columns, pairs),
                )
                product(
                    *(offset(a, 1), BLOCK, 2, offset(b, COLUMNS), every, zeros, 0),
                    *(odd, COLUMNS, rows, columns, pairs),
                )
                for r in range(rows):
                    for v in range(0, columns, width):
                        pair = load(even, r * COLUMNS + v) + load(odd, r * COLUMNS + v)
                        before = load(start, r * ldf + j + v)
                        store(C, (i + r) * ldc + j + v, before + pair)
            start, ldf = offset(C, i * ldc), ldc


def bfloat16_product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K):
    """C = init + A B, as `tile.product` takes them, with operands rounded to bfloat16; K > 0."""
    outside = flush()
    _emulated(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K)
    set_control(outside)


class _Product(Piece):
    """The piece of the product, which may be in another library."""

    elsewhere = 0  # its address there

    def address(self, dtype):
        return self.elsewhere or super().address(dtype)


_N = types.intp
BFLOAT16_PRODUCT = _Product(
    bfloat16_product,
    *(REALS, _N, _N, REALS, _N, REALS, _N, REALS, _N, _N, _N, _N),
)
