"""Decisions of what serves, written where servers look: promote a version, roll back.

Knows registries and plans; who may decide, and how it is said, is the command line's matter.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from services.registry.description import FIELDS_OF_ALL, RECOGNISER, Server
from services.registry.reader import ModelMismatch, ModelUnavailable, Registry, Version, wanted_version
from services.registry.rollout import SERVING, Plan, PlanError, Serving, read_serving, rolled_back, serving_bytes

Change = Callable[[Serving, Version, str], Serving]
"""What becomes of a serving file with a version at a time (ISO 8601)."""


def serving_of(registry: Registry, name: str) -> Serving:
    """What serves of a model: by its serving file, or without one the newest version."""
    path = f"{name}/{SERVING}"
    if (content := registry.read(path)) is not None:
        return read_serving(content, f"{registry.location}/{path}")
    return Serving(Plan.of(wanted_version(registry, name, setting="name")))


def promote(registry: Registry, version: Version, name: str, change: Change, server: Server) -> Serving:
    """Change what serves of the model `name`; returns what serves then.

    Raises ModelUnavailable if the version is not there or its files are not those registered, ModelMismatch if it does
    not fit the server, PlanError if the change breaks a rule.
    """
    if not registry.has(version):
        known = ", ".join(map(str, registry.versions(version.name))) or f"none of {version.name}"
        raise ModelUnavailable(f"version: no {version} in {registry.location}; there are {known}")
    if registry.manifest(version, FIELDS_OF_ALL).get("kind") == RECOGNISER:
        raise PlanError(f"version: {version} is a recogniser; the setting ranking.recogniser says which one serves")
    manifest = registry.manifest(version)
    if problems := server.problems(manifest):
        raise ModelMismatch(f"version: {version} does not fit this server: {'; '.join(problems)}")
    registry.local(version, manifest)
    changed = change(serving_of(registry, name), version, datetime.now(UTC).isoformat(timespec="seconds"))
    registry.write(f"{name}/{SERVING}", serving_bytes(changed))
    return changed


def rollback(registry: Registry, name: str) -> Serving:
    """Let serve what served before; returns what serves then.

    Where nobody ever decided, that is the version before the newest. Raises PlanError if there is nothing before, or
    not any more.
    """
    if registry.read(f"{name}/{SERVING}") is None:
        versions = registry.versions(name)
        earlier = tuple(Plan.of(version) for version in versions[1:2])
        serving = rolled_back(Serving(serving_of(registry, name).plan, earlier))
    else:
        serving = rolled_back(serving_of(registry, name))
    if gone := [str(version) for version in serving.plan.models if not registry.has(version)]:
        raise PlanError(f"history: {', '.join(gone)} served before, but is not in {registry.location} any more")
    registry.write(f"{name}/{SERVING}", serving_bytes(serving))
    return serving


def roles_of(registry: Registry, name: str) -> list[tuple[Version, str]]:
    """Versions that do something in the servers of a model, and what, in words."""
    plan = serving_of(registry, name).plan
    found = [(arm.model, f"arm {arm.arm} {arm.weight:.1%}" if arm.arm else "serves") for arm in plan.arms]
    if plan.shadow:
        found.append((plan.shadow, "shadow"))
    return [(version, role if version.name == name else f"{role} of {name}") for version, role in found]
