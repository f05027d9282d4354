"""Training: from images to a checkpoint."""
