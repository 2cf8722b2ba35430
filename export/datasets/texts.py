"""The texts of a data set, as the encoder takes them."""

from collections.abc import Iterator

from export.datasets.check.columns import TableReader
from services.features.catalogue import ItemState, ScenarioState


def catalogue_texts(tables: TableReader) -> Iterator[str]:
    """The texts of all versions of items and scenarios, one after the other; empty ones too."""
    for batch in tables.batches("items", ("title", "description", "categories")):
        for row in batch.to_pylist():
            yield ItemState(0.0, row["title"] or "", row["description"] or "", row["categories"] or ()).text
    for batch in tables.batches("scenarios", ("name", "description")):
        for row in batch.to_pylist():
            yield ScenarioState(0.0, row["name"], row["description"]).text


def event_texts(tables: TableReader) -> Iterator[str]:
    """The texts of queries and comments."""
    for batch in tables.batches("events", ("text",)):
        yield from batch["text"].drop_null().to_pylist()
