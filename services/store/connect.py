"""Opens the online store of the settings, connected on first use. Needs neither Feast nor its registry."""

from services.features.schema import build_schema
from services.settings.load import Settings
from services.store.protocol import StoreDenied, StoreUnavailable
from services.store.redis.feast_rows import FeastRowStore

BATCH_TIMEOUT_S = 20.0
"""Read time-out, in seconds, of processes that write batches."""


def open_rows(settings: Settings) -> FeastRowStore:
    """The online store for processes that only read: rows of newer feature schemas are read where possible."""
    return _open(settings, newer=True)


def open_rows_for_batches(settings: Settings) -> FeastRowStore:
    """The online store for processes that write: rows of newer feature schemas are refused, time-outs fit wide rows."""
    timeout_s = max(settings.store.read_timeout_s, BATCH_TIMEOUT_S)
    store = settings.store.model_copy(update={"read_timeout_s": timeout_s})
    return _open(settings.model_copy(update={"store": store}), newer=False)


def check_rights(rows: FeastRowStore) -> None:
    """Try the commands that the store's user needs. Raises StoreDenied; a store that cannot be reached is let pass."""
    try:
        rows.check_rights()
    except StoreDenied as error:
        raise StoreDenied(f"{error}; deploy/README.md lists what the user needs") from error
    except StoreUnavailable:
        return


def _open(settings: Settings, *, newer: bool) -> FeastRowStore:
    deleted_days = settings.retention.behavior_days + 1
    return FeastRowStore(settings.store, build_schema(settings.features), deleted_days=deleted_days, newer=newer)
