"""HTML reports: one page style and one chart module."""
