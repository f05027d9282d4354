"""Model compression: smaller networks from trained ones."""
