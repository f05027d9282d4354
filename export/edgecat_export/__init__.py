"""edgecat's export: a PyTorch module and its card become files that prove themselves."""

__version__ = "0.1.0"
