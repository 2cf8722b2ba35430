"""The page of a report: its parts in order, escaped, without external resources."""

import pytest

from services.report.page import (
    ReportCell,
    ReportPage,
    ReportRow,
    ReportTable,
    Section,
    Tile,
    render_page,
    text_row,
)
from services.report.plots import new_axes, svg_plot


def test_a_page_shows_all_its_parts() -> None:
    table = ReportTable(
        "Order",
        ["Model", "AUC"],
        [ReportRow(group="all rows"), ReportRow([ReportCell("0.7", "0.6 to 0.8", best=True)])],
    )
    section = Section(
        "order", "All models", ["How to read it."], ["A is best."], ["One seed."], tables=[table], facts=[("seed", "0")]
    )
    page = render_page(ReportPage("Report", "of today", [section], tiles=[Tile("rate", "42")], contents=True))
    for part in (
        '<a href="#order">All models</a>',
        "<div><b>42</b><span>rate</span></div>",
        '<div class="findings"><p>A is best.</p></div>',
        '<p class="notice">One seed.</p>',
        '<tr class="group"><th colspan="2">all rows</th></tr>',
        '<td class="best">0.7<span class="note">0.6 to 0.8</span></td>',
        "<dt>seed</dt><dd>0</dd>",
    ):
        assert part in page
    assert page.startswith("<!doctype html>")


def test_empty_parts_are_left_out() -> None:
    page = render_page(ReportPage("Report", "", [Section("one", "One")]))
    body = page[page.index("<body>") :]
    for part in ("<nav", "<dl", "<table", 'class="findings"', 'class="tiles"', 'class="plots"', "<details"):
        assert part not in body


def test_texts_are_escaped() -> None:
    page = render_page(
        ReportPage("<b>", "", [Section("one", "<i>", tables=[ReportTable("t", ["c"], [text_row("<u>")])])])
    )
    assert not {"<b>", "<i>", "<u>"} & {part + ">" for part in page[page.index("<body>") :].split(">")}
    assert "&lt;u&gt;" in page


@pytest.mark.parametrize("folded", [False, True])
def test_folded_tables_open_on_demand(folded: bool) -> None:
    page = render_page(ReportPage("", "", [Section("a", "A", tables=[ReportTable("t", ["c"], [], folded)])]))
    assert folded == ("<details><summary>t</summary>" in page)


def test_plots_are_embedded_with_a_text_alternative() -> None:
    figure, axes = new_axes(2.0)
    axes.plot([0, 1], [0, 1])
    page = render_page(ReportPage("", "", [Section("a", "A", plots=[svg_plot(figure, "A <line>")])]))
    assert '<svg role="img" aria-label="A &lt;line&gt;"' in page
    assert "<figcaption>A &lt;line&gt;</figcaption>" in page
    assert 0 == page.count("src=")


def test_plots_may_keep_their_own_width() -> None:
    figure, _ = new_axes(2.0, 3.5)
    plot = svg_plot(figure, "narrow", captioned=False, natural_width=True)
    page = render_page(ReportPage("", "", [Section("a", "A", plots=[plot])]))
    assert '<div class="plots natural">' in page
    assert '<figure style="width: 3.5in"><svg' in page
