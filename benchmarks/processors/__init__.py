"""Tests for identical results on many CPUs, emulated and native."""
