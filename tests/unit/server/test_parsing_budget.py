"""The budget of large requests: small ones pass, a client gets half."""

import pytest

from services.errors import Overloaded
from services.server.parsing_budget import ParsingBudget

MIB = 1024 * 1024


def test_a_client_gets_half_and_leaves_the_rest_to_others() -> None:
    """What is given back is free again."""
    budget = ParsingBudget(8 * MIB, patience_s=0.0)
    with budget.hold("a", 6 * MIB):
        with pytest.raises(Overloaded, match="too many bytes"), budget.hold("a", 3 * MIB):
            pass
        with budget.hold("a", 2 * MIB), budget.hold("b", 8 * MIB), pytest.raises(Overloaded), budget.hold("c", MIB):
            pass
    with budget.hold("a", 8 * MIB):
        pass


def test_small_requests_are_not_counted() -> None:
    budget = ParsingBudget(MIB, patience_s=0.0)
    with budget.hold("a", MIB), budget.hold("b", MIB), budget.hold("a", 64 * 1024), budget.hold("c", 1):
        pass
