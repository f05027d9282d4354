"""Cameras that follow one channel through every fault, as processes of their own."""
