"""`crossrec serve ranking`. Heavy imports wait until the command runs."""


def serve_ranking() -> None:
    """Start the ranking server: ranks with what `models` promoted in the registry, or with the first version there."""
    from services.server.logging import announce
    from services.settings.load import load_settings

    settings = load_settings()
    announce("ranking_starting", model=settings.ranking.model)
    from services.ranking.main import run_ranking

    run_ranking(settings)
