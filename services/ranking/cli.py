"""`crossrec serve ranking`. Heavy imports wait until the command runs."""


def serve_ranking() -> None:
    """Start the ranking server: ranks with what `models` promoted in the registry, or the newest version."""
    from services.ranking.main import run_ranking
    from services.settings.load import load_settings

    run_ranking(load_settings())
