"""Publish models on a channel that a fleet of devices follows, and see what is there."""
