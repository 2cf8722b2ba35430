"""The pages: they lay out what the functions of services.console make, and pass on what people choose."""
