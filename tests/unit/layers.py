"""Which package may import which, and the picture of it that services/CONTRIBUTING.md shows.

`python -m tests.unit.layers` prints it.
"""

from collections.abc import Mapping

SERVICES = {
    # Ships alone, too.
    "client": {"client"},
    "features": {"features"},
    "report": {"report"},
    "errors": set(),
    "settings": {"settings", "errors", "features"},
    # Its health command is a client.
    "server": {"server", "client", "settings", "errors"},
    "text": {"text", "errors"},
    "events": {"events", "features", "errors"},
    "kafka": {"kafka", "server", "settings", "errors"},
    "infra": {"infra", "kafka", "settings", "errors"},
    "store": {"store", "kafka", "features", "settings", "errors"},
    "registry": {"registry", "text", "features", "settings", "errors"},
    "gateway": {"gateway", "events", "kafka", "server", "features", "settings", "errors"},
    "consumers": {"consumers", "events", "store", "kafka", "server", "text", "features", "settings", "errors"},
    "ranking": {"ranking", "registry", "store", "kafka", "server", "text", "features", "settings", "errors"},
    "load": {"load", "client", "report", "server", "settings", "errors"},
    # Commands, not services: one publishes with the gateway's own code,
    "users": {"users", "gateway", "events", "store", "kafka", "server", "features", "settings", "errors"},
    # one looks at everything that a service needs,
    "doctor": {"doctor", "ranking", "registry", "store", "kafka", "server", "text", "features", "settings", "errors"},
    # one is a client of both servers that also opens models of the registry, and looks at the consumers.
    "console": {
        *("console", "client", "load", "ranking", "registry", "consumers", "store", "text", "features", "settings"),
        "errors",
    },
}
"""Every package of services/, with what it may import."""


EXPORT = {
    "datasets": {"datasets", "text_encoder"},
    "rows": {"rows"},
    "text_encoder": set(),
    "onnx_check": set(),
    "worker_processes": set(),
    "vectors": {"vectors", "datasets"},
    "replay": {"replay", "vectors", "datasets", "rows", "text_encoder", "worker_processes"},
    "models": {"models", "rows", "onnx_check"},
    "evaluation": {"evaluation", "models", "rows"},
    "training": {"training", "evaluation", "models", "rows", "worker_processes"},
    "recognition": {"recognition", "replay", "datasets", "rows", "onnx_check"},
    "experiments": {"experiments", "training", "evaluation", "models", "rows"},
    "monitoring": {"monitoring", "replay", "evaluation", "datasets", "rows"},
    "harness": {"harness", "training", "replay", "datasets"},
    "demo": {"demo", "harness", "training", "evaluation", "models", "replay", "datasets", "rows", "onnx_check"},
}
"""Every package of export/, with what of export/ it may import; a cli.py wires a command and may import anything."""


def levels(allowed: Mapping[str, set[str]]) -> list[list[str]]:
    """The packages by level, the lowest first: a package stands one level above the highest that it may import."""
    found: dict[str, int] = {}

    def level(package: str) -> int:
        if package not in found:
            found[package] = 1 + max((level(below) for below in allowed[package] - {package}), default=-1)
        return found[package]

    highest = max(map(level, allowed))
    return [sorted(package for package in allowed if level(package) == number) for number in range(highest + 1)]


def drawing(allowed: Mapping[str, set[str]], title: str = "a package imports from levels below its own") -> str:
    """The levels as a stack of boxes, the highest on top."""
    lines = ["   ".join(packages) for packages in reversed(levels(allowed))]
    width = max(len(line) for line in (title, *lines))
    edge = "─" * (width + 2)
    boxes = [f"│ {line.center(width)} │" for line in lines]
    return "\n".join([f"┌{edge}┐", f"\n├{edge}┤\n".join(boxes), f"└{edge}┘", title.center(width + 4).rstrip()])


if __name__ == "__main__":
    for table in (SERVICES, EXPORT):
        print(drawing(table))  # noqa: T201
