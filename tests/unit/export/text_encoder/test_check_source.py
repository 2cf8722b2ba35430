"""A setting that names another encoder than the one that is there."""

from pathlib import Path

import pytest

from export.text_encoder.sentence_encoders import check_source, open_sentence_encoder
from services.errors import ConfigurationError
from services.text.encoder import EncoderInfo


@pytest.mark.parametrize(
    ("built", "setting", "fits"),
    [
        ("all-MiniLM-L6-v2", "auto", True),
        ("all-MiniLM-L6-v2", "english", True),
        ("all-MiniLM-L6-v2", "multilingual", False),
        ("multilingual-e5-small", "multilingual", True),
        ("own", "/models/own", True),
        ("own", "/models/other", False),
        ("own", "english", False),
    ],
)
def test_a_built_encoder_is_not_exchanged_in_silence(tmp_path: Path, built: str, setting: str, fits: bool) -> None:
    """The error names the setting, what was found, and what to do."""
    EncoderInfo(1, 64, 0, built).save(tmp_path)
    if fits:
        check_source(setting, tmp_path)
        return
    with pytest.raises(ConfigurationError, match=f"text_encoder: {setting} is set, .* built from {built}; remove"):
        check_source(setting, tmp_path)


def test_a_name_that_is_none_is_an_error() -> None:
    """With the names that there are."""
    with pytest.raises(ConfigurationError, match="text_encoder: 'chinese' is neither auto, english, multilingual nor"):
        open_sentence_encoder("chinese")
