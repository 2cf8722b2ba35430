"""The one definition of features: schema, state update and encoding to tensors.

Pure numpy. Knows nothing of Feast, Kafka, gRPC, files or clocks; consumer, trainer and server call the
same code, so that a model sees online what it was trained on.
"""
