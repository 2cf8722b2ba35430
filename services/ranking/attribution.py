"""The attribution token: answers hold one and events carry it back, to name the answer that showed an item.

It contains no user id. Knows the token's text form; knows nothing of answers or events.
"""

import base64
import binascii
import json
import uuid
from dataclasses import dataclass

from services.errors import CrossRecError
from services.features.hashing import key64

MAX_TOKEN_BYTES = 512
"""Longest value of BehaviorEvent.attribution_token."""


class InvalidAttributionToken(CrossRecError):
    """A text is not an attribution token."""


@dataclass(frozen=True)
class Attribution:
    """The content of a token.

    Args:
        answer_id: the answer.
        model: name and version of the model that ranked.
        arm: of the experiment; "" if none ran.
        scenario: the target scenario, or its key if its id would have been too long.
        time_s: the request's time, seconds since 1970.
    """

    answer_id: str
    model: str
    arm: str
    scenario: str
    time_s: float


def make_attribution_token(model: str, arm: str, scenario: str, time_s: float) -> str:
    """A token for a new answer, at most MAX_TOKEN_BYTES long.

    A scenario id that becomes too long in JSON (of quotes, say, which double) is replaced by its key.
    """
    content = {"id": uuid.uuid4().hex, "model": model, "arm": arm, "scenario": scenario, "time_s": time_s}
    token = _encode(content)
    return token if len(token) <= MAX_TOKEN_BYTES else _encode({**content, "scenario": key64(scenario)})


def parse_attribution_token(token: str) -> Attribution:
    """The content of a token. Raises InvalidAttributionToken if the text is not one."""
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return Attribution(
            answer_id=str(content["id"]),
            model=str(content["model"]),
            arm=str(content["arm"]),
            scenario=str(content["scenario"]),
            time_s=float(content["time_s"]),
        )
    except (binascii.Error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidAttributionToken(
            f"attribution_token: not the token of an answer: {type(error).__name__}"
        ) from error


def _encode(content: dict[str, object]) -> str:
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
