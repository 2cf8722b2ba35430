"""`crossrec models list|show|diff|promote|rollback`: the versions in the model registry, and the rollout.

Parses flags and prints tables. Needs no training packages.
"""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.errors import CrossRecError
from services.registry.description import (
    FIELDS_OF_ALL,
    REPORTED,
    ServerRequirements,
    compare_versions,
    list_fields,
    read_metrics,
)
from services.registry.promotion import Change, list_roles, promote, roll_back
from services.registry.reader import Registry, Version, find_version
from services.registry.rollout import RolloutError, ServingState, describe_rollout, with_arm, with_shadow, with_version
from services.settings.load import Settings, load_settings
from services.settings.terminal import open_console

models_app = typer.Typer(
    no_args_is_help=True,
    help="List and compare versions in the model registry, promote them, run experiments, roll back.",
)
console = open_console()

OneVersion = Annotated[
    str, typer.Argument(metavar="NAME/VERSION", help="Version, like neural/3; a name alone: its newest version.")
]


@models_app.command("list")
def list_models(
    name: Annotated[str, typer.Argument(help="Only this model; default: all.")] = "",
) -> None:
    """List versions with metrics, role, and whether they fit a server with these settings."""
    settings = load_settings()
    registry = open_registry(settings)
    registry.check()
    names = registry.names()
    if name and name not in names:
        raise RolloutError(f"name: no {name} in {registry.location}; models there: {', '.join(names) or 'none'}")
    if not names:
        console.print(f"no models in {registry.location}", highlight=False)
        return
    table = Table("version", "kind", "created", *REPORTED, "role", "fits this server", title=registry.location)
    roles, server = _read_roles(registry, names), _read_requirements(settings)
    for version in (version for known in names if name in {"", known} for version in registry.versions(known)):
        table.add_row(str(version), *_format_row(registry, version, server, roles.get(version, [])))
    console.print(table)


@models_app.command()
def show(version: OneVersion) -> None:
    """Print a version: kind, data, metrics, features, training, files, and whether it fits this server."""
    settings = load_settings()
    registry = open_registry(settings)
    found = _find_version(registry, version)
    table = Table("field", "value", title=str(found))
    manifest = registry.manifest(found, FIELDS_OF_ALL)
    for field, value in list_fields(manifest, read_metrics(registry, found)):
        table.add_row(field, value)
    table.add_row("fits this server", _read_requirements(settings).fit(manifest, registry.sizes(found)))
    console.print(table)


@models_app.command()
def diff(first: OneVersion, second: OneVersion) -> None:
    """Print the differences of two versions: metrics, tensors, features, training, data."""
    registry = open_registry(load_settings())
    versions = _find_version(registry, first), _find_version(registry, second)
    manifests = registry.manifest(versions[0], FIELDS_OF_ALL), registry.manifest(versions[1], FIELDS_OF_ALL)
    sections = compare_versions(manifests, (read_metrics(registry, versions[0]), read_metrics(registry, versions[1])))
    table = Table("", *map(str, versions))
    for section, lines in sections.items():
        table.add_section()
        table.add_row(Text(section, "bold"))
        for line in lines:
            table.add_row(*line)
    console.print(table)


@models_app.command("promote")
def promote_version(
    version: Annotated[str, typer.Argument(metavar="NAME/VERSION", help="Version, like neural/3.")],
    arm: Annotated[
        str, typer.Option(help="Serve the version to a share of the users, as this arm of an experiment.")
    ] = "",
    weight: Annotated[
        float | None, typer.Option(help="The arm's share of the users, like 0.1; a multiple of 0.001.")
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Score requests after the answer, for comparison only.")
    ] = False,
    experiment: Annotated[
        str,
        typer.Option(help="Name of the experiment; a new name assigns users anew. Default: the running experiment."),
    ] = "",
    of: Annotated[
        str, typer.Option("--for", help="Serve the version in servers of this model (ranking.model). Default: NAME.")
    ] = "",
) -> None:
    """Promote a version: to all users, which ends experiment and shadow; to a share of them; or as shadow.

    Servers load it at their next poll of the registry, and serve it if it passes their checks; until then, and if it
    fails, the previous version continues to serve.
    """
    settings = load_settings()
    found, change = Version.parse(version), _parse_change(arm, weight, experiment, shadow=shadow)
    name = of or found.name
    _print_state(settings, name, promote(open_registry(settings), found, name, change, _read_requirements(settings)))


def _parse_change(arm: str, weight: float | None, experiment: str, *, shadow: bool) -> Change:
    if shadow:
        if arm or weight is not None or experiment:
            raise RolloutError("shadow: cannot be combined with arm, weight or experiment")
        return with_shadow
    if not arm and weight is None and not experiment:
        return with_version
    if not arm or weight is None:
        raise RolloutError(f"{'weight' if arm else 'arm'}: a share of the users needs --arm and --weight")
    return lambda serving, version, now: with_arm(serving, version, arm, weight, experiment, now)


@models_app.command("rollback")
def roll_back_model(name: Annotated[str, typer.Argument(help="Name of the model.")]) -> None:
    """Restore the rollout before the last promotion, with its arms and shadow; repeat to go further back."""
    settings = load_settings()
    _print_state(settings, name, roll_back(open_registry(settings), name))


def open_registry(settings: Settings) -> Registry:
    """Open the registry of the settings."""
    return Registry(settings.registry_dir, settings.registry_cache_dir)


def _find_version(registry: Registry, text: str) -> Version:
    name, _, number = text.partition("/")
    return find_version(registry, name, number, "version")


def _print_state(settings: Settings, name: str, serving: ServingState) -> None:
    console.print(f"{name}: {describe_rollout(serving.rollout)}", highlight=False)
    if serving.history:
        console.print(f"previously: {describe_rollout(serving.history[-1])}", highlight=False)
    if name == settings.ranking.model and settings.ranking.version:
        console.print(f"ranking.version pins version {settings.ranking.version} in servers with these settings")
    else:
        console.print(
            f"servers poll the registry every {settings.ranking.watch_interval_s:g} s (ranking.watch_interval_s)"
        )


def _read_roles(registry: Registry, names: list[str]) -> dict[Version, list[str]]:
    """The roles of each version; a serving file that cannot be read is printed as an error."""
    found: dict[Version, list[str]] = {}
    for name in names:
        try:
            for version, role in list_roles(registry, name):
                found.setdefault(version, []).append(role)
        except CrossRecError as error:
            console.print(str(error), style="red", highlight=False)
    return found


def _format_row(registry: Registry, version: Version, server: ServerRequirements, roles: list[str]) -> list[str]:
    try:
        manifest = registry.manifest(version, FIELDS_OF_ALL)
        fit = server.fit(manifest, registry.sizes(version))
    except CrossRecError as error:
        return [*[""] * (2 + len(REPORTED)), ", ".join(roles), str(error)]
    measured = manifest.get("metrics", {})
    figures = (measured.get(metric) for metric in REPORTED)
    values = [f"{figure:.4f}" if isinstance(figure, float) else "-" if measured else "" for figure in figures]
    kind, created = (str(manifest.get(field, "")) for field in ("kind", "created_at"))
    return [kind, created.removesuffix("+00:00"), *values, ", ".join(roles), fit]


def _read_requirements(settings: Settings) -> ServerRequirements:
    from services.features.schema import build_schema
    from services.text.encoder import find_fingerprint

    return ServerRequirements(build_schema(settings.features), find_fingerprint(settings.encoder_dir))
