"""Scratch memory that a network keeps between calls, so that small calls do not allocate."""

# A call that needs more than this computes for so long that allocating costs nothing beside it.
MOST_BYTES = 1 << 20
# Sizes of buffers that are kept at the same time; one more, and all are dropped.
MOST_SIZES = 8


class Buffers:
    """Buffers of a network's dtype, lent to one call at a time. Threads may share the object.

    Parameters
    ----------
    layout : Layout
        Allocates the buffers.
    """

    def __init__(self, layout):
        self._layout = layout
        self._free: dict = {}  # size -> buffers that no call has

    def take(self, size):
        """A buffer of that many numbers, which may hold anything."""
        free = self._free.get(size)
        if free:
            try:
                return free.pop()
            except IndexError:  # another thread was faster
                pass
        return self._layout.zeros(size)

    def give(self, *buffers):
        """Take back buffers that a call has finished with."""
        for buffer in buffers:
            if buffer.nbytes > MOST_BYTES:
                continue
            if buffer.size not in self._free and len(self._free) >= MOST_SIZES:
                self._free = {}
            self._free.setdefault(buffer.size, []).append(buffer)
