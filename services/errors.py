"""The root of all errors that CrossRec raises on purpose, and the errors that several packages share.

Every such error derives from `CrossRecError`; those of one package stand in its modules (`make reference` lists all).
`RequestError` and its subclasses are answers to a gRPC caller: `services.server.error_interceptor` maps them to
statuses; this module knows nothing of gRPC.
"""

from typing import ClassVar


class CrossRecError(Exception):
    """Root of the errors whose text names the problem and can be shown to users."""


class ConfigurationError(CrossRecError):
    """A setting is missing, unknown or out of range; the text names it."""


class InfraUnavailable(CrossRecError):
    """This machine lacks a package or program that the embedded infrastructure needs.

    Args:
        missing: what is missing, as a sentence without its full stop.
    """

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"{missing}. The embedded Kafka and Valkey cannot run here: point the settings"
            " CROSSREC_KAFKA__BOOTSTRAP_SERVERS and CROSSREC_STORE__URL at your own Kafka and Redis/Valkey."
        )


class InfraFailed(CrossRecError):
    """A server of the embedded infrastructure does not start, answer or stop."""


class TopicMismatch(CrossRecError):
    """A topic exists with a number of partitions other than expected.

    Args:
        topic: name of the topic.
        found: its number of partitions.
        wanted: the expected number.
    """

    def __init__(self, topic: str, found: int, wanted: int) -> None:
        super().__init__(f"topic {topic} has {found} partitions, wanted {wanted}")
        self.topic = topic
        self.found = found
        self.wanted = wanted


class TopicChanged(CrossRecError):
    """A topic was re-created or changed, so that positions in stored rows do not refer to it; the text has the remedy.

    Args:
        topic: name of the topic.
        what: what changed, and the remedy.
    """

    def __init__(self, topic: str, what: str) -> None:
        super().__init__(f"topic {topic}: {what}")
        self.topic = topic


class RequestError(CrossRecError):
    """An error that is the answer to a request; the text is sent to the caller.

    `reason` is the machine-readable reason of `google.rpc.ErrorInfo`, in the domain `crossrec`.
    """

    reason: ClassVar[str] = "REQUEST_FAILED"


class InvalidRequest(RequestError):
    """The request violates its contract.

    Args:
        field: the invalid field, as a path below the request, like `entries` or `context.time`.
        description: the problem, for people.
    """

    reason = "INVALID_REQUEST"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description


class Unauthenticated(RequestError):
    """The caller has no valid token; the text never shows a token."""

    reason = "UNAUTHENTICATED"


class TokenExpired(Unauthenticated):
    """The caller's token has expired."""

    reason = "TOKEN_EXPIRED"


class PermissionDenied(RequestError):
    """The caller's token lacks the scope that the call needs."""

    reason = "PERMISSION_DENIED"


class Overloaded(RequestError):
    """The server is overloaded; the same request may succeed later.

    Args:
        description: the exceeded limit, for people.
        retry_after_s: retry delay, seconds.
    """

    reason = "OVERLOADED"

    def __init__(self, description: str, retry_after_s: float = 1.0) -> None:
        super().__init__(description)
        self.retry_after_s = retry_after_s


class DeadlinePassed(RequestError):
    """The caller's deadline passed, or is too near for an answer."""

    reason = "DEADLINE_PASSED"


class StorageRefused(RequestError):
    """A service that the server depends on refuses the request until an operator changes what the text names."""

    reason = "STORAGE_REFUSED"


class Unavailable(RequestError):
    """A service that the server depends on is unavailable; the same request may succeed later."""

    reason = "UNAVAILABLE"
