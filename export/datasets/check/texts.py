"""Checks whether the text encoder reads the texts of a data set, by their scripts and tokens.

Knows texts and encoders' scripts; the measures and the choice of an encoder are those of the replay.
"""

from collections.abc import Mapping, Sequence

from export.datasets.check.columns import TableReader
from export.datasets.check.report import Finding, Number
from export.datasets.texts import catalogue_texts, event_texts
from export.text_encoder.reading import UNREAD_SHARE, TextReading, choose_source, read_texts
from export.text_encoder.sentence_encoders import AUTO, ENGLISH, MULTILINGUAL, MULTILINGUAL_SCRIPTS
from services.text.encoder import EncoderInfo

NAME = "texts for the encoder"
SETTING = "set text_encoder to auto or multilingual"


def check_texts(tables: TableReader, setting: str, built: EncoderInfo | None) -> Finding:
    """Check the texts of catalogue and events.

    Args:
        tables: the data set.
        setting: the setting `text_encoder`.
        built: the text encoder that a replay of this data would use, if it exists already.
    """
    readings = {
        "catalogue": read_texts(catalogue_texts(tables)),
        "queries and comments": read_texts(event_texts(tables)),
    }
    numbers: dict[str, Number] = {}
    for table, reading in readings.items():
        if reading.texts:
            numbers[table] = reading.texts
            numbers[f"{table}: unknown tokens"] = f"{reading.unknown:.1%}"
            numbers[f"{table}: scripts"] = [f"{script} {share:.1%}" for script, share in reading.scripts.items()]
    if not numbers:
        return Finding(NAME, "ok", "There are no texts: items are told apart by ids, categories and attributes.")
    return _judge(readings, numbers, setting, built)


def _judge(
    readings: Mapping[str, TextReading], numbers: Mapping[str, Number], setting: str, built: EncoderInfo | None
) -> Finding:
    wanted, reason = choose_source(readings)
    if built and wanted != ENGLISH and (missed := _unread(readings, built.scripts)):
        text = f"The encoder that was built before, {built.describe()}, does not read {missed}: remove its directory"
        text += ", replay and train again" + (f"; {SETTING}." if setting == ENGLISH else ".")
        return Finding(NAME, "warning", text, numbers)
    if wanted == MULTILINGUAL and setting == ENGLISH:
        return Finding(NAME, "warning", f"English is set, but {reason}: {SETTING}.", numbers)
    source = wanted if setting == AUTO else setting
    if source == MULTILINGUAL and (missed := _unread(readings, MULTILINGUAL_SCRIPTS)):
        text = f"The multilingual encoder does not read {missed}: set text_encoder to a directory of one that does."
        return Finding(NAME, "warning", text, numbers)
    if source == wanted == MULTILINGUAL:
        return Finding(NAME, "ok", f"The multilingual encoder is taken: {reason}.", numbers)
    if source in (ENGLISH, MULTILINGUAL):
        return Finding(NAME, "ok", f"The encoder ({source}) reads the texts.", numbers)
    return Finding(NAME, "note", f"The encoder is that of {source}; {reason}.", numbers)


def _unread(readings: Mapping[str, TextReading], scripts: Sequence[str]) -> str:
    """The scripts of a notable share of letters that are not among the known ones, in words; empty if all are."""
    missed = {
        f"{script} ({share:.0%} of the letters of {table})"
        for table, reading in readings.items()
        for script, share in reading.scripts.items()
        if scripts and script not in scripts and share >= UNREAD_SHARE
    }
    return ", ".join(sorted(missed))
