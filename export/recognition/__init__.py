"""Trains the recogniser of the scenario of requests that name none: samples, random forest, calibration, ONNX."""
