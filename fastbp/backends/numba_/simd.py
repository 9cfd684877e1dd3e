"""Pointers and 64-byte vectors for Numba: the few instructions that the kernels use.

A `Vector` holds 64 bytes of one precision: 16 float32 or 8 float64 lanes, whatever the
processor's own register width. LLVM maps it on one AVX-512 register, two AVX2 or four NEON
registers. Only `sum_lanes` and `max_lanes` combine lanes, in a fixed order, and every fused
multiply-add is written out. So results do not depend on the machine's vector width.

Under ``NUMBA_DISABLE_JIT=1`` the same names work in plain Python: a pointer is a NumPy view
and a vector is a NumPy array of its lanes.

The twin of this file is ``src_cython/simd.h``.
"""

import ctypes
import operator

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.core.typing import signature
from numba.extending import intrinsic, lower_builtin, register_model, type_callable

VECTOR_BYTES = 64
# Constants for estimating 1 / v, by the size of a number: the estimate's bit pattern is the
# constant minus the bit pattern of v.
RECIPROCAL_BITS = {4: 0x7EF311C7, 8: 0x7FDE623822FC16E6}

if config.DISABLE_JIT:
    # Plain Python stand-ins with the meaning of the intrinsics below.

    def pointer(array):
        return array.reshape(-1)

    def at(addresses, place, like):
        return addresses[place]

    def numbers_at(address):
        return ctypes.cast(int(address), ctypes.POINTER(ctypes.c_double))

    def integers_at(address):
        return address

    def offset(p, n):
        return p[n:]

    def words(p):
        return p[: p.nbytes // 8 * 8 // p.itemsize].view(np.int64)

    def is_single(p):
        return p.dtype == np.float32

    def lanes(p):
        return VECTOR_BYTES // p.dtype.itemsize

    def load(p, i):
        return p[i : i + lanes(p)].copy()

    def store(p, i, v):
        p[i : i + lanes(p)] = v

    def splat(like, x):
        return np.full(lanes(like), x, like.dtype)

    def lane(v, i):
        return v[i]

    def with_lane(v, i, x):
        v = v.copy()
        v[i] = x
        return v

    def low_half(v):
        return v[: v.size // 2].astype(np.float64) if is_single(v) else v

    def high_half(v):
        return v[v.size // 2 :].astype(np.float64) if is_single(v) else v

    def narrow(like, low, high):
        return np.concatenate([low, high]).astype(np.float32) if is_single(like) else low

    def fma(a, b, c):
        # One rounding for float32; NumPy has no float64 fma, so there it rounds twice.
        return (a.astype(np.float64) * b + c).astype(a.dtype)

    def sqrt(v):
        return np.sqrt(v)

    def absolute(v):
        return np.abs(v)

    def copysign(v, sign):
        return np.copysign(v, sign)

    def select_lt(a, b, x, y):
        return np.where(a < b, x, y)

    def select_le(a, b, x, y):
        return np.where(a <= b, x, y)

    def keep_first(v, count, fill):
        return np.where(np.arange(v.size) < count, v, np.asarray(fill, v.dtype))

    def sum_lanes(v):
        while v.size > 1:
            v = v[: v.size // 2] + v[v.size // 2 :]
        return v[0]

    def max_lanes(v):
        while v.size > 1:
            a, b = v[: v.size // 2], v[v.size // 2 :]
            v = np.where(a < b, b, a)
        return v[0]

    def _integer_view(v):
        return v.view(np.int32 if v.dtype == np.float32 else np.int64)

    def shifter(v):
        return np.full(v.size, 1.5 * 2.0 ** np.finfo(v.dtype).nmant, v.dtype)

    def pow2(t):
        info = np.finfo(t.dtype)
        return ((_integer_view(t) + (info.maxexp - 1)) << info.nmant).view(t.dtype)

    def log_exponent(v):
        bits, root = _integer_view(v), _integer_view(np.sqrt(np.full(1, 0.5, v.dtype)))
        return ((bits - root) >> np.finfo(v.dtype).nmant).astype(v.dtype)

    def log_mantissa(v):
        bits, root = _integer_view(v), _integer_view(np.sqrt(np.full(1, 0.5, v.dtype)))
        mask = (1 << np.finfo(v.dtype).nmant) - 1
        return (((bits - root) & mask) + root).view(v.dtype)

    def reciprocal_estimate(v):
        magic = RECIPROCAL_BITS[v.dtype.itemsize]
        return (v.dtype.type(0).view(_integer_view(v).dtype) + magic - _integer_view(v)).view(
            v.dtype
        )

    def prefetch(p, i):
        pass

else:

    class Vector(types.Type):
        """64 bytes of lanes of one floating-point type."""

        def __init__(self, dtype):
            self.dtype = dtype
            self.count = VECTOR_BYTES * 8 // dtype.bitwidth
            super().__init__(name=f"Vector({dtype})")

    @register_model(Vector)
    class _VectorModel(PrimitiveModel):
        def __init__(self, dmm, fe_type):
            element = ir.FloatType() if fe_type.dtype is types.float32 else ir.DoubleType()
            super().__init__(dmm, fe_type, ir.VectorType(element, fe_type.count))

    def _vector_type(like):
        """Return the Vector type of a Vector or of a pointer to its lanes."""
        return like if isinstance(like, Vector) else Vector(like.dtype)

    class _Ir:
        """LLVM building blocks for one Vector type."""

        def __init__(self, builder, vector):
            self.builder, self.vector = builder, vector
            self.single = vector.dtype is types.float32
            self.element = ir.FloatType() if self.single else ir.DoubleType()
            self.integer = ir.IntType(32 if self.single else 64)
            self.type = ir.VectorType(self.element, vector.count)
            self.integers = ir.VectorType(self.integer, vector.count)
            self.suffix = f"v{vector.count}f{vector.dtype.bitwidth}"
            self.mantissa_bits = 23 if self.single else 52

        def ints(self, value):
            return ir.Constant(self.integers, [value] * self.vector.count)

        def splat(self, scalar):
            undefined = ir.Constant(self.type, ir.Undefined)
            first = self.builder.insert_element(undefined, scalar, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.vector.count), None)
            return self.builder.shuffle_vector(first, undefined, zeros)

        def call(self, name, *args):
            kind = ir.FunctionType(self.type, [self.type] * len(args))
            function = cgutils.get_or_insert_function(
                self.builder.module, kind, f"llvm.{name}.{self.suffix}"
            )
            return self.builder.call(function, args)

        def address(self, p, i):
            return self.builder.bitcast(self.builder.gep(p, [i]), self.type.as_pointer())

        def load(self, p, i):
            value = self.builder.load(self.address(p, i), typ=self.type)
            value.align = self.vector.dtype.bitwidth // 8
            return value

        def store(self, p, i, value):
            self.builder.store(value, self.address(p, i), align=self.vector.dtype.bitwidth // 8)

        @property
        def root_half_bits(self):
            root = np.sqrt(np.full(1, 0.5, np.float32 if self.single else np.float64))
            return int(root.view(np.int32 if self.single else np.int64)[0])

        @property
        def shifter_bits(self):
            return 0x4B400000 if self.single else 0x4338000000000000

    @intrinsic
    def pointer(typingctx, array):
        """The address of a C-contiguous array's first element."""
        if not isinstance(array, types.Array):
            return None

        def codegen(context, builder, signature, args):
            return cgutils.create_struct_proxy(array)(context, builder, value=args[0]).data

        return types.CPointer(array.dtype)(array), codegen

    @intrinsic
    def at(typingctx, addresses, place, like):
        """The address in an array of int64 as a pointer of the type of `like`."""

        def codegen(context, builder, signature, args):
            numbers = cgutils.create_struct_proxy(addresses)(context, builder, value=args[0]).data
            address = builder.load(builder.gep(numbers, [args[1]]), typ=ir.IntType(64))
            return builder.inttoptr(address, context.get_value_type(like))

        return like(addresses, types.intp, like), codegen

    @intrinsic
    def numbers_at(typingctx, address):
        """An address as a pointer to float64 numbers."""

        def codegen(context, builder, signature, args):
            return builder.inttoptr(args[0], ir.DoubleType().as_pointer())

        return types.CPointer(types.float64)(types.int64), codegen

    @intrinsic
    def integers_at(typingctx, address):
        """An address as a pointer to int64 numbers; in plain Python, the array itself."""

        def codegen(context, builder, signature, args):
            return builder.inttoptr(args[0], ir.IntType(64).as_pointer())

        return types.CPointer(types.int64)(types.int64), codegen

    @intrinsic
    def offset(typingctx, p, n):
        """The pointer n elements further on."""

        def codegen(context, builder, signature, args):
            return builder.gep(args[0], [args[1]])

        return p(p, types.intp), codegen

    @intrinsic
    def words(typingctx, p):
        """The same memory as int64."""
        result = types.CPointer(types.int64)

        def codegen(context, builder, signature, args):
            return builder.bitcast(args[0], context.get_value_type(result))

        return result(p), codegen

    @intrinsic
    def is_single(typingctx, like):
        """Whether a pointer or a vector is float32; a compile-time constant."""

        def codegen(context, builder, signature, args):
            return ir.IntType(1)(like.dtype is types.float32)

        return types.boolean(like), codegen

    @intrinsic
    def lanes(typingctx, like):
        """The number of lanes of a vector; a compile-time constant."""

        def codegen(context, builder, signature, args):
            return ir.IntType(64)(_vector_type(like).count)

        return types.intp(like), codegen

    @intrinsic
    def load(typingctx, p, i):
        """The vector p[i : i + lanes]."""
        vector = _vector_type(p)

        def codegen(context, builder, signature, args):
            return _Ir(builder, vector).load(*args)

        return vector(p, types.intp), codegen

    @intrinsic
    def store(typingctx, p, i, v):
        """Write p[i : i + lanes] = v."""

        def codegen(context, builder, signature, args):
            _Ir(builder, v).store(*args)
            return context.get_dummy_value()

        return types.void(p, types.intp, v), codegen

    @intrinsic
    def splat(typingctx, like, x):
        """A vector of the type of `like` (a vector or a pointer) with x in every lane."""
        vector = _vector_type(like)

        def codegen(context, builder, signature, args):
            return _Ir(builder, vector).splat(args[1])

        return vector(like, vector.dtype), codegen

    @intrinsic
    def lane(typingctx, v, i):
        """The scalar in lane i."""

        def codegen(context, builder, signature, args):
            return builder.extract_element(*args)

        return v.dtype(v, types.intp), codegen

    @intrinsic
    def with_lane(typingctx, v, i, x):
        """The vector with x in lane i."""

        def codegen(context, builder, signature, args):
            return builder.insert_element(args[0], args[2], args[1])

        return v(v, types.intp, v.dtype), codegen

    def _half(first):
        def half(typingctx, v):
            result = Vector(types.float64)

            def codegen(context, builder, signature, args):
                if v.dtype is types.float64:
                    return args[0]
                index = ir.VectorType(ir.IntType(32), result.count)
                places = ir.Constant(index, [first * result.count + k for k in range(result.count)])
                part = builder.shuffle_vector(args[0], args[0], places)
                return builder.fpext(part, _Ir(builder, result).type)

            return result(v), codegen

        return half

    # Half of the lanes of a float32 vector as float64; a float64 vector is its own half.
    low_half = intrinsic(_half(0))
    high_half = intrinsic(_half(1))

    @intrinsic
    def narrow(typingctx, like, low, high):
        """The vector of the type of `like` whose halves are `low` and `high`."""

        def codegen(context, builder, signature, args):
            if like.dtype is types.float64:
                return args[1]
            index = ir.VectorType(ir.IntType(32), like.count)
            places = ir.Constant(index, list(range(like.count)))
            whole = builder.shuffle_vector(args[1], args[2], places)
            return builder.fptrunc(whole, _Ir(builder, like).type)

        return like(like, low, high), codegen

    @intrinsic
    def fma(typingctx, a, b, c):
        """a * b + c, rounded once."""

        def codegen(context, builder, signature, args):
            return _Ir(builder, a).call("fma", *args)

        return a(a, a, a), codegen

    @intrinsic
    def sqrt(typingctx, v):
        """The square root, correctly rounded."""

        def codegen(context, builder, signature, args):
            return _Ir(builder, v).call("sqrt", *args)

        return v(v), codegen

    @intrinsic
    def absolute(typingctx, v):
        """The absolute value."""

        def codegen(context, builder, signature, args):
            return _Ir(builder, v).call("fabs", *args)

        return v(v), codegen

    @intrinsic
    def copysign(typingctx, v, sign):
        """The magnitude of v with the sign of `sign`."""

        def codegen(context, builder, signature, args):
            return _Ir(builder, v).call("copysign", *args)

        return v(v, v), codegen

    def _select(comparison):
        def select(typingctx, a, b, x, y):
            def codegen(context, builder, signature, args):
                condition = builder.fcmp_ordered(comparison, args[0], args[1])
                return builder.select(condition, args[2], args[3])

            return a(a, a, a, a), codegen

        return select

    select_lt = intrinsic(_select("<"))  # x where a < b, else y; y where a or b is NaN
    select_le = intrinsic(_select("<="))  # x where a <= b, else y; y where a or b is NaN

    @intrinsic
    def keep_first(typingctx, v, count, fill):
        """v in the lanes below `count`, the scalar `fill` in the others."""

        def codegen(context, builder, signature, args):
            tool = _Ir(builder, v)
            number = builder.trunc(args[1], tool.integer) if tool.single else args[1]
            slots = ir.Constant(tool.integers, list(range(v.count)))
            limit = ir.Constant(tool.integers, ir.Undefined)
            limit = builder.insert_element(limit, number, ir.IntType(32)(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), v.count), None)
            limit = builder.shuffle_vector(limit, limit, zeros)
            kept = builder.icmp_signed("<", slots, limit)
            return builder.select(kept, args[0], tool.splat(args[2]))

        return v(v, types.intp, v.dtype), codegen

    def _fold_lanes(combine):
        """Reduce by halves: lane i with lane i + n/2, until one is left."""

        def fold(typingctx, v):
            def codegen(context, builder, signature, args):
                value, count = args[0], v.count
                while count > 1:
                    count //= 2
                    index = ir.VectorType(ir.IntType(32), count)
                    low = builder.shuffle_vector(
                        value, value, ir.Constant(index, list(range(count)))
                    )
                    high = builder.shuffle_vector(
                        value, value, ir.Constant(index, list(range(count, 2 * count)))
                    )
                    value = combine(builder, low, high)
                return builder.extract_element(value, ir.IntType(32)(0))

            return v.dtype(v), codegen

        return fold

    def _larger(builder, a, b):
        return builder.select(builder.fcmp_ordered("<", a, b), b, a)

    sum_lanes = intrinsic(_fold_lanes(lambda builder, a, b: builder.fadd(a, b)))
    max_lanes = intrinsic(_fold_lanes(_larger))

    @intrinsic
    def shifter(typingctx, v):
        """1.5 * 2**mantissa_bits: adding it rounds |x| < 2**21 to a whole number in the low bits"""

        def codegen(context, builder, signature, args):
            tool = _Ir(builder, v)
            return builder.bitcast(tool.ints(tool.shifter_bits), tool.type)

        return v(v), codegen

    @intrinsic
    def pow2(typingctx, t):
        """2**n for t = n + shifter(t), n whole and 2**n a normal number."""

        def codegen(context, builder, signature, args):
            tool = _Ir(builder, t)
            bias = 127 if tool.single else 1023
            bits = builder.add(builder.bitcast(args[0], tool.integers), tool.ints(bias))
            return builder.bitcast(builder.shl(bits, tool.ints(tool.mantissa_bits)), tool.type)

        return t(t), codegen

    def _log_bits(tool, v):
        """The bits of v minus the bits of sqrt(1/2), which puts m between sqrt(1/2) and sqrt(2)."""
        bits = tool.builder.bitcast(v, tool.integers)
        return tool.builder.sub(bits, tool.ints(tool.root_half_bits))

    @intrinsic
    def log_exponent(typingctx, v):
        """e of v = m * 2**e with sqrt(1/2) <= m < sqrt(2); v positive and normal."""

        def codegen(context, builder, signature, args):
            tool = _Ir(builder, v)
            e = builder.ashr(_log_bits(tool, args[0]), tool.ints(tool.mantissa_bits))
            # e + shifter, then - shifter, is a conversion that AVX2 has for 64 bits too.
            shifted = builder.bitcast(builder.add(e, tool.ints(tool.shifter_bits)), tool.type)
            constant = builder.bitcast(tool.ints(tool.shifter_bits), tool.type)
            return builder.fsub(shifted, constant)

        return v(v), codegen

    @intrinsic
    def log_mantissa(typingctx, v):
        """m of v = m * 2**e with sqrt(1/2) <= m < sqrt(2); v positive and normal."""

        def codegen(context, builder, signature, args):
            tool = _Ir(builder, v)
            mask = tool.ints((1 << tool.mantissa_bits) - 1)
            bits = builder.and_(_log_bits(tool, args[0]), mask)
            return builder.bitcast(builder.add(bits, tool.ints(tool.root_half_bits)), tool.type)

        return v(v), codegen

    @intrinsic
    def reciprocal_estimate(typingctx, v):
        """An estimate of 1 / v for normal v > 0, within 6 %.

        The subtraction of bit patterns negates the exponent, and roughly inverts the mantissa.
        """

        def codegen(context, builder, signature, args):
            tool = _Ir(builder, v)
            magic = tool.ints(RECIPROCAL_BITS[4 if tool.single else 8])
            return builder.bitcast(
                builder.sub(magic, builder.bitcast(args[0], tool.integers)), tool.type
            )

        return v(v), codegen

    @intrinsic
    def prefetch(typingctx, p, i):
        """Prefetch the cache line at p + i, which will be read soon."""

        def codegen(context, builder, signature, args):
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            address = builder.bitcast(builder.gep(args[0], [args[1]]), byte)
            builder.call(function, [address, number(0), number(3), number(1)])
            return context.get_dummy_value()

        return types.void(p, types.intp), codegen

    def _define_operator(symbol, instruction):
        """Define an operator on two vectors, or a vector and a scalar, as one instruction."""

        @type_callable(symbol)
        def type_of(context):
            def of_both(a, b):
                vector = next((kind for kind in (a, b) if isinstance(kind, Vector)), None)
                if vector is None:
                    return None
                return signature(
                    vector, *(k if isinstance(k, Vector) else vector.dtype for k in (a, b))
                )

            return of_both

        def implementation(context, builder, sig, args):
            tool = _Ir(builder, sig.return_type)
            return getattr(builder, instruction)(
                *(
                    arg if isinstance(kind, Vector) else tool.splat(arg)
                    for arg, kind in zip(args, sig.args, strict=True)
                )
            )

        for kinds in [(Vector, Vector), (Vector, types.Number), (types.Number, Vector)]:
            lower_builtin(symbol, *kinds)(implementation)

    for _symbol, _instruction in [
        (operator.add, "fadd"),
        (operator.sub, "fsub"),
        (operator.mul, "fmul"),
        (operator.truediv, "fdiv"),
    ]:
        _define_operator(_symbol, _instruction)

    @type_callable(operator.neg)
    def _type_of_negative(context):
        return lambda v: v if isinstance(v, Vector) else None

    @lower_builtin(operator.neg, Vector)
    def _negate(context, builder, sig, args):
        return builder.fneg(args[0])
