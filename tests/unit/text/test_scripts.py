"""The scripts of texts."""

import pytest

from services.text.scripts import OTHER, count_scripts, main_script


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("Whole milk, 1 gallon", {"Latin": 15}),
        ("Crème brûlée", {"Latin": 11}),
        ("婴儿纸尿裤 M码", {"Han": 6, "Latin": 1}),
        ("ラーメン と すし", {"Katakana": 4, "Hiragana": 3}),
        ("кроссовки Ελλάδα 운동화", {"Cyrillic": 9, "Greek": 6, "Hangul": 3}),
        ("\uff21\uff22 ｱ", {"Latin": 2, "Katakana": 1}),
        ("ᐃᓄᒃ", {OTHER: 3}),
        ("12 % 🧿 -- ", {}),
    ],
)
def test_letters_are_counted_by_script(text: str, counts: dict[str, int]) -> None:
    """Digits, symbols, punctuation and emoji are of no script; the long vowel mark is of the script it stands in."""
    assert counts == count_scripts(text)


@pytest.mark.parametrize(
    ("text", "script"), [("Nike 耐克运动鞋", "Han"), ("iPhone 手机", "Latin"), ("42", ""), ("tea", "Latin")]
)
def test_a_text_is_of_the_script_of_most_letters(text: str, script: str) -> None:
    """A brand's name does not make a Chinese title Latin; without letters there is no script."""
    assert script == main_script(text)
