"""Labelled images for training: folders, tar files and streamed shards."""
