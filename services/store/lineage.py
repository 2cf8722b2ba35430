"""The feature schemas under which rows of an online store were written, oldest first: who may read and write them.

Fingerprints have no order, so the store keeps one: a row of its own that every writer adds its schema to when it
starts. An older writer is thereby known as such and refuses to work; rows of older schemas can be read, for the
row says how they are laid out. That row's own layout never changes, and it is read whatever its schema.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from services.features.layout import (
    SchemaLayout,
    adapt_row,
    conflicts,
    describe_layout,
    find_unknown_event_types,
    missing_features,
)
from services.features.rows import Row, pack_rows
from services.features.schema import LINEAGE, Schema, View
from services.store.protocol import IncompatibleSchema, Key, RowStore, StaleSchema, read_rows

LINEAGE_KEY: Key = ("schemas",)
"""Key of the one row."""

REMEDY = "go on with the older features settings, or set another store.project and fill it by `crossrec backfill`"


@dataclass(frozen=True)
class Lineage:
    """Fingerprints and layouts of schemas, oldest first."""

    fingerprints: tuple[int, ...] = ()
    layouts: tuple[SchemaLayout, ...] = ()


def read_lineage(store: RowStore) -> Lineage:
    """What the store says; empty if nobody ever wrote. Raises StoreUnavailable."""
    (row,) = read_rows(store, LINEAGE, [LINEAGE_KEY])
    if row is None:
        return Lineage()
    layouts = tuple(SchemaLayout.from_json(str(text)) for text in row["layouts"].tolist())
    return Lineage(tuple(int(fingerprint) for fingerprint in row["fingerprints"].tolist()), layouts)


def join_lineage(store: RowStore, schema: Schema) -> None:
    """Make the schema the newest of the store, if it is not; to be called before anything is written under it.

    Raises StaleSchema if a newer one has taken its place, IncompatibleSchema if stored rows cannot be read under it;
    StoreUnavailable, FencedWrite.
    """
    known, own = read_lineage(store), schema.fingerprint
    if known.fingerprints[-1:] == (own,):
        return
    if own in known.fingerprints:
        raise StaleSchema(_is_older(own, known.fingerprints[-1]))
    layout = describe_layout(schema)
    # Rows of any of them may still be there: a row is rewritten on its next event, not before.
    for fingerprint, stored in zip(known.fingerprints[::-1], known.layouts[::-1], strict=True):
        if found := conflicts(stored, layout):
            raise IncompatibleSchema(
                f"features: rows of feature schema {fingerprint} cannot be folded on under schema {own}: "
                f"{_some(found)}. Either {REMEDY}"
            )
    _write(store, Lineage((*known.fingerprints, own), (*known.layouts, layout)))
    if read_lineage(store).fingerprints[-1] != own:
        raise StaleSchema(f"feature schema {own}: a process with another one started at the same moment; start again")


def _write(store: RowStore, lineage: Lineage) -> None:
    values = {
        "fingerprints": np.array(lineage.fingerprints, np.int64),
        "layouts": np.array([layout.to_json() for layout in lineage.layouts], object),
        # So that of two who start at once, the one that knows less does not undo the other.
        "position": np.array([len(lineage.fingerprints), 0, 0]),
        "schema": np.array(lineage.fingerprints[-1]),
    }
    store.write([LINEAGE_KEY], pack_rows(LINEAGE, [values]))


class KnownSchemas:
    """What may be read under a schema, by the lineage of a store; looked up when another schema is met.

    Args:
        schema: the reader's.
        lineage: reads the store's lineage.
        newer: whether rows of newer schemas may be read. They must not be where rows are written: what is new in
            them would be lost.
    """

    def __init__(self, schema: Schema, lineage: Callable[[], Lineage], *, newer: bool) -> None:
        self._schema, self._read, self._newer = schema, lineage, newer
        self._lineage = Lineage()
        self._readable: dict[tuple[str, int], SchemaLayout] = {}

    def knows(self, fingerprint: int) -> bool:
        """Whether the store's lineage has the schema. Raises StoreUnavailable."""
        if fingerprint not in self._lineage.fingerprints:
            self._lineage = self._read()
        return fingerprint in self._lineage.fingerprints

    def may_fold(self, fingerprint: int) -> bool:
        """Whether what was made under another schema can be folded: it is an older one of the store's.

        Raises StaleSchema for a newer one: who has it must do the folding; StoreUnavailable.
        """
        if not self.knows(fingerprint):
            return False
        if self.is_newer(fingerprint):
            raise StaleSchema(_is_older(self._schema.fingerprint, fingerprint))
        return True

    def is_newer(self, fingerprint: int) -> bool:
        """Whether a schema that `knows` found comes after the reader's own."""
        known, own = self._lineage.fingerprints, self._schema.fingerprint
        return own in known and known.index(fingerprint) > known.index(own)

    def adapt_row(self, view: View, row: Row) -> Row:
        """A row of another schema as this one has it. Raises StaleSchema if it cannot be read; StoreUnavailable."""
        fingerprint = int(row["schema"])
        if fingerprint == self._schema.fingerprint or view.name == LINEAGE.name:
            return row
        layout = self._readable.get((view.name, fingerprint))
        if layout is None:
            layout = self._readable[view.name, fingerprint] = self._checked(view, fingerprint)
        return adapt_row(view, row, layout)

    def former(self, view: View) -> list[str]:
        """Features that the view had under other schemas and has no more; rows may still hold them."""
        self._lineage = self._read()
        known = [layout.views[view.name].features for layout in self._lineage.layouts if view.name in layout.views]
        return sorted({name for features in known for name in features} - {feature.name for feature in view.features})

    def _checked(self, view: View, fingerprint: int) -> SchemaLayout:
        """The layout of rows of the view under another schema, if they can be read."""
        own, rows = (
            self._schema.fingerprint,
            f"rows of view {view.name} were written under feature schema {fingerprint}",
        )
        if not self.knows(fingerprint):
            raise StaleSchema(
                f"{rows}, which the store does not list; this code has {own}: use the same features settings, or "
                "another store.project and backfill it"
            )
        stored, mine = (
            self._lineage.layouts[self._lineage.fingerprints.index(fingerprint)],
            describe_layout(self._schema),
        )
        newer = self.is_newer(fingerprint)
        if newer and not self._newer:
            raise StaleSchema(f"{rows}; {_is_older(own, fingerprint)}")
        if found := conflicts(mine, stored) if newer else conflicts(stored, mine):
            raise StaleSchema(f"{rows}, which cannot be read under {own}: {_some(found)}")
        if newer and (types := find_unknown_event_types(mine, stored)):
            raise StaleSchema(f"{rows}, which also counts {', '.join(types)} events; {_is_older(own, fingerprint)}")
        if newer and (gone := missing_features(view, stored)):
            raise StaleSchema(f"{rows}, which no longer has {', '.join(gone)}; {_is_older(own, fingerprint)}")
        return stored


def _is_older(own: int, newer: int) -> str:
    return (
        f"this process has feature schema {own}, the store is at the newer {newer}: start it with the newer features "
        "settings and program, or with another store.project"
    )


def _some(reasons: Sequence[str]) -> str:
    """The first three reasons, and how many more there are."""
    more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return "; ".join(reasons[:3]) + more
