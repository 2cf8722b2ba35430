"""How the pages look, beyond what Quasar's components bring."""

CSS = """
:root { --cr-ink: #1f2933; --cr-soft: #52606d; --cr-line: #d9e2ec; --cr-blue: #0b5394; }
body { background: #f5f7fa; color: var(--cr-ink); font-size: 15px; }
.nicegui-content { padding: 16px; max-width: 1240px; margin: 0 auto; width: 100%; }
.cr-header { background: #ffffff; color: var(--cr-ink); border-bottom: 1px solid var(--cr-line); padding: 8px 16px; }
.cr-brand { font-weight: 600; font-size: 17px; white-space: nowrap; }
.cr-nav { display: flex; flex-wrap: wrap; gap: 2px; }
.cr-nav a { color: var(--cr-soft); text-decoration: none; padding: 8px 9px; border-radius: 6px; font-size: 15px; }
.cr-nav a:hover { background: #eef2f7; }
.cr-nav a[aria-current=page] { color: var(--cr-blue); background: #e6eef7; font-weight: 600; }
.cr-card { background: #ffffff; border: 1px solid var(--cr-line); border-radius: 8px; padding: 16px; width: 100%;
  min-width: 0; box-shadow: none; gap: 12px; }
.cr-card h2 { font-size: 17px; font-weight: 600; line-height: 1.3; margin: 0; }
.cr-lead { color: var(--cr-soft); font-size: 14px; max-width: 110ch; }
.cr-message { border-left: 4px solid; border-radius: 4px; padding: 8px 12px; width: 100%; overflow-wrap: anywhere; }
.cr-error { border-color: #b3261e; background: #fdecea; }
.cr-warning { border-color: #b7791f; background: #fff8e6; }
.cr-info { border-color: #0b5394; background: #eaf2fb; }
.cr-fill, .cr-fill .nicegui-html { width: 100%; min-width: 0; }
.cr-table { width: 100%; border-collapse: collapse; font-size: 14px; table-layout: auto; }
.cr-table caption { text-align: left; color: var(--cr-soft); font-size: 14px; padding-bottom: 6px; }
.cr-table th { text-align: left; font-weight: 600; color: var(--cr-soft); border-bottom: 1px solid #9fb3c8;
  padding: 4px 8px; vertical-align: bottom; }
.cr-table td { border-bottom: 1px solid var(--cr-line); padding: 5px 8px; overflow-wrap: anywhere;
  vertical-align: top; }
.cr-table th:first-child, .cr-table td:first-child { padding-left: 0; }
.cr-table th:last-child, .cr-table td:last-child { padding-right: 0; }
.cr-table .cr-number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.cr-table tr > .cr-number:first-child { width: 1%; }
@media (max-width: 480px) { .cr-table th, .cr-table td { padding-left: 4px; padding-right: 4px; } }
.cr-note { display: block; color: var(--cr-soft); font-size: 13px; }
.cr-swatch { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 8px; }
.cr-bar { display: block; height: 5px; border-radius: 3px; background: #e4e9ef; margin-top: 4px; }
.cr-bar > span { display: block; height: 5px; border-radius: 3px; background: var(--cr-blue); }
.cr-up { color: #0b5394; font-weight: 600; white-space: nowrap; }
.cr-down { color: #9a4a00; font-weight: 600; white-space: nowrap; }
.cr-good { color: #0b5394; font-weight: 600; }
.cr-bad { color: #b3261e; font-weight: 600; }
.cr-facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px 16px; margin: 0; }
.cr-facts dt { color: var(--cr-soft); font-size: 13px; }
.cr-facts dd { margin: 0; font-size: 15px; overflow-wrap: anywhere; }
.cr-wide { overflow-x: auto; }
"""
