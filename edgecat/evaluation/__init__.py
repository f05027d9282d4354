"""How good a model is, how far its probabilities can be believed, and what it does not know."""
