"""The register tile, from which all matrix products are built; transposing and copying of rows.

A tile computes `rows` x `vectors` vectors of C = init + A B in registers: for each k it
loads a row of B once and multiplies it by `rows` numbers of A. Every element of C is one
chain of fused multiply-adds over k = 0, 1, ..., whatever the tile's shape, so shapes can
follow the processor without changing a bit of the result.

The twin of this file is ``src_cython/tile.h``.
"""

from llvmlite import binding, ir
from numba import config, types
from numba.extending import intrinsic

from ._jit import inner
from .simd import VECTOR_BYTES, lanes, load, offset, splat, store

if config.DISABLE_JIT:

    def _tile(rows, vectors):
        def tile(A, row_step, k_step, B, ldb, init, ldi, C, ldc, K):
            width = vectors * lanes(C)
            for i in range(rows):
                acc = init[i * ldi : i * ldi + width].copy()
                for k in range(K):
                    acc += A[i * row_step + k * k_step] * B[k * ldb : k * ldb + width]
                C[i * ldc : i * ldc + width] = acc

        return tile

    def transpose_block(source, ldf, rows, target, ldt, columns):
        width = lanes(source)
        block = [load(source, k * ldf) if k < rows else splat(source, 0) for k in range(width)]
        for j in range(columns):
            store(target, j * ldt, [row[j] for row in block])

    # Without vector registers, the shapes of tiles do not matter.
    FEATURES = {}
else:
    from .simd import Vector, _Ir

    FEATURES = binding.get_host_cpu_features()

    def _tile(rows, vectors):
        @intrinsic
        def tile(typingctx, A, row_step, k_step, B, ldb, init, ldi, C, ldc, K):
            n = types.intp
            signature = types.void(A, n, n, B, n, init, n, C, n, n)
            vector = Vector(C.dtype)

            def codegen(context, builder, signature, args):
                A, row_step, k_step, B, ldb, init, ldi, C, ldc, K = args
                tool = _Ir(builder, vector)
                zero, one = ir.IntType(64)(0), ir.IntType(64)(1)

                def place(step, i, v):
                    row = builder.mul(step, ir.IntType(64)(i))
                    return builder.add(row, ir.IntType(64)(v * vector.count))

                def grid(make):
                    return [[make(i, v) for v in range(vectors)] for i in range(rows)]

                start = grid(lambda i, v: tool.load(init, place(ldi, i, v)))
                entry = builder.block
                loop = builder.append_basic_block("k")
                done = builder.append_basic_block("done")
                builder.cbranch(builder.icmp_signed(">", K, zero), loop, done)

                builder.position_at_end(loop)
                k = builder.phi(ir.IntType(64))
                k.add_incoming(zero, entry)
                acc = grid(lambda i, v: builder.phi(tool.type))
                row_of_B = builder.gep(B, [builder.mul(k, ldb)])
                b = [tool.load(row_of_B, place(zero, 0, v)) for v in range(vectors)]
                column_of_A = builder.gep(A, [builder.mul(k, k_step)])
                new = []
                for i in range(rows):
                    address = builder.gep(column_of_A, [builder.mul(row_step, ir.IntType(64)(i))])
                    a = tool.splat(builder.load(address, typ=tool.element))
                    new.append([tool.call("fma", a, b[v], acc[i][v]) for v in range(vectors)])
                following = builder.add(k, one)
                k.add_incoming(following, loop)
                builder.cbranch(builder.icmp_signed("<", following, K), loop, done)

                builder.position_at_end(done)
                for i in range(rows):
                    for v in range(vectors):
                        acc[i][v].add_incoming(start[i][v], entry)
                        acc[i][v].add_incoming(new[i][v], loop)
                        result = builder.phi(tool.type)
                        result.add_incoming(start[i][v], entry)
                        result.add_incoming(new[i][v], loop)
                        start[i][v] = result  # phis come first in a block, stores below
                grid(lambda i, v: tool.store(C, place(ldc, i, v), start[i][v]))
                return context.get_dummy_value()

            return signature, codegen

        return tile

    @intrinsic
    def transpose_block(typingctx, source, ldf, rows, target, ldt, columns):
        """target[j * ldt + k] = source[k * ldf + j] for j < columns and k < lanes.

        Rows k >= `rows` of `source` count as zeros. Neither count exceeds the lanes. `target` may
        be `source`, with the same distance between rows.
        """
        vector, n = Vector(source.dtype), types.intp

        def codegen(context, builder, signature, args):
            source, ldf, rows, target, ldt, columns = args
            tool, count, number = _Ir(builder, vector), vector.count, ir.IntType(64)
            zero = ir.Constant(tool.type, [0.0] * count)
            final = builder.sub(rows, number(1))
            v = []
            for k in range(count):
                there = builder.icmp_signed("<", number(k), rows)
                row = builder.select(there, number(k), final)
                loaded = tool.load(source, builder.mul(row, ldf))
                v.append(builder.select(there, loaded, zero))
            # Swap off-diagonal blocks of half the size, then of a quarter, ...
            index = ir.VectorType(ir.IntType(32), count)
            distance = count // 2
            while distance:
                low = [count + j - distance if j & distance else j for j in range(count)]
                high = [count + j if j & distance else j + distance for j in range(count)]
                for k in range(count):
                    if not k & distance:
                        a, b = v[k], v[k + distance]
                        v[k] = builder.shuffle_vector(a, b, ir.Constant(index, low))
                        v[k + distance] = builder.shuffle_vector(a, b, ir.Constant(index, high))
                distance //= 2
            for j in range(count):
                with builder.if_then(builder.icmp_signed("<", number(j), columns)):
                    tool.store(target, builder.mul(number(j), ldt), v[j])
            return context.get_dummy_value()

        return types.void(source, n, n, target, n, n), codegen


def _panel(vectors, most_rows):
    """The product for a panel of `vectors` vectors of columns, and any number of rows."""
    tall, eight, four = _tile(most_rows, vectors), _tile(8, vectors), _tile(4, vectors)
    two, one = _tile(2, vectors), _tile(1, vectors)

    @inner
    def panel(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, K):
        i = 0
        while i + most_rows <= M:
            a, c, d = offset(A, i * row_step), offset(C, i * ldc), offset(init, i * ldi)
            tall(a, row_step, k_step, B, ldb, d, ldi, c, ldc, K)
            i += most_rows
        if most_rows > 8 and i + 8 <= M:
            a, c, d = offset(A, i * row_step), offset(C, i * ldc), offset(init, i * ldi)
            eight(a, row_step, k_step, B, ldb, d, ldi, c, ldc, K)
            i += 8
        if i + 4 <= M:
            a, c, d = offset(A, i * row_step), offset(C, i * ldc), offset(init, i * ldi)
            four(a, row_step, k_step, B, ldb, d, ldi, c, ldc, K)
            i += 4
        if i + 2 <= M:
            a, c, d = offset(A, i * row_step), offset(C, i * ldc), offset(init, i * ldi)
            two(a, row_step, k_step, B, ldb, d, ldi, c, ldc, K)
            i += 2
        if i < M:
            a, c, d = offset(A, i * row_step), offset(C, i * ldc), offset(init, i * ldi)
            one(a, row_step, k_step, B, ldb, d, ldi, c, ldc, K)

    return panel


# Accumulators, a row of B and a broadcast number of A should fill the registers: AVX-512 has
# 32 of 64 bytes, AVX2 the equivalent of 8, NEON of 8.
_AVX512 = FEATURES.get("avx512f", False)
if _AVX512:
    _four_vectors, _two_vectors, _one_vector = _panel(4, 6), _panel(2, 8), _panel(1, 16)
else:
    _one_vector = _panel(1, 6)
    _four_vectors = _two_vectors = _one_vector


# A factor B of more bytes does not stay in the cache while each few rows of A read all of it.
WIDE, DEPTH = 8 << 20, 128


@inner
def wide_product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K):
    """The product for such a B: all rows of A use DEPTH rows of it before the next."""
    width = lanes(C)
    widest = 4 * width if _AVX512 else width
    for j in range(0, J, widest):
        c, source, ldf = offset(C, j), offset(init, j), ldi
        for k in range(0, K, DEPTH):
            depth, a, b = min(DEPTH, K - k), offset(A, k * k_step), offset(B, k * ldb + j)
            if j + widest <= J:
                _four_vectors(a, row_step, k_step, b, ldb, source, ldf, c, ldc, M, depth)
            else:
                for v in range(0, J - j, width):
                    b_v, c_v, d_v = offset(b, v), offset(c, v), offset(source, v)
                    _one_vector(a, row_step, k_step, b_v, ldb, d_v, ldf, c_v, ldc, M, depth)
            source, ldf = c, ldc


@inner
def product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K):
    """C = init + A B.

    A is M x K with element (i, k) at ``A[i * row_step + k * k_step]``, so either order can
    be read; B is K x J and C is M x J, rows `ldb` and `ldc` apart. J is a whole number of
    vectors. Row i of init is at ``init[i * ldi]``: a bias or a row of zeros with ldi = 0, or
    C itself to add to it.
    """
    width = lanes(C)
    bytes_of_B = K * J * VECTOR_BYTES // width
    if bytes_of_B >= WIDE:
        wide_product(A, row_step, k_step, B, ldb, init, ldi, C, ldc, M, J, K)
        return
    j = 0
    if _AVX512:
        while j + 4 * width <= J:
            b, d, c = offset(B, j), offset(init, j), offset(C, j)
            _four_vectors(A, row_step, k_step, b, ldb, d, ldi, c, ldc, M, K)
            j += 4 * width
        if j + 2 * width <= J:
            b, d, c = offset(B, j), offset(init, j), offset(C, j)
            _two_vectors(A, row_step, k_step, b, ldb, d, ldi, c, ldc, M, K)
            j += 2 * width
    while j < J:
        b, d, c = offset(B, j), offset(init, j), offset(C, j)
        _one_vector(A, row_step, k_step, b, ldb, d, ldi, c, ldc, M, K)
        j += width


@inner
def copy_rows(source, stride, rows, n, target, width):
    """Copy rows of n numbers, `stride` apart, to where they are `width` apart."""
    for r in range(rows):
        for j in range(n):
            target[r * width + j] = source[r * stride + j]
