"""Counting of texts that the encoder does not read."""

import numpy as np

from services.consumers.metered_encoder import MeteredEncoder
from services.consumers.observer import ConsumerObserver
from services.text.protocol import HashingEncoder
from services.text.scripts import main_script


class Latin(HashingEncoder):
    """Reads Latin letters alone."""

    def unread_script(self, text: str) -> str:
        return main_script(text).replace("Latin", "")


def test_unread_texts_are_reported_by_script() -> None:
    """Each text in another script counts once; vectors stay the encoder's; empty texts and digits count nowhere."""
    scripts, texts = list[str](), ["tea", "绿茶", "чай", "", "42", "绿茶"]
    encoder = MeteredEncoder(Latin(), scripts.append)
    np.testing.assert_array_equal(HashingEncoder().encode(texts), encoder.encode(texts))
    assert ["Han", "Cyrillic", "Han"] == scripts
    assert (HashingEncoder().fingerprint, 64, "Han") == (encoder.fingerprint, encoder.dims, encoder.unread_script("茶"))


def test_unread_texts_are_a_metric() -> None:
    """By kind of consumer and script; without a series while every text is read."""
    observer = ConsumerObserver("behavior")
    name, labels = "crossrec_consumer_unread_texts_total", {"kind": "behavior", "script": "Han"}
    assert observer.registry.get_sample_value(name, labels) is None
    MeteredEncoder(Latin(), observer.metrics.on_unread_text).encode(["绿茶", "tea", "绿茶 2"])
    assert 2 == observer.registry.get_sample_value(name, labels)
