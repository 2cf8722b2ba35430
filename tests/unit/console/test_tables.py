"""Tables as HTML."""

from services.console.tables import TableCell, TableColumn, table_html

COLUMNS = [TableColumn("Item"), TableColumn("Score", numeric=True)]


def test_text_from_outside_is_escaped_everywhere() -> None:
    """Titles come from outside and are never markup."""
    evil = '<img src=x onerror="alert(1)">'
    html = table_html(evil, [TableColumn(evil)], [[evil], [TableCell(evil, evil, 0.5, evil, evil)]])
    assert "<img" not in html
    assert 8 == html.count("&lt;img")


def test_numbers_are_right_aligned_and_headings_have_a_scope() -> None:
    html = table_html("Scores", COLUMNS, [["tea", "0.5"]])
    assert '<th scope="col">Item</th><th scope="col" class="cr-number">Score</th>' in html
    assert '<td>tea</td><td class="cr-number">0.5</td>' in html
    assert "<caption>Scores</caption>" in html


def test_a_long_table_is_truncated_with_a_note() -> None:
    html = table_html("", COLUMNS, [["tea", "1"]] * 5, most=3)
    assert 3 == html.count("<td>tea</td>")
    assert "The first 3 of 5." in html


def test_bars_do_not_exceed_their_cell() -> None:
    html = table_html(
        "", [TableColumn("a")], [[TableCell("x", share=7.0, colour="#0072B2")], [TableCell("y", share=-1.0)]]
    )
    assert "width:100.0%;background:#0072B2" in html
    assert "width:0.0%" in html
