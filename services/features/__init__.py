"""The one definition of features: schema, state update and encoding to tensors.

Pure numpy. Knows nothing of Feast, Kafka, gRPC, files or clocks. Consumer, trainer and server call the same code,
so that a model is served the features it was trained on. The map of the modules is in README.md.
"""
