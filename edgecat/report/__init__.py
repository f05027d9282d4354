"""HTML pages: one style, one kind of chart."""
