"""Promotion and rollback: changes the rollout in the registry, which servers poll.

Knows registries and rollouts; `cli.py` parses commands and prints results.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from services.registry.description import FIELDS_OF_ALL, RECOGNISER, ServerRequirements
from services.registry.reader import ModelMismatch, ModelUnavailable, Registry, Version, find_version
from services.registry.rollout import (
    SERVING,
    Rollout,
    RolloutError,
    ServingState,
    parse_serving,
    serialize_serving,
    with_previous,
    with_version,
)

Change = Callable[[ServingState, Version, str], ServingState]
"""A change of the serving state: for a version, at a time (ISO 8601)."""


def read_serving_state(registry: Registry, name: str) -> ServingState:
    """The serving state of a model: its serving file, or without one the newest version."""
    path = f"{name}/{SERVING}"
    if (content := registry.read(path)) is not None:
        return parse_serving(content, f"{registry.location}/{path}")
    return ServingState(Rollout.of(find_version(registry, name, setting="name")))


def find_serving(registry: Registry, name: str, number: str, setting: str, command: str = "crossrec train") -> Version:
    """The version `number` of a model; for "" the one that serves, the first arm of an experiment.

    Raises ModelUnavailable naming the `setting` that requires it and the `command` that creates one.
    """
    if number or registry.newest(name) is None:
        return find_version(registry, name, number, setting, command)
    return read_serving_state(registry, name).rollout.arms[0].model


def promote(
    registry: Registry, version: Version, name: str, change: Change, server: ServerRequirements
) -> ServingState:
    """Change the serving state of the model `name`; returns the new one.

    Raises ModelUnavailable if the version is not registered or its files have changed, ModelMismatch if it does not fit
    the server, RolloutError if the change breaks a rule.
    """
    if not registry.has(version):
        known = ", ".join(map(str, registry.versions(version.name))) or f"none of {version.name}"
        raise ModelUnavailable(f"version: no {version} in {registry.location}; there are {known}")
    manifest = registry.manifest(version, FIELDS_OF_ALL)
    if manifest.get("kind") != RECOGNISER:
        manifest = registry.manifest(version)
    elif change is not with_version or name != version.name:
        raise RolloutError(f"version: {version} is a recogniser; it serves all users, in place of another one")
    if problems := server.problems(manifest):
        raise ModelMismatch(f"version: {version} does not fit this server: {'; '.join(problems)}")
    registry.fetch(version, manifest)
    changed = change(read_serving_state(registry, name), version, datetime.now(UTC).isoformat(timespec="seconds"))
    registry.write(f"{name}/{SERVING}", serialize_serving(changed))
    return changed


def roll_back(registry: Registry, name: str) -> ServingState:
    """Serve the previous rollout again; returns the new serving state.

    Without a serving file the previous rollout is the version before the newest. Raises RolloutError if there is none,
    or its versions were deleted.
    """
    if registry.read(f"{name}/{SERVING}") is None:
        versions = registry.versions(name)
        previous = tuple(Rollout.of(version) for version in versions[1:2])
        serving = with_previous(ServingState(read_serving_state(registry, name).rollout, previous))
    else:
        serving = with_previous(read_serving_state(registry, name))
    if deleted := [str(version) for version in serving.rollout.models if not registry.has(version)]:
        raise RolloutError(f"history: {', '.join(deleted)} served before, but is no longer in {registry.location}")
    registry.write(f"{name}/{SERVING}", serialize_serving(serving))
    return serving


def list_roles(registry: Registry, name: str) -> list[tuple[Version, str]]:
    """Versions with a role in the servers of a model, and their role as text."""
    rollout = read_serving_state(registry, name).rollout
    roles = [(arm.model, f"arm {arm.arm} {arm.weight:.1%}" if arm.arm else "serves") for arm in rollout.arms]
    if rollout.shadow:
        roles.append((rollout.shadow, "shadow"))
    return [(version, role if version.name == name else f"{role} of {name}") for version, role in roles]
