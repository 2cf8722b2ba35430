"""`crossrec models list|show|diff|promote|rollback`: what is registered, and what of it serves.

Knows flags and how tables look. Needs no training packages.
"""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.errors import CrossRecError
from services.registry.description import FIELDS_OF_ALL, REPORTED, Server, compared, metrics_of, shown
from services.registry.promotion import Change, promote, roles_of, rollback
from services.registry.reader import Registry, Version, wanted_version
from services.registry.rollout import PlanError, Serving, described, promoted, with_arm, with_shadow
from services.settings.load import Settings, load_settings

models_app = typer.Typer(
    no_args_is_help=True,
    help="What is in the model registry and what of it serves: list, compare, promote, experiment, roll back.",
)
console = Console()

OneVersion = Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Like neural/3; a name alone: its newest.")]


@models_app.command("list")
def list_models(
    name: Annotated[str, typer.Argument(help="Only this model; default: all.")] = "",
) -> None:
    """List versions: metrics, what they do, and whether they fit a server with these settings, or why not."""
    settings = load_settings()
    registry = open_registry(settings)
    names = registry.names()
    if name and name not in names:
        raise PlanError(f"name: no {name} in {registry.location}; models there: {', '.join(names) or 'none'}")
    table = Table("version", "kind", "created", *REPORTED, "does", "fits this server", title=registry.location)
    doing, server = _doing(registry, names), _server(settings)
    for version in (version for known in names if name in {"", known} for version in registry.versions(known)):
        table.add_row(str(version), *(escape(cell) for cell in _row(registry, version, server, doing.get(version, []))))
    console.print(table)


@models_app.command()
def show(version: OneVersion) -> None:
    """Print what a version is: kind, data, metrics, features, training, files, and whether it fits."""
    settings = load_settings()
    registry = open_registry(settings)
    found = _version(registry, version)
    table = Table("field", "value", title=str(found))
    manifest = registry.manifest(found, FIELDS_OF_ALL)
    for field, value in shown(manifest, metrics_of(registry, found)):
        table.add_row(escape(field), escape(value))
    table.add_row("fits this server", escape(_server(settings).fit(manifest, registry.sizes(found))))
    console.print(table)


@models_app.command()
def diff(first: OneVersion, second: OneVersion) -> None:
    """Print how two versions differ: metrics, tensors, features, training, data."""
    registry = open_registry(load_settings())
    versions = _version(registry, first), _version(registry, second)
    manifests = registry.manifest(versions[0], FIELDS_OF_ALL), registry.manifest(versions[1], FIELDS_OF_ALL)
    sections = compared(manifests, (metrics_of(registry, versions[0]), metrics_of(registry, versions[1])))
    table = Table("", *map(str, versions))
    for section, lines in sections.items():
        table.add_section()
        table.add_row(f"[b]{section}[/b]")
        for line in lines:
            table.add_row(*map(escape, line))
    console.print(table)


@models_app.command("promote")
def promote_version(
    version: Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Like neural/3.")],
    arm: Annotated[str, typer.Option(help="Serve it to a share of the users, as this arm of an experiment.")] = "",
    weight: Annotated[float | None, typer.Option(help="The arm's share of the users, like 0.1; to 0.001.")] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Let it score after the answers, for comparison.")] = False,
    experiment: Annotated[
        str, typer.Option(help="Name of the experiment; another name deals users out anew. Default: the running one's.")
    ] = "",
    of: Annotated[
        str, typer.Option("--for", help="Serve it from servers of this model (ranking.model). Default: NAME.")
    ] = "",
) -> None:
    """Let a version serve: all users, which ends experiment and shadow, or a share of them, or in the shadow.

    Servers take it at their next look at the registry, if it passes their checks; until then, and otherwise, they go
    on as before.
    """
    settings = load_settings()
    found, change = Version.parse(version), _change(arm, weight, experiment, shadow=shadow)
    name = of or found.name
    _say(settings, name, promote(open_registry(settings), found, name, change, _server(settings)))


def _change(arm: str, weight: float | None, experiment: str, *, shadow: bool) -> Change:
    if shadow:
        if arm or weight is not None or experiment:
            raise PlanError("shadow: it takes no arm, weight or experiment")
        return with_shadow
    if not arm and weight is None and not experiment:
        return promoted
    if not arm or weight is None:
        raise PlanError(f"{'weight' if arm else 'arm'}: a share of the users needs --arm and --weight")
    return lambda serving, version, now: with_arm(serving, version, arm, weight, experiment, now)


@models_app.command("rollback")
def roll_back(name: Annotated[str, typer.Argument(help="Name of the model.")]) -> None:
    """Let serve what served before the last promotion, arms and shadow included; again: what served before that."""
    settings = load_settings()
    _say(settings, name, rollback(open_registry(settings), name))


def open_registry(settings: Settings) -> Registry:
    """The settings' registry."""
    return Registry(settings.registry_dir, settings.registry_cache_dir)


def _version(registry: Registry, text: str) -> Version:
    name, _, number = text.partition("/")
    return wanted_version(registry, name, number, "version")


def _say(settings: Settings, name: str, serving: Serving) -> None:
    console.print(f"{name}: {described(serving.plan)}", highlight=False)
    if serving.history:
        console.print(f"before: {described(serving.history[-1])}", highlight=False)
    if name == settings.ranking.model and settings.ranking.version:
        console.print(f"servers with these settings serve version {settings.ranking.version}: ranking.version pins it")
    else:
        console.print(f"servers look every {settings.ranking.watch_interval_s:g} s (ranking.watch_interval_s)")


def _doing(registry: Registry, names: list[str]) -> dict[Version, list[str]]:
    """What each version does; a serving file that cannot be read is said, not fatal."""
    found: dict[Version, list[str]] = {}
    for name in names:
        try:
            for version, role in roles_of(registry, name):
                found.setdefault(version, []).append(role)
        except CrossRecError as error:
            console.print(str(error), style="red", highlight=False, markup=False)
    return found


def _row(registry: Registry, version: Version, server: Server, doing: list[str]) -> list[str]:
    try:
        manifest = registry.manifest(version, FIELDS_OF_ALL)
        fit = server.fit(manifest, registry.sizes(version))
    except CrossRecError as error:
        return [*[""] * (2 + len(REPORTED)), ", ".join(doing), str(error)]
    figures = (manifest.get("metrics", {}).get(metric) for metric in REPORTED)
    values = [f"{figure:.4f}" if isinstance(figure, float) else "" for figure in figures]
    kind, created = (str(manifest.get(field, "")) for field in ("kind", "created_at"))
    return [kind, created.removesuffix("+00:00"), *values, ", ".join(doing), fit]


def _server(settings: Settings) -> Server:
    from services.features.schema import build_schema
    from services.text.encoder import find_fingerprint

    return Server(build_schema(settings.features), find_fingerprint(settings.encoder_dir))
