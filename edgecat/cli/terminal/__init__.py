"""Terminal output of the commands, and their handling of signals."""
