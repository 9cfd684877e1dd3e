"""Progress bars of tqdm, without its monitoring thread."""

import functools


def bar(shown, **options):
    """A progress bar with `update` and `close`, also for a with statement.

    Parameters
    ----------
    shown : bool
        If False, it does nothing, and tqdm is not loaded.
    **options
        Of tqdm, such as ``total``.
    """
    # The thread refreshes bars that count in strides; in strides of 1 they refresh themselves.
    return _quiet_tqdm()(miniters=1, **options) if shown else _Hidden()


@functools.cache
def _quiet_tqdm():
    from tqdm.auto import tqdm

    class Bar(tqdm):
        monitor_interval = 0

    return Bar


class _Hidden:
    """A bar that shows nothing."""

    def update(self, n=1):
        pass

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass
