"""Checks of the online store: its kind is the one of the settings, it keeps what is written, and grants the rights."""

from collections.abc import Iterator, Mapping
from typing import Any

from services.doctor.check import Check, ok, warning, wrong
from services.errors import CrossRecError
from services.settings.infrastructure import StoreSettings
from services.store.protocol import StoreDenied, StoreUnavailable
from services.store.redis.cluster import SLOTS, StoreCluster
from services.store.redis.connection import StoreConnection, redis_nodes
from services.store.redis.errors import connected
from services.store.redis.pipeline import Client, primary_nodes
from services.store.redis.rights import check_rights

WAIT_S = 3.0
"""Time-out of the store, seconds."""

NAME = "online store"
GUIDE = "give its user the rights that deploy/README.md lists"
START = "start it (`crossrec infra up`), or set store.url"


def store_checks(store: StoreSettings) -> Iterator[Check]:
    """Check whether the store answers, is what the settings say, may lose rows, and lets its user run the commands."""
    nodes = ", ".join(f"{host}:{port}" for host, port in redis_nodes(store))
    try:
        with connected(lambda: _open_client(store)) as client:
            abouts = {name or nodes: _about(node) for name, node in primary_nodes(client).items()}
            yield from _kind_checks(client, abouts)
            for name, about in abouts.items():
                yield from _keeping_checks(name, about, store)
            yield _rights_check(client, store.project)
            client.close()
    except StoreDenied as error:
        yield wrong(NAME, str(error), GUIDE)
    except (StoreUnavailable, OSError) as error:
        cause = error.__cause__ or error
        yield wrong(NAME, f"{nodes} does not answer: {type(cause).__name__}", START)


def _open_client(store: StoreSettings) -> Client:
    return StoreConnection(store.model_copy(update={"read_timeout_s": WAIT_S})).client()


def _about(node: Any) -> Mapping[str, Any]:
    about: Mapping[str, Any] = node.info()
    return about


def _kind_checks(client: Client, abouts: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    (name, about), *_ = abouts.items()
    version = about.get("valkey_version") or about["redis_version"]
    if not isinstance(client, StoreCluster):
        if about.get("cluster_enabled"):
            advice = "list several nodes, host:port,host:port, in store.url (the same one twice, if there is one name)"
            yield wrong(NAME, f"{name} is a node of a cluster, and store.url names a single server", advice)
        elif about.get("role") != "master":
            yield wrong(NAME, f"{name} is a read-only replica", "set store.url to the name of the primary")
        else:
            yield ok(NAME, f"{name} answers, version {version}")
        return
    owned = len(client.owners())
    if owned < SLOTS:
        yield wrong(NAME, f"{SLOTS - owned} of {SLOTS} slots have no owner", "assign them, or repair the cluster")
    else:
        yield ok(NAME, f"cluster of {len(abouts)} primaries answers, version {version}")


def _keeping_checks(name: str, about: Mapping[str, Any], store: StoreSettings) -> Iterator[Check]:
    """What may make a server lose rows."""
    policy = about.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        advice = "set maxmemory-policy noeviction: evicted rows are lost features"
        yield warning("store eviction", f"{name}: {policy}", advice)
    if not about.get("aof_enabled"):
        advice = "set appendonly yes: rows that a restart loses must be rebuilt"
        yield warning("store persistence", f"{name}: no append-only file", advice)
    elif about.get("aof_last_write_status", "ok") != "ok":
        yield wrong("store persistence", f"{name}: the last write of the append-only file failed", "check its disk")
    replicas = int(about.get("connected_slaves", 0))
    if replicas < store.wait_replicas:
        found = f"{name}: {replicas} connected replicas, store.wait_replicas is {store.wait_replicas}"
        yield wrong("store replicas", found, "connect replicas, or lower store.wait_replicas: consumers wait for them")


def _rights_check(client: Client, project: str) -> Check:
    try:
        with connected(lambda: client):
            check_rights(client, project)
    except StoreDenied as error:
        return wrong("store rights", str(error), GUIDE)
    except CrossRecError as error:
        return warning("store rights", f"not tried: {error}", "see the other checks of the store")
    return ok("store rights", "the store's user may run every command that is needed")
