"""The same answer on every processor: a matrix of them, emulated, beside the native one."""
