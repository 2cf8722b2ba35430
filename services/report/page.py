"""A report as one self-contained HTML page: tiles, sections, plots and tables. Knows nothing of what they show.

Every text is escaped; the styles stand in the page, and nothing is loaded from elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined

from services.report.plots import Plot

PAGE_TEMPLATE = """
{% macro findings(texts) %}
{% if texts %}<div class="findings">{% for text in texts %}<p>{{ text }}</p>{% endfor %}</div>{% endif %}
{% endmacro %}
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}</title>
<style>
:root { color-scheme: light; --ink: #1f2933; --soft: #5b6875; --line: #dde3e9; --accent: #1f5fa8; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 0; }
p { max-width: 46rem; margin: .5rem 0; }
nav { columns: 2 16rem; margin: 1rem 0; max-width: 46rem; }
nav a { display: block; padding: .12rem 0; color: var(--accent); }
.soft, .note { color: var(--soft); }
.findings { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem .8rem; margin: .8rem 0; }
.notice { background: #fff7e6; border: 1px solid #f0d9a8; padding: .6rem .9rem; border-radius: 6px; max-width: 46rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.tiles div { border: 1px solid var(--line); border-radius: 6px; padding: .5rem .8rem; }
.tiles b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .875rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem;
  margin: 1rem 0; }
.plots.natural { display: flex; flex-wrap: wrap; align-items: flex-start; }
figure { margin: 0; max-width: 100%; }
figcaption { font-weight: 600; margin-bottom: .2rem; }
figure svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; margin: .4rem 0 1rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap;
  vertical-align: top; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; white-space: normal; }
table.prose td { white-space: normal; text-align: left; min-width: 8rem; }
table.prose th { text-align: left; }
tr.group th { text-align: left; padding-top: .9rem; font-weight: 600; }
td.best { font-weight: 700; }
.note { display: block; font-size: .75rem; font-weight: 400; }
summary { cursor: pointer; color: var(--accent); padding: .3rem 0; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .25rem 1rem; font-size: .9rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font-size: .9em; background: #f2f5f8; padding: .1em .3em; border-radius: 3px; overflow-wrap: anywhere; }
</style>
</head>
<body>
<main>
<h1>{{ page.title }}</h1>
<p class="soft">{{ page.subtitle }}</p>
{% if page.contents %}<nav aria-label="Sections">
{% for section in page.sections %}<a href="#{{ section.key }}">{{ section.title }}</a>{% endfor %}
</nav>{% endif %}
{% for text in page.notices %}<p class="notice">{{ text }}</p>{% endfor %}
{{ findings(page.findings) }}
{% if page.tiles %}<div class="tiles">
{% for tile in page.tiles %}<div><b>{{ tile.value }}</b><span>{{ tile.name }}</span></div>{% endfor %}
</div>{% endif %}
{% for section in page.sections %}
<section id="{{ section.key }}">
<h2>{{ section.title }}</h2>
{% for text in section.intro %}<p>{{ text }}</p>{% endfor %}
{{ findings(section.findings) }}
{% for text in section.notices %}<p class="notice">{{ text }}</p>{% endfor %}
{% if section.plots %}<div class="plots{% if section.plots[0].width_in %} natural{% endif %}">
{% for plot in section.plots %}<figure{% if plot.width_in %} style="width: {{ plot.width_in }}in"{% endif %}>
{%- if plot.captioned %}<figcaption>{{ plot.title }}</figcaption>{% endif %}{{ plot.svg }}</figure>{% endfor %}
</div>{% endif %}
{% for table in section.tables %}
{% if table.folded %}<details><summary>{{ table.caption }}</summary>{% else %}<h3>{{ table.caption }}</h3>{% endif %}
<div class="scroll"><table aria-label="{{ table.caption }}"{% if table.prose %} class="prose"{% endif %}>
<thead><tr>{% for column in table.columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
{% if row.group %}<tr class="group"><th colspan="{{ table.columns | length }}">{{ row.group }}</th></tr>
{% else %}<tr>{% for cell in row.cells %}<td{% if cell.best %} class="best"{% endif %}>{{ cell.text }}
{%- if cell.note %}<span class="note">{{ cell.note }}</span>{% endif %}</td>{% endfor %}</tr>
{% endif %}
{% endfor %}
</tbody>
</table></div>
{% if table.folded %}</details>{% endif %}
{% endfor %}
{% if section.facts %}<dl>
{% for name, value in section.facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}
</dl>{% endif %}
</section>
{% endfor %}
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Tile:
    """A number that stands out at the top of the page."""

    name: str
    value: str


@dataclass(frozen=True)
class ReportCell:
    """A table cell: a text, a smaller note below it, and whether it is the best of its column (bold)."""

    text: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class ReportRow:
    """A row of cells; with `group`, a heading across the table instead."""

    cells: Sequence[ReportCell] = ()
    group: str = ""


@dataclass(frozen=True)
class ReportTable:
    """A table; `folded` tables open on demand, `prose` tables hold sentences and wrap them."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[ReportRow]
    folded: bool = False
    prose: bool = False


@dataclass(frozen=True)
class Section:
    """A section; what is empty is left out. Its parts appear in this order.

    Args:
        key: anchor of the section in the page.
        title: heading.
        intro: what the section shows and how to read it.
        findings: results, as sentences.
        notices: warnings.
        plots: all in a grid, or all with a width of their own.
        tables: tables.
        facts: names and values, as a list of definitions.
    """

    key: str
    title: str
    intro: Sequence[str] = ()
    findings: Sequence[str] = ()
    notices: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[ReportTable] = ()
    facts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class ReportPage:
    """A page; `contents` adds links to all sections. Notices, findings and tiles stand before the first section."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    notices: Sequence[str] = ()
    findings: Sequence[str] = ()
    tiles: Sequence[Tile] = ()
    contents: bool = False


def text_row(*texts: str) -> ReportRow:
    """A row of plain texts."""
    return ReportRow([ReportCell(text) for text in texts])


def render_page(page: ReportPage) -> str:
    """The HTML document."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(PAGE_TEMPLATE).render(page=page).lstrip()
