"""Estimators for tables: ensembles of small networks that prepare the columns themselves."""
