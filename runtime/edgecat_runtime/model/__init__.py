"""A model file: its card, seal, golden frames and preprocessing."""
