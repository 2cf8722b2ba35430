"""The error tree: every error that CrossRec raises on purpose derives from `CrossRecError`.

    CrossRecError
    +-- EncoderMismatch         a text encoder's files are not the ones it was built from (services.text)
    +-- ModelMismatch           a model was trained on other features than this server has (services.ranking)
    +-- ModelUnavailable        the registry holds no such model, or it cannot run here (services.ranking)
    +-- RegistryUnavailable     the model registry cannot be read now; trying again may help (services.ranking)
    +-- PlanError               what should serve, or a change of it, breaks a rule (services.ranking)
    +-- WorkerFailed            the first worker processes cannot serve (services.ranking)
    +-- StoreUnavailable        the online store is away or late; trying again may help (services.store)
    +-- FencedWrite             rows hold newer positions than the writer's (services.store)
    +-- StaleSchema             rows were written under a newer or unknown feature schema (services.store)
    +-- IncompatibleSchema      stored rows cannot be folded on under this feature schema (services.store)
    +-- BadRecord               a Kafka record is not an entry (services.events)
    +-- ConfigurationError      a setting is missing, unknown or out of range
    +-- InfraUnavailable        this machine lacks what the embedded infrastructure needs
    +-- InfraFailed             a server of the embedded infrastructure does not start or stop
    +-- LoadFailed              a load run cannot start or go on (services.load)
    +-- NotServing              a server that was asked for its health does not serve
    +-- CallFailed              a server did not do what the console asked of it (services.console)
    +-- BadChoice               a form of the console does not make a request (services.console)
    +-- BadSkewReport           a file holds no skew report to show (services.console)
    +-- TopicMismatch           a Kafka topic exists with another number of partitions
    +-- TopicChanged            a Kafka topic is not the one that rows were folded from
    +-- RequestError            answered to a gRPC caller with a status of its own
        +-- InvalidRequest      INVALID_ARGUMENT: the caller must change the request
        +-- Unauthenticated     UNAUTHENTICATED: no token, or none that counts
        |   +-- TokenExpired    the same: it counted once
        +-- PermissionDenied    PERMISSION_DENIED: the token does not allow this
        +-- Overloaded          RESOURCE_EXHAUSTED: more than the server admits, try again after the delay it names
        +-- DeadlinePassed      DEADLINE_EXCEEDED: the caller no longer waits
        +-- Unavailable         UNAVAILABLE: something behind the server is away, try again

`services.server.error_interceptor` turns the tree into statuses; this module knows nothing of gRPC.
"""

from typing import ClassVar


class CrossRecError(Exception):
    """Root of the errors that name what is wrong and can be shown as they are."""


class ConfigurationError(CrossRecError):
    """A setting is missing, unknown or out of range; the text names it."""


class InfraUnavailable(CrossRecError):
    """This machine lacks a package or program that the embedded infrastructure needs.

    Args:
        missing: what is not there, as a sentence without its full stop.
    """

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"{missing}. The embedded Kafka and Valkey cannot run here: point the settings"
            " CROSSREC_KAFKA__BOOTSTRAP_SERVERS and CROSSREC_STORE__URL at your own Kafka and Redis/Valkey."
        )


class InfraFailed(CrossRecError):
    """A server of the embedded infrastructure does not start, answer or stop."""


class TopicMismatch(CrossRecError):
    """A topic exists with another number of partitions than wanted.

    Args:
        topic: name of the topic.
        found: partitions it has.
        wanted: partitions it should have.
    """

    def __init__(self, topic: str, found: int, wanted: int) -> None:
        super().__init__(f"topic {topic} has {found} partitions, wanted {wanted}")
        self.topic = topic
        self.found = found
        self.wanted = wanted


class TopicChanged(CrossRecError):
    """A topic is not the one whose positions the rows hold; the text says what to do.

    Args:
        topic: name of the topic.
        what: what changed, and the remedy.
    """

    def __init__(self, topic: str, what: str) -> None:
        super().__init__(f"topic {topic}: {what}")
        self.topic = topic


class RequestError(CrossRecError):
    """A request that gets an error as its answer; the text is shown to the caller.

    `reason` is the machine-readable reason of `google.rpc.ErrorInfo`, in the domain `crossrec`.
    """

    reason: ClassVar[str] = "REQUEST_FAILED"


class InvalidRequest(RequestError):
    """The request breaks a rule of its contract.

    Args:
        field: the field at fault, as a path below the request, like `entries` or `context.time`.
        description: what is wrong with it, for people.
    """

    reason = "INVALID_REQUEST"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description


class Unauthenticated(RequestError):
    """The caller has no token that counts; the text never shows one."""

    reason = "UNAUTHENTICATED"


class TokenExpired(Unauthenticated):
    """The caller's token was valid and is not any more."""

    reason = "TOKEN_EXPIRED"


class PermissionDenied(RequestError):
    """The caller's token lacks the scope that the call needs."""

    reason = "PERMISSION_DENIED"


class Overloaded(RequestError):
    """More than the server admits; the same request may succeed later.

    Args:
        description: what there is too much of, for people.
        retry_after_s: when to try again, seconds from now.
    """

    reason = "OVERLOADED"

    def __init__(self, description: str, retry_after_s: float = 1.0) -> None:
        super().__init__(description)
        self.retry_after_s = retry_after_s


class DeadlinePassed(RequestError):
    """The caller's deadline passed, or leaves no time for an answer."""

    reason = "DEADLINE_PASSED"


class Unavailable(RequestError):
    """Something the server needs cannot be reached; the same request may succeed later."""

    reason = "UNAVAILABLE"
