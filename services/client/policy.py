"""What gRPC does for the clients by itself, as it is told: connect again, balance, watch health, try again.

Knows the services' names and which calls may be repeated: Rank changes nothing, and entries carry event ids, by which
repeats are dropped. PublishStream is not in it: a stream is opened again by whoever knows what has no answer.
"""

import json
from typing import Any

RANKING_SERVICE = "crossrec.ranking.v1.RankingService"
EVENT_SERVICE = "crossrec.events.v1.EventService"

RECONNECT: tuple[tuple[str, Any], ...] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
"""Options of a channel: a server that was away is asked soon whether it is back. gRPC's own pauses between attempts to
connect grow from one second to two minutes."""

RETRYABLE = ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
"""Away, and overloaded: a server that refuses says when to come back (grpc-retry-pushback-ms), and gRPC follows."""

THROTTLING = {"maxTokens": 100, "tokenRatio": 0.1}
"""A failure costs one token, an answer brings a tenth; below half of them nothing is tried again. So servers in
trouble get at most a tenth more calls, after the first fifty."""


def retry_policy(attempts: int, initial_backoff_s: float, max_backoff_s: float) -> dict[str, Any]:
    """Tries in all, the first included, and the pauses between them, which double each time."""
    return {
        "maxAttempts": attempts,
        "initialBackoff": f"{initial_backoff_s}s",
        "maxBackoff": f"{max_backoff_s}s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": RETRYABLE,
    }


RANK_RETRIES = retry_policy(attempts=4, initial_backoff_s=0.05, max_backoff_s=1)
PUBLISH_RETRIES = retry_policy(attempts=5, initial_backoff_s=0.1, max_backoff_s=2)


def service_config(service: str, method: str, retries: dict[str, Any]) -> str:
    """The service config of a channel, JSON.

    Calls go round over all addresses of the target's name, less those whose health service says that `service` does
    not serve there.
    """
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": service},
        "retryThrottling": THROTTLING,
        "methodConfig": [{"name": [{"service": service, "method": method}], "retryPolicy": retries}],
    }
    return json.dumps(config)
