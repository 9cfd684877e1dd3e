"""How a team of threads divides a matrix: by rows or, where these are too few, by columns, too.

Every element is computed by one thread in one order, so no division changes a bit.
The twin of this file is ``src_cython/shares.pxi``.
"""

from collections import namedtuple

from ._jit import inlined, inner

# Threads get whole units of UNIT rows, which are whole vectors, so no two threads write to the
# same vector; and whole panels of columns, the widest that the products compute at a time.
UNIT, PANEL_VECTORS = 16, 4

# A thread's part of a matrix: rows first..last - 1 of the columns left..right - 1. `split` is
# whether threads divide the columns.
Share = namedtuple("Share", "first last left right split")


@inlined
def share_start(n, unit, rank, threads):
    """Where the share of a thread in n rows or columns begins; the one before it ends there."""
    return min(n, (n + unit - 1) // unit * rank // threads * unit)


@inner
def column_parts(units, panels, threads):
    """Into how many parts the columns are divided: a divisor of the number of threads.

    More than one if that takes at least a sixteenth of its work from the busiest thread, since
    rows in one piece are faster to update.
    """
    best, least = 1, (units + threads - 1) // threads * panels
    for parts in range(2, min(threads, panels) + 1):
        if threads % parts == 0:
            teams = threads // parts
            work = (units + teams - 1) // teams * ((panels + parts - 1) // parts)
            if 16 * work <= 15 * least:
                best, least = parts, work
    return best


@inlined
def share_of(rows, columns, lanes, rank, threads):
    """The share of thread `rank`. The matrix is padded to `columns`, which are whole vectors."""
    panel = PANEL_VECTORS * lanes
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
