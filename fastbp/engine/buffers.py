"""Scratch memory that is kept between calls, so that small calls do not allocate.

All networks of a process share it: memory is bounded, however many networks have been used.
"""

import ctypes
import sys
from collections import deque

from ..basis.memory import address

# A call that needs a larger buffer computes for so long that allocating it costs little.
MOST_BYTES = 1 << 22
MOST_SIZES = 16  # that are kept at the same time; one more, and all are dropped
MOST_ALIKE = 8  # buffers of one size, of large ones fewer: together at most MOST_BYTES

_free: dict = {}  # (size, bytes a number) -> a deque of buffers that no call has


def _memcmp():
    library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    function = library.memcmp
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    return function


_compare = _memcmp()  # takes a third of the time of NumPy, which writes an array of booleans


def equal(one, other):
    """Whether two buffers of the same size and dtype are the same, bit by bit."""
    return _compare(address(one), address(other), one.nbytes) == 0


def take(layout, size, zeroed=False):
    """A buffer of that many numbers of the layout's dtype, zeroed, or with any contents."""
    try:
        buffer = _free[size, layout.dtype.itemsize].pop()
    except (KeyError, IndexError):
        return layout.zeros(size)
    if zeroed:
        buffer.fill(0)
    return buffer


def give(*buffers):
    """Take back buffers that a call has finished with."""
    for buffer in buffers:
        key = buffer.size, buffer.itemsize
        free = _free.get(key)
        if free is None:
            if buffer.nbytes > MOST_BYTES:
                continue
            if len(_free) >= MOST_SIZES:
                _free.clear()
            most = min(MOST_ALIKE, MOST_BYTES // max(buffer.nbytes, 1))
            free = _free.setdefault(key, deque(maxlen=most))
        free.append(buffer)
