"""Training one network on a Dask cluster; see `fit`."""

from .many.distributed import fit

__all__ = ["fit"]
