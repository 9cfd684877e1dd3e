"""Denormal numbers as zeros: a mode of the processor, for the thread that trains.

A training that has converged is full of numbers close to zero: probabilities, deltas, gradients,
moments. The smallest ones that a format can hold, the denormal numbers, take some processors ten
to a hundred times as long to compute with.

The processor reads the mode at each operation, but LLVM does not know that. So a kernel sets the
mode, calls a function that is `apart`, which LLVM does not inline, and restores the mode.

The twin of this file is ``src_cython/denormals.h``.
"""

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import inlined

if config.DISABLE_JIT:
    # NumPy computes, in the mode of its caller.
    def control():
        return 0

    def set_control(word):
        pass

    def apart():
        pass

    FLUSH = 0

else:
    _processor = binding.get_process_triple().partition("-")[0]
    _x86, _arm = _processor == "x86_64", _processor in ("aarch64", "arm64")
    # The bits of the control word: results that are denormal, and denormal operands, become zero.
    FLUSH = 0x8040 if _x86 else 1 << 24 if _arm else 0

    def _call(builder, name, returned, *arguments):
        kind = ir.FunctionType(returned, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}")
        return builder.call(function, arguments)

    def _place(builder):
        """Memory for MXCSR, which is read and written there."""
        place = cgutils.alloca_once(builder, ir.IntType(32))
        return place, builder.bitcast(place, ir.IntType(8).as_pointer())

    @intrinsic
    def control(typingctx):
        """The floating-point control word of the thread; 0 on unknown processors."""

        def codegen(context, builder, signature, args):
            if _x86:
                place, address = _place(builder)
                _call(builder, "x86.sse.stmxcsr", ir.VoidType(), address)
                return builder.zext(builder.load(place), ir.IntType(64))
            if _arm:
                return _call(builder, "aarch64.get.fpcr", ir.IntType(64))
            return ir.IntType(64)(0)

        return types.int64(), codegen

    @intrinsic
    def set_control(typingctx, word):
        """Set the floating-point control word of the thread."""

        def codegen(context, builder, signature, args):
            if _x86:
                place, address = _place(builder)
                builder.store(builder.trunc(args[0], ir.IntType(32)), place)
                _call(builder, "x86.sse.ldmxcsr", ir.VoidType(), address)
            elif _arm:
                _call(builder, "aarch64.set.fpcr", ir.VoidType(), args[0])
            return context.get_dummy_value()

        return types.void(types.int64), codegen

    @intrinsic
    def apart(typingctx):
        """Keep LLVM from inlining the function that calls this."""

        def codegen(context, builder, signature, args):
            builder.function.attributes.add("noinline")
            return context.get_dummy_value()

        return types.void(), codegen


@inlined
def flush():
    """From now on, take denormal numbers for zeros; return the control word before."""
    before = control()
    set_control(before | FLUSH)
    return before
