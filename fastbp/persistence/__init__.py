"""Models in files: `save` and `load` for networks, estimators, ensembles and pipelines."""
