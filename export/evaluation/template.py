"""The report's page: one HTML document with its styles inside. Knows sections, not what is in them."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light; --ink: #1f2933; --soft: #5b6875; --line: #dde3e9; --accent: #1f5fa8; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 .5rem; padding-top: .6rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
.soft, figcaption, .interval { color: var(--soft); }
.found { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem .8rem; margin: .8rem 0; }
.notice { background: #fff7e6; border: 1px solid #f0d9a8; padding: .6rem .9rem; border-radius: 6px; max-width: 46rem; }
nav { columns: 2 16rem; margin: 1rem 0; max-width: 46rem; }
nav a { display: block; padding: .12rem 0; color: var(--accent); }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: flex-start; margin: 1rem 0; }
.figures img { display: block; max-width: 100%; height: auto; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { padding: .3rem .7rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
table.prose td { white-space: normal; text-align: left; min-width: 8rem; }
table.prose th { text-align: left; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; white-space: normal; min-width: 4.5rem; }
tr.group th { text-align: left; padding-top: .9rem; font-weight: 600; }
td.best { font-weight: 700; }
.interval { display: block; font-size: .75rem; font-weight: 400; }
summary { cursor: pointer; color: var(--accent); padding: .3rem 0; }
code { font-size: .9em; background: #f2f5f8; padding: .1em .3em; border-radius: 3px; overflow-wrap: anywhere; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p class="soft">{{ subtitle }}</p>
<nav aria-label="Sections">
{% for section in sections %}<a href="#{{ section.key }}">{{ section.title }}</a>{% endfor %}
</nav>
{% for section in sections %}
<section id="{{ section.key }}">
<h2>{{ section.title }}</h2>
{% for text in section.intro %}<p>{{ text }}</p>{% endfor %}
{% if section.found %}<div class="found">{% for text in section.found %}<p>{{ text }}</p>{% endfor %}</div>{% endif %}
{% for text in section.notices %}<p class="notice">{{ text }}</p>{% endfor %}
{% if section.pictures %}<div class="figures">
{% for picture in section.pictures %}<img src="{{ picture.uri }}" alt="{{ picture.alt }}">{% endfor %}
</div>{% endif %}
{% for table in section.tables %}
{% if table.folded %}<details><summary>{{ table.caption }}</summary>{% endif %}
<div class="scroll"><table{% if table.prose %} class="prose"{% endif %}>
{% if not table.folded %}<caption>{{ table.caption }}</caption>{% endif %}
<thead><tr>{% for column in table.columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}
{% if row.group %}<tr class="group"><th colspan="{{ table.columns | length }}">{{ row.group }}</th></tr>
{% else %}<tr>{% for cell in row.cells %}<td{% if cell.best %} class="best"{% endif %}>{{ cell.text }}
{%- if cell.under %}<span class="interval">{{ cell.under }}</span>{% endif %}</td>{% endfor %}</tr>
{% endif %}
{% endfor %}
</tbody>
</table></div>
{% if table.folded %}</details>{% endif %}
{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
"""
