"""The check of texts: under which settings the encoder reads them."""

import pytest

from export.datasets.check.columns import MemoryTableReader
from export.datasets.check.report import Finding
from export.datasets.check.texts import check_texts
from export.datasets.tables import TABLES, Dataset, from_columns
from services.text.encoder import EncoderInfo
from tests.synthetic.mixed_catalogue import ITEMS as MIXED
from tests.unit.export.datasets.check.test_data_check import SCENARIOS, T0, event

BUILT = EncoderInfo(1, 64, 0, "all-MiniLM-L6-v2", "English", ("Latin",))
CHINESE, ENGLISH = [title for _, title in MIXED], ["tea", "milk"]


def check(titles: list[str], setting: str = "auto", built: EncoderInfo | None = None, query: str = "") -> Finding:
    blank = {"description": "", "categories": [], "attributes": []}
    items = [{"item_id": f"i{n}", "time": T0, "title": title, **blank} for n, title in enumerate(titles)]
    events = [{"event_id": "e0", **event("query", 1, None, text=query)}]
    rows = zip(TABLES, (events, items, SCENARIOS), strict=True)
    tables = [
        from_columns(spec, {c.name: [r.get(c.name) for r in of] for c in spec.columns}, len(of)) for spec, of in rows
    ]
    return check_texts(MemoryTableReader(Dataset(*tables)), setting, built)


def test_shares_and_scripts_are_reported() -> None:
    """Of catalogue and of queries apart."""
    found = check(CHINESE, query="尿不湿")
    assert ("ok", 52) == (found.level, found.numbers["catalogue"])
    assert "66.7%" == found.numbers["queries and comments: unknown tokens"]
    assert ["Han 100.0%"] == found.numbers["queries and comments: scripts"]
    assert "The multilingual encoder is taken" in found.meaning


@pytest.mark.parametrize(
    ("titles", "setting", "built", "query", "level"),
    [
        (ENGLISH, "auto", None, "tea", "ok"),
        (ENGLISH, "auto", BUILT, "tea", "ok"),
        (ENGLISH, "multilingual", None, "tea", "ok"),
        (CHINESE, "auto", None, "", "ok"),
        (CHINESE, "multilingual", None, "", "ok"),
        (CHINESE, "english", None, "", "warning"),
        (CHINESE, "auto", BUILT, "", "warning"),
        (ENGLISH, "english", None, "尿不湿", "warning"),
        (ENGLISH, "auto", BUILT, "尿不湿", "warning"),
        (["བོད་ཇ"], "auto", None, "", "warning"),
        (CHINESE, "/models/own", None, "", "note"),
    ],
)
def test_only_an_encoder_that_does_not_read_the_texts_is_a_warning(
    titles: list[str], setting: str, built: EncoderInfo | None, query: str, level: str
) -> None:
    """Whether by setting, built before for other texts, or because there is none for the script."""
    found = check(titles, setting, built, query)
    assert level == found.level, found
    assert (level == "warning") == any(word in found.meaning for word in ("set text_encoder", "remove its directory"))
