"""`crossrec serve gateway`. Heavy imports wait until the command runs."""


def serve_gateway() -> None:
    """Start the event gateway: takes events over gRPC and stores them in Kafka."""
    from services.gateway.main import run_gateway
    from services.settings.load import load_settings

    run_gateway(load_settings())
