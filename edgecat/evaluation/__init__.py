"""Evaluation: accuracy, calibration, robustness and out-of-distribution detection."""
