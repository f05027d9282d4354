"""What the commands show on a terminal, and how signals end them."""
