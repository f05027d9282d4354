"""NVIDIA's libraries: the driver, the CUDA runtime and TensorRT."""
