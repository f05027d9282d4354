"""A source, a backend and an output for edgecat."""
