"""The models that serve: ONNX sessions, batching, the registry's watcher, the A/B split, the shadow."""
