"""`crossrec serve gateway`. Heavy imports wait until the command runs."""


def serve_gateway() -> None:
    """Start the event gateway: takes events over gRPC and stores them in Kafka."""
    from services.server.logging import announce
    from services.settings.load import load_settings

    settings = load_settings()
    announce("gateway_starting")
    from services.gateway.main import run_gateway

    run_gateway(settings)
