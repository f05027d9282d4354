"""Synthetic pets: shapes, heads, bodies, coats, scenery and a virtual camera."""
