"""Experiments with a network: gradients checked, learning rates found, backends compared."""
