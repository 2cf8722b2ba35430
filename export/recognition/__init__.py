"""Trains what recognises the scenario of a request that names none: samples, forest, calibration, ONNX."""
