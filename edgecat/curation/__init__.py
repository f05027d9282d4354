"""Data set tools: fetch, collect, check, split and pack images."""
