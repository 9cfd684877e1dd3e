"""Many networks or many machines: `fit_many`, and training on a Dask cluster."""
