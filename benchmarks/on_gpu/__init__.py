"""The parts of `benchmarks/gpu.py`: ceilings, exports, parity, latency, peers, and the report."""
