"""What the commands do, without a terminal: each function returns data."""
