# How a team of threads divides a matrix: by rows or, where these are too few, by columns, too.
#
# Every element is computed by one thread in one order, so no division changes a bit.
# The twin of fastbp/backends/numba_/shares.py.

# Threads get whole units of UNIT rows, which are whole vectors, so no two threads write to the
# same vector; and whole panels of columns, the widest that the products compute at a time.
cdef enum:
    UNIT = 16
    PANEL_VECTORS = 4

# A thread's part of a matrix: rows first..last - 1 of the columns left..right - 1. `split` is
# whether threads divide the columns.
cdef struct Share:
    Py_ssize_t first
    Py_ssize_t last
    Py_ssize_t left
    Py_ssize_t right
    bint split


cdef inline Py_ssize_t share_start(
    Py_ssize_t n, Py_ssize_t unit, Py_ssize_t rank, Py_ssize_t threads
) noexcept nogil:
    """Where the share of a thread in n rows or columns begins; the one before it ends there."""
    return min(n, (n + unit - 1) // unit * rank // threads * unit)


cdef Py_ssize_t column_parts(
    Py_ssize_t units, Py_ssize_t panels, Py_ssize_t threads
) noexcept nogil:
    """Into how many parts the columns are divided: a divisor of the number of threads.

    More than one if that takes at least a sixteenth of its work from the busiest thread, since
    rows in one piece are faster to update.
    """
    cdef Py_ssize_t best = 1, least = (units + threads - 1) // threads * panels, parts, teams, work
    for parts in range(2, min(threads, panels) + 1):
        if threads % parts == 0:
            teams = threads // parts
            work = (units + teams - 1) // teams * ((panels + parts - 1) // parts)
            if 16 * work <= 15 * least:
                best, least = parts, work
    return best


cdef inline Share share_of(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t rank, Py_ssize_t threads
) noexcept nogil:
    """The share of thread `rank`. The matrix is padded to `columns`, which are whole vectors."""
    cdef Py_ssize_t panel = PANEL_VECTORS * FBP_LANES, parts, teams
    if threads == 1:  # soon done, for the sake of tiny networks
        return Share(0, rows, 0, columns, False)
    parts = column_parts((rows + UNIT - 1) // UNIT, (columns + panel - 1) // panel, threads)
    teams = threads // parts
    return Share(
        share_start(rows, UNIT, rank // parts, teams),
        share_start(rows, UNIT, rank // parts + 1, teams),
        share_start(columns, panel, rank % parts, parts),
        share_start(columns, panel, rank % parts + 1, parts),
        parts > 1,
    )
