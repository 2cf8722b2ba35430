"""Options of the plots."""

from services.console.charts import MOST_BARS, PALETTE, bars_height, contributions_chart, heatmap
from services.console.ranking_view import ranking_view
from tests.unit.console.answers import answer


def test_each_source_is_a_series_of_the_stack_in_its_own_colour() -> None:
    view = ranking_view(answer({"tea": 0.8, "milk": 0.4}), {}, {}, 1)
    options = contributions_chart(view.lines, view.sources)["baseOption"]
    assert ["1. tea", "2. milk"] == options["yAxis"]["data"]
    assert [("shelf", [0.4, 0.2]), ("tv", [0.4, 0.2])] == [(s["name"], s["data"]) for s in options["series"]]
    assert {"score"} == {series["stack"] for series in options["series"]}
    assert list(PALETTE[:2]) == [series["itemStyle"]["color"] for series in options["series"]]


def test_only_the_first_items_have_bars() -> None:
    view = ranking_view(answer({str(n): 1.0 for n in range(MOST_BARS + 5)}), {}, {}, 1)
    assert MOST_BARS == len(contributions_chart(view.lines, view.sources)["baseOption"]["yAxis"]["data"])
    assert bars_height(MOST_BARS) == bars_height(MOST_BARS + 5)


def test_sources_beyond_the_palette_have_a_pattern() -> None:
    weights = {f"s{n}": 0.5 for n in range(len(PALETTE) + 1)}
    view = ranking_view(answer({"tea": 1.0}, weights), {}, {}, 1)
    styles = [series["itemStyle"] for series in contributions_chart(view.lines, view.sources)["baseOption"]["series"]]
    assert [False] * len(PALETTE) + [True] == ["decal" in style for style in styles]


def test_cells_of_the_heatmap_are_column_row_value_with_readable_text() -> None:
    """White text from two thirds of the largest share on, which is the end of the colours."""
    options = heatmap(["a", "b"], ["a", "b"], [[0.6, 0.4], [0.7, 0.3]])
    cells = options["series"][0]["data"]
    assert [[0, 0, 0.6], [1, 0, 0.4], [0, 1, 0.7], [1, 1, 0.3]] == [cell["value"] for cell in cells]
    assert ["#FFFFFF", "#333333", "#FFFFFF", "#333333"] == [cell["label"]["color"] for cell in cells]
    assert (0.7, ["70%", "0%"]) == (options["visualMap"]["max"], options["visualMap"]["text"])
    assert ["60.0%", "40.0%"] == [cell["label"]["formatter"] for cell in cells[:2]]


def test_a_large_heatmap_has_no_values_in_its_cells() -> None:
    names = [f"s{n}" for n in range(9)]
    assert not heatmap(names, names, [[0.0] * 9] * 9)["series"][0]["label"]["show"]
