"""What the English encoder reads, and the choice by that; its tokenizer is the real one."""

import pytest

from export.text_encoder.reading import choose_source, read_texts
from tests.synthetic.mixed_catalogue import ITEMS

ENGLISH = [title for _, title in ITEMS if title.isascii()]
MIXED = [title for _, title in ITEMS]
GERMAN = [
    *("Herren Laufschuhe atmungsaktiv", "Vollmilch 3,5 % Fett 1 Liter", "Babywindeln Größe 3", "Kabellose Tastatur"),
    *("Regenschirm für zwei Personen", "Schuppenshampoo 250 ml", "Grüner Tee im Beutel", "Katzenfutter mit Hühnchen"),
    *("Basmatireis aus Indien", "Handy ohne Vertrag", "Geschirrspülmittel Zitrone", "Waschmittel für Buntwäsche"),
    *("Vollkornbrot geschnitten", "Wanderschuhe wasserdicht", "Frischkäse mit Kräutern", "Kinderschlafsack gefüttert"),
]


def choice(*texts: str) -> str:
    return choose_source({"catalogue": read_texts(texts)})[0]


@pytest.mark.parametrize(
    ("texts", "source"),
    [
        (ENGLISH, "english"),
        (["Crème brûlée", "Jalapeño salsa", *ENGLISH], "english"),
        (MIXED, "multilingual"),
        (["运动鞋"], "multilingual"),
        (["кроссовки мужские", "зелёный чай"], "multilingual"),
        (["운동화", "녹차"], "multilingual"),
        (GERMAN, "multilingual"),
        (["42", "!!", ""], "english"),
        ([], "english"),
    ],
)
def test_the_texts_choose_the_encoder(texts: list[str], source: str) -> None:
    """Letters that are in its vocabulary one by one, such as Cyrillic and Hangul, are not read either."""
    assert source == choice(*texts)


def test_few_foreign_texts_are_enough() -> None:
    """One Chinese item in fifty loses its meaning under the English encoder; one in a hundred is left to it."""
    english = [f"{text} {number}" for number in range(5) for text in ENGLISH]
    assert "multilingual" == choice(*english[:49], "纯牛奶 低脂")
    assert "english" == choice(*english[:99], "纯牛奶 低脂")


def test_queries_count_apart() -> None:
    """An English catalogue that is searched in Chinese needs the multilingual encoder, and the reason says so."""
    readings = {"catalogue": read_texts(ENGLISH), "queries and comments": read_texts(["尿不湿", "milk"])}
    source, reason = choose_source(readings)
    assert "multilingual" == source
    assert "queries and comments: 50.0% of the letters are not Latin (Han 43%)" in reason


def test_shares_of_a_mixed_catalogue() -> None:
    """Nearly half of the tokens are unknown, a quarter to a third of the letters are Han."""
    reading = read_texts(MIXED)
    assert (50, ["Latin", "Han"]) == (reading.texts, list(reading.scripts))
    assert 0.4 < reading.unknown < 0.5
    assert 0.25 < reading.scripts["Han"] < 0.35
