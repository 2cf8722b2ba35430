"""The load report's page: one HTML document with its styles inside. Knows the report's parts, not what is in them."""

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
main { max-width: 1080px; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; padding-top: .6rem; border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
.soft { color: var(--soft); }
.found { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem .8rem; margin: .8rem 0; }
.notice { background: #fff7e6; border: 1px solid #f0d9a8; padding: .6rem .9rem; border-radius: 6px; max-width: 46rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.tiles div { border: 1px solid var(--line); border-radius: 6px; padding: .5rem .8rem; }
.tiles b { display: block; font-size: 1.35rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .875rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem;
  margin: 1rem 0; }
figure { margin: 0; }
figcaption { font-weight: 600; margin-bottom: .2rem; }
figure svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; margin: .4rem 0 1rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
h3 { font-size: 1rem; margin: 1.2rem 0 0; }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap;
  vertical-align: top; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; white-space: normal; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .25rem 1rem; font-size: .9rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p class="soft">{{ subtitle }}</p>
{% for text in notices %}<p class="notice">{{ text }}</p>{% endfor %}
<div class="found">{% for text in found %}<p>{{ text }}</p>{% endfor %}</div>
<div class="tiles">
{% for tile in tiles %}<div><b>{{ tile.value }}</b><span>{{ tile.name }}</span></div>{% endfor %}
</div>
<h2>Plots</h2>
<div class="figures">
{% for plot in plots %}<figure><figcaption>{{ plot.title }}</figcaption>{{ plot.svg }}</figure>{% endfor %}
</div>
<h2>Tables</h2>
{% for table in tables %}
<h3>{{ table.caption }}</h3>
<div class="scroll"><table aria-label="{{ table.caption }}">
<thead><tr>{% for column in table.columns %}<th scope="col">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table></div>
{% endfor %}
<h2>How it was measured</h2>
<p>Requests were due at times that were fixed before the first was sent, whatever became of those before: a latency
counts from the time its request was due, so a server that stands still is seen by all the requests that came
meanwhile. Requests that ran into their deadline count with the time they had waited; other errors are counted, and
have no latency.</p>
<dl>{% for name, value in facts %}<dt>{{ name }}</dt><dd>{{ value }}</dd>{% endfor %}</dl>
</main>
</body>
</html>
"""
