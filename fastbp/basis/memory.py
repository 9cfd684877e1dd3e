"""Memory for kernels: buffers that begin on a vector, and the addresses of arrays."""

import ctypes
import mmap

import numpy as np

VECTOR_BYTES = 64
# Buffers of at least LARGE_BYTES are put on large pages of PAGE_BYTES.
LARGE_BYTES = 1 << 19
PAGE_BYTES = 1 << 21


def zeros(size, dtype):
    """A zeroed 1-D buffer of a numpy.dtype that starts on a vector boundary."""
    itemsize = dtype.itemsize
    n_bytes = size * itemsize
    if n_bytes >= LARGE_BYTES and hasattr(mmap, "MADV_HUGEPAGE"):
        return _huge_pages(n_bytes).view(dtype)
    raw = np.zeros(size + VECTOR_BYTES // itemsize, dtype)
    start = -_begin(raw) % VECTOR_BYTES // itemsize
    return raw[start : start + size]


def _huge_pages(n_bytes):
    """Zeroed bytes on pages of 2 MiB, if the system can provide them.

    The weight gradient reads columns of h. On small pages, each row lies on a different page,
    and a column touches more pages than the processor's TLB holds.
    """
    # MAP_PRIVATE: an anonymous map is otherwise shared with processes forked later.
    memory = mmap.mmap(-1, n_bytes + PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(memory, np.uint8)
    start = -address(raw) % PAGE_BYTES
    return raw[start : start + n_bytes]


def address(array):
    """Where the numbers of a C-contiguous array begin; 0 if it has none."""
    if not array.size:
        return 0
    if not array.flags.writeable:
        return array.ctypes.data
    return _begin(array)


def _begin(array):
    """The address of a writable array that is not empty, in a fifth of the time of its `ctypes`."""
    return ctypes.addressof(ctypes.c_char.from_buffer(array))


def functions_at(table):
    """The addresses of the four C functions of an activation of the user's own."""
    return list((ctypes.c_int64 * 4).from_address(int(table)))
