"""Training of many networks or on many machines: `fit_many`, and Dask clusters."""
