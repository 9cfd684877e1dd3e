"""A team of threads that run the same kernel, and the barrier between the phases of a step.

The twin of this file is ``src_cython/team.h``.
"""

import sys

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from ._jit import inlined

# Indices in the array that a team shares, each on its own cache line: the number of threads at the
# barrier, the number of barriers passed, and whether to stop.
ARRIVED, PASSED, STOPPED = 0, 8, 16

# Number of checks before a waiting thread yields the core, some microseconds. (A pause instruction
# in the loop would be slow on virtual machines.)
SPINS = 10000

if config.DISABLE_JIT:
    # Without compiled code, a team has one member, which never waits.
    def barrier(shared, threads):
        pass

else:
    give_way = types.ExternalFunction(
        "SwitchToThread" if sys.platform == "win32" else "sched_yield", types.int32()
    )

    @intrinsic
    def atomic_add(typingctx, p, i, x):
        """Add x to p[i]; return the old value."""

        def codegen(context, builder, signature, args):
            return builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), args[2], "acq_rel")

        return types.int64(p, types.intp, types.int64), codegen

    @intrinsic
    def atomic_load(typingctx, p, i):
        """Return the current value of p[i]."""

        def codegen(context, builder, signature, args):
            address = builder.gep(args[0], [args[1]])
            return builder.load_atomic(address, "acquire", 8, typ=ir.IntType(64))

        return types.int64(p, types.intp), codegen

    @intrinsic
    def atomic_store(typingctx, p, i, x):
        """Set p[i] = x; threads that see it also see all earlier writes."""

        def codegen(context, builder, signature, args):
            builder.store_atomic(args[2], builder.gep(args[0], [args[1]]), "release", 8)
            return context.get_dummy_value()

        return types.void(p, types.intp, types.int64), codegen

    @inlined
    def barrier(shared, threads):
        """Return when all `threads` have called this; each sees the others' earlier writes."""
        if threads == 1:
            return
        passed = atomic_load(shared, PASSED)
        if atomic_add(shared, ARRIVED, 1) + 1 == threads:
            atomic_store(shared, ARRIVED, 0)
            atomic_store(shared, PASSED, passed + 1)
            return
        spins = 0
        while atomic_load(shared, PASSED) == passed:
            spins += 1
            if spins > SPINS:
                give_way()
