"""A network as numbers: its parameters, its loss, and its calls of a backend."""
