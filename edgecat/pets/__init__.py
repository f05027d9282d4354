"""The drawn animals: shapes, heads, bodies, coats, scenery and the camera that takes them."""
