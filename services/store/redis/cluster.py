"""Commands to a cluster: all nodes are asked at once, redirections are followed, the table of slots is kept up to date.

After a failover the owner of a slot is another node. redis-py's own commands learn that from a MOVED alone; here a dead
connection, a demoted primary and a cluster that is down also have the other nodes asked for the table.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import AskError, MovedError, NoScriptError
from redis.retry import Retry

from services.store.read_deadline import read_deadline
from services.store.redis.exchange import abandon, encode_command, receive, send

LoadScripts = Callable[[Redis], object]
"""Loads the scripts that the commands call into a node."""

ROUNDS = 4
"""Most times that a command is sent: a redirection may lead to a node that lacks the script and then redirects."""

SLOTS = 16384

SPREAD = 20_000
"""Numbers that are tried for a key of each primary; one with a thousandth of the slots needs about a thousand."""

_ASKING = encode_command(b"ASKING")
_LOST_NODE = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
)
"""Errors after which another node may own the slot; a loading and a cut-off node raise subclasses."""


class StoreCluster(RedisCluster):
    """redis-py's client of a cluster, whose table of slots can be refreshed by several threads.

    Args:
        nodes: host and port of nodes; asked anew, by name, when no known node answers.
        arguments: of the connections.
    """

    def __init__(self, nodes: Sequence[tuple[str, int]], **arguments: Any) -> None:
        self._named = list(nodes)
        self._refreshing = threading.Lock()
        self._refreshed_s = time.monotonic()
        self.failovers = 0
        """How often the set of primaries was found changed; slots that move between them do not count."""
        self._importing: dict[str, ClusterNode] = {}
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in nodes],  # type: ignore[no-untyped-call]
            # Slots without an owner fail their own keys only.
            require_full_coverage=False,
            retry=Retry(NoBackoff(), 1),
            **arguments,
        )

    def refresh(self, since_s: float, failed: Collection[str] = ()) -> None:
        """Ask the nodes for the table of slots, those of names `failed` last, unless it was asked for after `since_s`.

        Raises RedisClusterException if no node answers.
        """
        with self._refreshing:
            if self._refreshed_s > since_s:
                return
            begun_s, manager = time.monotonic(), self.nodes_manager
            for name in failed:
                manager.move_node_to_end_of_cached_nodes(name)
            before = self._primary_names()
            manager.initialize(self._named, disconnect_startup_nodes_pools=False)
            self._refreshed_s = begun_s
            self.failovers += self._primary_names() != before

    def _primary_names(self) -> set[str]:
        return {node.name for node in self.get_primaries()}  # type: ignore[no-untyped-call]

    def owners(self) -> dict[int, str]:
        """The name of the primary of each slot."""
        return {slot: nodes[0].name for slot, nodes in self.nodes_manager.slots_cache.items()}

    def owner(self, key: bytes) -> ClusterNode:
        """The primary that owns the key. Raises SlotNotCoveredError if no node owns its slot."""
        try:
            return self.get_node_from_key(key)  # type: ignore[no-untyped-call, no-any-return]
        except exceptions.SlotNotCoveredError:
            self.refresh(time.monotonic())
        return self.get_node_from_key(key)  # type: ignore[no-untyped-call, no-any-return]

    def spread(self, encode: Callable[[int], bytes]) -> dict[str, int]:
        """For each primary, by name, the smallest number whose encoded key it owns."""
        names = self._primary_names()
        found: dict[str, int] = {}
        for number in range(SPREAD):
            found.setdefault(self.owner(encode(number)).name, number)
            if found.keys() >= names:
                break
        return found

    def node_at(self, address: tuple[str, int]) -> ClusterNode:
        """The node that a redirection names; one that owns no slot yet is not in the table."""
        known = self.get_node(*address)  # type: ignore[no-untyped-call]
        if known is not None:
            return known  # type: ignore[no-any-return]
        node = ClusterNode(*address)  # type: ignore[no-untyped-call]
        return self._importing.setdefault(node.name, node)


@dataclass
class _Share:
    """The commands for one node.

    Args:
        node: the node.
        asking: whether each is preceded by ASKING: the node does not own the slot yet.
        places: their indices.
    """

    node: ClusterNode
    asking: bool
    places: list[int]


def execute_on_cluster(
    cluster: StoreCluster, keys: Sequence[bytes], commands: Sequence[bytes], load_scripts: LoadScripts | None
) -> list[Any]:
    """The responses to encoded commands, with errors as values; the key at the same index decides the node."""
    responses: list[Any] = [None] * len(commands)
    asked: dict[int, ClusterNode] = {}
    left: Sequence[int] = range(len(commands))
    for _ in range(ROUNDS):
        begun_s, shares = time.monotonic(), _share(cluster, keys, left, asked)
        asked = {}
        for share, received in zip(shares, _exchange(cluster, shares, commands), strict=True):
            for place, response in zip(share.places, received, strict=True):
                responses[place] = response
        failed = {place: share for share in shares for place in share.places if _is_passing(responses[place])}
        if not failed:
            break
        left = _prepare_again(cluster, keys, responses, failed, asked, load_scripts, begun_s)
        if not left:
            break
    return responses


def _share(
    cluster: StoreCluster, keys: Sequence[bytes], places: Sequence[int], asked: dict[int, ClusterNode]
) -> list[_Share]:
    shares: dict[tuple[str, bool], _Share] = {}
    for place in places:
        asking = place in asked
        node = asked[place] if asking else cluster.owner(keys[place])
        shares.setdefault((node.name, asking), _Share(node, asking, [])).places.append(place)
    return list(shares.values())


def _exchange(cluster: StoreCluster, shares: Sequence[_Share], commands: Sequence[bytes]) -> list[list[Any]]:
    """The responses of each share: everything is sent before the first response is awaited.

    An error of a connection stands for each of the responses.
    """
    sent: list[tuple[Redis, Any]] = []
    received: list[list[Any]] = []
    timeout_s = cluster.nodes_manager.connection_kwargs.get("socket_timeout")
    try:
        for share in shares:
            node = cluster.get_redis_connection(share.node)
            sent.append((node, _send(node, share, commands)))
        # The time-out is that of all nodes together: several dead ones are awaited at the same time.
        with nullcontext() if timeout_s is None else read_deadline(timeout_s):
            for share, (node, connection) in zip(shares, sent, strict=True):
                received.append(_receive(node, share, connection))
    except BaseException:
        for node, connection in sent[len(received) :]:
            if not isinstance(connection, Exception):
                abandon(node, connection)
        raise
    return received


def _send(node: Redis, share: _Share, commands: Sequence[bytes]) -> Any:
    """The connection on which the share was sent, or the error."""
    packed = [commands[place] for place in share.places]
    try:
        return send(node, [_ASKING + command for command in packed] if share.asking else packed)
    except _LOST_NODE as error:
        return error


def _receive(node: Redis, share: _Share, connection: Any) -> list[Any]:
    if isinstance(connection, Exception):
        return [connection] * len(share.places)
    try:
        responses = receive(node, connection, len(share.places) * (1 + share.asking))
    except _LOST_NODE as error:
        return [error] * len(share.places)
    return responses[1::2] if share.asking else responses


def _is_passing(response: Any) -> bool:
    return isinstance(response, (AskError, exceptions.TryAgainError, NoScriptError, *_LOST_NODE))


def _prepare_again(
    cluster: StoreCluster,
    keys: Sequence[bytes],
    responses: Sequence[Any],
    failed: dict[int, _Share],
    asked: dict[int, ClusterNode],
    load_scripts: LoadScripts | None,
    begun_s: float,
) -> list[int]:
    """Refresh the table or load the scripts, as the errors demand; returns the commands worth sending again."""
    lost = {place: share.node.name for place, share in failed.items() if isinstance(responses[place], _LOST_NODE)}
    if lost or any(isinstance(responses[place], MovedError) for place in failed):
        cluster.refresh(begun_s, set(lost.values()))
    loaded: set[str] = set()
    again = []
    for place, share in failed.items():
        error = responses[place]
        if isinstance(error, AskError) and not isinstance(error, MovedError):
            asked[place] = cluster.node_at(error.node_addr)
        elif isinstance(error, NoScriptError):
            if load_scripts is None:
                continue
            if share.node.name not in loaded:
                load_scripts(cluster.get_redis_connection(share.node))
                loaded.add(share.node.name)
            if share.asking:
                asked[place] = share.node
        elif place in lost and cluster.owner(keys[place]).name == lost[place]:
            continue
        again.append(place)
    return again
