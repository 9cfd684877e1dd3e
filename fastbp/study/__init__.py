"""Experiments with networks: gradient checks, learning-rate search, comparison of backends."""
