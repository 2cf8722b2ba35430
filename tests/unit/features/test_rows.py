"""Rows packed into a block and unpacked again."""

import numpy as np
import pytest

from services.features.feature import VARIABLE
from services.features.rows import Ragged, default_value, pack_rows, unpack_rows
from services.features.schema import Schema


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_block_returns_its_rows(schema: Schema, count: int) -> None:
    """Any number of rows, also none; lists keep their different lengths."""
    for view in schema.views:
        rows = [{feature.name: default_value(feature) for feature in view.features} for _ in range(count)]
        for number, row in enumerate(rows):
            row.update(
                (f.name, np.arange(number).astype(row[f.name].dtype))
                for f in view.features
                if f.length == VARIABLE and f.dtype != "string"
            )
        found = unpack_rows(pack_rows(view, rows))
        assert count == len(found)
        for row, back in zip(rows, found, strict=True):
            for name, value in row.items():
                np.testing.assert_array_equal(value, back[name], err_msg=f"{view.name} {name}")


def test_a_blocks_size_is_that_of_its_values(schema: Schema) -> None:
    """For both kinds of columns."""
    block = pack_rows(schema["user"], [None, None])
    assert block.nbytes >= sum(column.nbytes for column in block.fixed.values()) > 0
    longer = {name: Ragged(np.zeros(100, part.values.dtype), np.array([50, 50])) for name, part in block.ragged.items()}
    assert block.with_columns({}, longer).nbytes > block.nbytes
