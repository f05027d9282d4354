"""The work of the commands, without a terminal: each function returns data."""
