"""A board that follows a channel of models: fetches, proves and takes over, or stays as it is."""
