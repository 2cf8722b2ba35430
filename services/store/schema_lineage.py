"""The lineage of feature schemas under which rows of an online store were written, oldest first.

Fingerprints have no order, so the store records one: every writer adds its schema to the lineage row when it starts. A
writer with an older schema is recognised and refuses to start; rows of older schemas can be read, because the lineage
holds their layouts. The layout of the lineage row itself never changes, and it is read under every schema.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from services.features.layout import (
    SchemaLayout,
    adapt_row,
    describe_layout,
    find_conflicts,
    find_missing_features,
    find_unknown_event_types,
)
from services.features.rows import Row, pack_rows
from services.features.schema import LINEAGE, Schema, View
from services.store.protocol import IncompatibleSchema, Key, RowStore, StaleSchema, read_rows

LINEAGE_KEY: Key = ("schemas",)
"""Key of the lineage row."""

REMEDY = "keep the older features settings, or set another store.project and fill it by `crossrec backfill`"


@dataclass(frozen=True)
class SchemaLineage:
    """Fingerprints and layouts of schemas, oldest first."""

    fingerprints: tuple[int, ...] = ()
    layouts: tuple[SchemaLayout, ...] = ()


def read_lineage(store: RowStore) -> SchemaLineage:
    """The lineage of the store; empty before the first write. Raises StoreUnavailable."""
    (row,) = read_rows(store, LINEAGE, [LINEAGE_KEY])
    if row is None:
        return SchemaLineage()
    layouts = tuple(SchemaLayout.from_json(str(text)) for text in row["layouts"].tolist())
    return SchemaLineage(tuple(int(fingerprint) for fingerprint in row["fingerprints"].tolist()), layouts)


def join_lineage(store: RowStore, schema: Schema) -> None:
    """Make the schema the newest of the store's lineage; call it before any write under the schema.

    Raises StaleSchema if the lineage has a newer one, IncompatibleSchema if stored rows cannot be read under it;
    StoreUnavailable, FencedWrite.
    """
    known, own = read_lineage(store), schema.fingerprint
    if known.fingerprints[-1:] == (own,):
        return
    if own in known.fingerprints:
        raise StaleSchema(_describe_older(own, known.fingerprints[-1]))
    layout = describe_layout(schema)
    # Rows of every schema may remain: a row is rewritten on its next event, not before.
    for fingerprint, stored in zip(known.fingerprints[::-1], known.layouts[::-1], strict=True):
        if reasons := find_conflicts(stored, layout):
            raise IncompatibleSchema(
                f"features: rows of feature schema {fingerprint} cannot be folded on under schema {own}: "
                f"{_format_reasons(reasons)}. Either {REMEDY}"
            )
    _write(store, SchemaLineage((*known.fingerprints, own), (*known.layouts, layout)))
    if read_lineage(store).fingerprints[-1] != own:
        raise StaleSchema(f"feature schema {own}: a process with another one started at the same moment; start again")


def _write(store: RowStore, lineage: SchemaLineage) -> None:
    values = {
        "fingerprints": np.array(lineage.fingerprints, np.int64),
        "layouts": np.array([layout.to_json() for layout in lineage.layouts], object),
        # Of two writers that start at once, the fence refuses the one with the shorter lineage.
        "position": np.array([len(lineage.fingerprints), 0, 0]),
        "schema": np.array(lineage.fingerprints[-1]),
    }
    store.write([LINEAGE_KEY], pack_rows(LINEAGE, [values]))


class SchemaCompatibility:
    """Which stored rows can be read and folded under a schema, by the lineage of the store.

    Reads the lineage when a row of another schema is met.

    Args:
        schema: the schema of this process.
        lineage: reads the store's lineage.
        newer: whether rows of newer schemas may be read. False in processes that write rows: they would lose the new
            features.
    """

    def __init__(self, schema: Schema, lineage: Callable[[], SchemaLineage], *, newer: bool) -> None:
        self._schema, self._read, self._newer = schema, lineage, newer
        self._lineage = SchemaLineage()
        self._readable: dict[tuple[str, int], SchemaLayout] = {}

    def is_known(self, fingerprint: int) -> bool:
        """Whether the lineage has the schema. Raises StoreUnavailable."""
        if fingerprint not in self._lineage.fingerprints:
            self._lineage = self._read()
        return fingerprint in self._lineage.fingerprints

    def can_fold(self, fingerprint: int) -> bool:
        """Whether deltas made under another schema can be folded: it is an older one of the lineage.

        Raises StaleSchema for a newer one, which a process with that schema must fold; StoreUnavailable.
        """
        if not self.is_known(fingerprint):
            return False
        if self.is_newer(fingerprint):
            raise StaleSchema(_describe_older(self._schema.fingerprint, fingerprint))
        return True

    def is_newer(self, fingerprint: int) -> bool:
        """Whether a known schema comes after this process's own."""
        known, own = self._lineage.fingerprints, self._schema.fingerprint
        return own in known and known.index(fingerprint) > known.index(own)

    def adapt_row(self, view: View, row: Row) -> Row:
        """The row in the layout of this schema. Raises StaleSchema if it cannot be read; StoreUnavailable."""
        fingerprint = int(row["schema"])
        if fingerprint == self._schema.fingerprint or view.name == LINEAGE.name:
            return row
        layout = self._readable.get((view.name, fingerprint))
        if layout is None:
            layout = self._readable[view.name, fingerprint] = self._readable_layout(view, fingerprint)
        return adapt_row(view, row, layout)

    def former_features(self, view: View) -> list[str]:
        """Features that the view had under other schemas only; rows may still hold them."""
        self._lineage = self._read()
        stored = [layout.views[view.name].features for layout in self._lineage.layouts if view.name in layout.views]
        return sorted({name for features in stored for name in features} - {feature.name for feature in view.features})

    def _readable_layout(self, view: View, fingerprint: int) -> SchemaLayout:
        """The layout of the view's rows under another schema. Raises StaleSchema if they cannot be read."""
        own, rows = (
            self._schema.fingerprint,
            f"rows of view {view.name} were written under feature schema {fingerprint}",
        )
        if not self.is_known(fingerprint):
            raise StaleSchema(
                f"{rows}, which is not in the store's lineage; this process has {own}: use the same features "
                "settings, or another store.project and backfill it"
            )
        stored = self._lineage.layouts[self._lineage.fingerprints.index(fingerprint)]
        mine = describe_layout(self._schema)
        newer = self.is_newer(fingerprint)
        if newer and not self._newer:
            raise StaleSchema(f"{rows}; {_describe_older(own, fingerprint)}")
        if reasons := find_conflicts(mine, stored) if newer else find_conflicts(stored, mine):
            raise StaleSchema(f"{rows}, which cannot be read under {own}: {_format_reasons(reasons)}")
        if newer and (added := find_unknown_event_types(mine, stored)):
            raise StaleSchema(
                f"{rows}, which also counts {', '.join(added)} events; {_describe_older(own, fingerprint)}"
            )
        if newer and (removed := find_missing_features(view, stored)):
            raise StaleSchema(f"{rows}, which no longer has {', '.join(removed)}; {_describe_older(own, fingerprint)}")
        return stored


def _describe_older(own: int, newer: int) -> str:
    return (
        f"this process has feature schema {own}, the store has the newer {newer}: start it with the newer features "
        "settings and program, or with another store.project"
    )


def _format_reasons(reasons: Sequence[str]) -> str:
    """The first three reasons, and how many more there are."""
    more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return "; ".join(reasons[:3]) + more
