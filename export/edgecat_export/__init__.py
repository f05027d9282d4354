"""edgecat's export: turn a PyTorch module and its card into self-verifying files."""

__version__ = "0.1.0"
