"""Generates the reference pages beside this file out of the code, or checks that they are up to date.

`make reference` writes; `--check` names pages that differ. Knows where settings, schema, commands, metrics and errors
are declared; what they mean is said there.
"""

import ast
import inspect
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

ROOT = Path(__file__).resolve().parents[2]
PAGES = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from services.commands import COMMANDS, load_command  # noqa: E402 - after the path to it
from services.features.schema import build_schema  # noqa: E402
from services.settings.describe import describe_settings  # noqa: E402
from services.settings.load import Settings  # noqa: E402

METRICS = (
    "services.gateway.metrics:GatewayMetrics",
    "services.gateway.metrics:GatewayLoadMetrics",
    "services.consumers.metrics:ConsumerMetrics",
    "services.ranking.metrics:RankingMetrics",
    "services.ranking.metrics:AdmissionMetrics",
    "services.ranking.metrics:ItemCacheMetrics",
    "services.ranking.metrics:ServedLogMetrics",
    "services.ranking.model.metrics:ModelMetrics",
    "services.ranking.process.worker_pool:WorkerPool",
)
"""Everything that a process registers with Prometheus."""

STAND_INS = {
    "kind": "behavior",
    "clock": time.time,
    "target": 1,
    "budget": MagicMock(pending=(0, 0)),
    "progress": MagicMock(newest_committed_s=None),
}
"""Arguments of collectors that cannot be mocks."""

LENGTHS = {-1: "any number", -2: "1"}


def table(head: Sequence[str], rows: Iterator[Sequence[object]] | Sequence[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(cell(value) for value in row)} |" for row in rows]


def cell(value: object) -> str:
    """A value in a table: on one line, its bars escaped."""
    return " ".join(str(value).split()).replace("|", "\\|")


def settings_page() -> list[str]:
    """Every setting with its default and meaning."""
    rows = [
        (f"`{setting.name}`", f"`{setting.default}`", setting.meaning)
        for setting in describe_settings(Settings.model_construct())
    ]
    return [
        "A setting has the value of its environment variable (`kafka.partitions`: `CROSSREC_KAFKA__PARTITIONS`),",
        "else that in the TOML file CROSSREC_CONFIG names, else its default. `crossrec settings` prints them.",
        "",
        *table(("setting", "default", "meaning"), rows),
    ]


def schema_page() -> list[str]:
    """Every stored feature under the default settings."""
    schema = build_schema(Settings.model_construct().features)
    lines = ["Stored features under the default settings; `crossrec schema` prints them under yours."]
    for view in schema.views:
        rows = [
            (
                f"`{feature.name}`",
                feature.dtype,
                LENGTHS.get(feature.length, feature.length),
                feature.description,
                feature.half_life,
            )
            for feature in view.features
        ]
        lines += ["", f"## {view.name}", "", *table(("feature", "type", "values", "meaning", "half-life"), rows)]
    return lines


def commands_page() -> list[str]:
    """Every command with its arguments and options."""
    lines = ["`crossrec COMMAND --help` prints the same."]
    for path, command in COMMANDS.items():
        for name, found in leaves(f"crossrec {path}", load_command(command)):
            group = f" Needs the dependency group `{command.group}`." if command.group else ""
            lines += ["", f"## {name}", "", cell(found.help.replace("\f", "")) + group]
            rows = [option_row(parameter) for parameter in found.params if "--help" not in parameter.opts]
            lines += ["", *table(("option", "default", "meaning"), rows)] if rows else []
    return lines


def leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command, or those of a group, by what is typed to run them."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    for below, found in command.commands.items():
        yield from leaves(f"{name} {below}", found)


def option_row(parameter: Any) -> Sequence[str]:
    """Name, default and meaning of a parameter."""
    is_option = parameter.opts[0].startswith("-")
    name = ", ".join(f"`{option}`" for option in parameter.opts) if is_option else parameter.name.upper()
    return name, default_of(parameter), getattr(parameter, "help", "") or ""


def default_of(parameter: Any) -> str:
    """The default of a parameter; required, or "" for none."""
    if parameter.required:
        return "required"
    value = parameter.default
    return (
        ""
        if value is None or value is False or value == "" or callable(value)
        else f"`{getattr(value, 'value', value)}`"
    )


def metrics_page() -> list[str]:
    """Every metric of every process."""
    found = {metric.name: metric for target in METRICS for metric in metrics_of(target)}
    rows = [
        (f"`{full_name(metric)}`", metric.type, ", ".join(labels_of(metric)), metric.documentation)
        for _, metric in sorted(found.items())
    ]
    return [
        "Served at /metrics where `gateway.`, `ranking.` and `consumers.metrics_listen` say.",
        "",
        *table(("metric", "type", "labels", "meaning"), rows),
    ]


def metrics_of(target: str) -> Iterator[Metric]:
    """The metrics of a collector that observes mocks: names, labels and texts are real, values are not."""
    module, _, name = target.partition(":")
    kind, registry = getattr(import_module(module), name), CollectorRegistry()
    known = {**STAND_INS, "registry": registry}
    collector = kind(**{name: known.get(name, MagicMock()) for name in inspect.signature(kind).parameters})
    yield from registry.collect()
    if hasattr(collector, "collect") and collector not in registry._collector_to_names:
        yield from collector.collect()
    for held in registry._collector_to_names:
        LABELS.update({metric.name: tuple(getattr(held, "_labelnames", ())) for metric in held.collect()})


LABELS: dict[str, tuple[str, ...]] = {}


def labels_of(metric: Metric) -> tuple[str, ...]:
    """Names of a metric's labels."""
    return tuple(getattr(metric, "_labelnames", ()) or LABELS.get(metric.name, ()))


def full_name(metric: Metric) -> str:
    """The name as Prometheus shows it."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def errors_page() -> list[str]:
    """Every error that is raised on purpose, as a tree; and what gRPC callers see of those that answer a request."""
    kinds = {kind.name: (kind, module) for kind, module in classes()}
    below: dict[str, list[str]] = {}
    for name, (kind, _) in sorted(kinds.items()):
        for base in (base.id for base in kind.bases if isinstance(base, ast.Name)):
            below.setdefault(base, []).append(name)

    def lines_of(name: str, depth: int) -> Iterator[str]:
        kind, module = kinds[name]
        text = cell((ast.get_docstring(kind) or "").partition("\n\n")[0])
        yield f"{'  ' * depth}- **{name}** (`{module}`): {text}"
        for child in below.get(name, []):
            yield from lines_of(child, depth + 1)

    return [
        "Commands print them in one line, `error: ...`; servers answer those below RequestError with a status and",
        "the reason in `google.rpc.ErrorInfo`.",
        "",
        *lines_of("CrossRecError", 0),
        "",
        *table(("error", "gRPC status", "reason"), statuses()),
    ]


def classes() -> Iterator[tuple[ast.ClassDef, str]]:
    """The classes of services and export, each with its module."""
    for path in sorted([*(ROOT / "services").rglob("*.py"), *(ROOT / "export").rglob("*.py")]):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not module.startswith("services.client"):  # what its users catch is on its own page
            yield from ((node, module) for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef))


def statuses() -> Iterator[Sequence[str]]:
    """Error, gRPC status and reason of everything that answers a request."""
    from services.server import error_interceptor

    for kind, code in error_interceptor._CODES.items():
        yield kind.__name__, code.name, kind.reason


def pages() -> Mapping[str, str]:
    """File name and content of every page."""
    makers = {
        "settings": settings_page,
        "schema": schema_page,
        "commands": commands_page,
        "metrics": metrics_page,
        "errors": errors_page,
    }
    note = "<!-- Generated by deploy/reference/generate.py: `make reference`. -->"
    return {
        f"{name}.md": "\n".join([f"# {name.capitalize()}", "", note, "", *make()]) + "\n"
        for name, make in makers.items()
    }


def main() -> None:
    """Write the pages, or with --check exit with 1 if one is not up to date."""
    stale = [
        name for name, text in pages().items() if not (PAGES / name).exists() or (PAGES / name).read_text() != text
    ]
    if "--check" in sys.argv:
        if stale:
            sys.exit(f"reference pages are not up to date, run make reference: {', '.join(stale)}")
        return
    for name, text in pages().items():
        (PAGES / name).write_text(text)


if __name__ == "__main__":
    main()
