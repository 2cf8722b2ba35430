"""gRPC service configs of the clients: load balancing, health checks and retries, which gRPC does by itself.

Knows the services' names and which calls may be retried: Rank changes nothing, and entries carry event ids, by which
repeats are dropped. PublishStream is not retried by gRPC: `EventStream` reopens it with the pending requests.
"""

import json
from typing import Any

RANKING_SERVICE = "crossrec.ranking.v1.RankingService"
EVENT_SERVICE = "crossrec.events.v1.EventService"

RETRYABLE = ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
"""Unavailable or overloaded. gRPC obeys the delay that a rejecting server sets (grpc-retry-pushback-ms)."""

THROTTLING = {"maxTokens": 100, "tokenRatio": 0.1}
"""A failure costs one token, an answer returns a tenth; below half of the tokens nothing is retried. So failing
servers get at most a tenth more calls, after the first fifty."""


def retry_policy(attempts: int, initial_backoff_s: float, max_backoff_s: float) -> dict[str, Any]:
    """A retry policy: attempts, the first included, and the backoff between them, which doubles each time."""
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

    Calls are balanced round-robin over all addresses of the target whose health service reports `service` as serving.
    """
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": service},
        "retryThrottling": THROTTLING,
        "methodConfig": [{"name": [{"service": service, "method": method}], "retryPolicy": retries}],
    }
    return json.dumps(config)
