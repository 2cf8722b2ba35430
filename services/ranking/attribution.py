"""The attribution token: what an answer hands out and events carry back, to say which answer showed the item.

It names no user. Knows its text form; knows nothing of answers or events.
"""

import base64
import binascii
import json
import uuid
from dataclasses import dataclass

from services.errors import CrossRecError
from services.features.hashing import key64

MAX_TOKEN_BYTES = 512
"""What BehaviorEvent.attribution_token takes."""


class BadToken(CrossRecError):
    """A text is no attribution token."""


@dataclass(frozen=True)
class Attribution:
    """What a token says.

    Args:
        answer_id: the answer.
        model: name and version of the model that ranked.
        arm: of the experiment; "" where none ran.
        scenario: the target scenario, or its key where its id would have been too long.
        time_s: the request's time, seconds since 1970.
    """

    answer_id: str
    model: str
    arm: str
    scenario: str
    time_s: float


def attribution_token(model: str, arm: str, scenario: str, time_s: float) -> str:
    """A token for a new answer, at most MAX_TOKEN_BYTES long.

    A scenario id that JSON makes too long for an event (control characters) is named by its key.
    """
    content = {"id": uuid.uuid4().hex, "model": model, "arm": arm, "scenario": scenario, "time_s": time_s}
    token = _encoded(content)
    return token if len(token) <= MAX_TOKEN_BYTES else _encoded({**content, "scenario": key64(scenario)})


def attribution_of(token: str) -> Attribution:
    """What a token says; BadToken for a text that is none. Tokens of before there were arms have arm ""."""
    try:
        content = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return Attribution(
            answer_id=str(content["id"]),
            model=str(content["model"]),
            arm=str(content.get("arm", "")),
            scenario=str(content["scenario"]),
            time_s=float(content["time_s"]),
        )
    except (binascii.Error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadToken(f"attribution_token: not one of an answer: {type(error).__name__}") from error


def _encoded(content: dict[str, object]) -> str:
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
