"""The alert rules as data, evaluated on two scrapes of /metrics: before a fault and during it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "alerts.yml"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Values by name and labels."""


@dataclass(frozen=True)
class Scrapes:
    """Two scrapes of /metrics: before a fault and during it."""

    before: str
    after: str


def text_of(registry: CollectorRegistry) -> str:
    """What Prometheus would scrape now."""
    return generate_latest(registry).decode()


def rules() -> dict[str, dict[str, Any]]:
    """The rules by their names."""
    content = yaml.safe_load(RULES.read_text())
    return {rule["alert"]: rule for group in content["groups"] for rule in group["rules"]}


def samples(text: str) -> Samples:
    """The values in a text of /metrics."""
    found: list[Sample] = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in found}


def selectors(expression: Any) -> Iterator[promql.VectorSelector]:
    """All selectors of an expression, left to right."""
    match expression:
        case promql.VectorSelector():
            yield expression
        case promql.MatrixSelector():
            yield expression.vector_selector
        case promql.Call():
            for argument in expression.args:
                yield from selectors(argument)
        case promql.BinaryExpr():
            yield from selectors(expression.lhs)
            yield from selectors(expression.rhs)
        case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr():
            yield from selectors(expression.expr)


def grouping(expression: Any) -> Iterator[str]:
    """All labels by which an expression groups or matches."""
    match expression:
        case promql.AggregateExpr():
            yield from expression.modifier.labels if expression.modifier else ()
            yield from grouping(expression.expr)
        case promql.Call():
            for argument in expression.args:
                yield from grouping(argument)
        case promql.BinaryExpr():
            if expression.modifier and expression.modifier.matching:
                yield from expression.modifier.matching.labels
            yield from grouping(expression.lhs)
            yield from grouping(expression.rhs)
        case promql.ParenExpr() | promql.UnaryExpr():
            yield from grouping(expression.expr)


def total(selector: promql.VectorSelector, values: Samples) -> float:
    """Sum over the samples that a selector matches; 0 where there are none."""
    return math.fsum(
        value for (name, labels), value in values.items() if name == selector.name and _matches(selector, dict(labels))
    )


def fires(expression: Any, before: Samples, after: Samples) -> bool:
    """Whether a rule's expression holds, as if all its series were one and growth between scrapes continued.

    For the forms that the rules have; what Prometheus itself makes of them is tested in tests/outside.
    """
    match str(expression.op):
        case "or":
            return fires(expression.lhs, before, after) or fires(expression.rhs, before, after)
        case ">" if isinstance(expression.lhs, promql.Call):
            return _quantile_is_above(expression.lhs, expression.rhs.val, before, after)
        case ">":
            return _value(expression.lhs, before, after) > expression.rhs.val
        case "<":
            return _value(expression.lhs, before, after) < expression.rhs.val
        case _:
            return _value(expression.lhs, before, after) == expression.rhs.val


def _value(expression: Any, before: Samples, after: Samples) -> float:
    match expression:
        case promql.VectorSelector():
            return total(expression, after)
        case promql.Call():  # rate, increase
            (selector,) = selectors(expression)
            return total(selector, after) - total(selector, before)
        case promql.AggregateExpr():
            return _value(expression.expr, before, after)
        case _:
            over = _value(expression.rhs, before, after)
            return _value(expression.lhs, before, after) / over if over else math.nan


def _quantile_is_above(call: promql.Call, threshold: float, before: Samples, after: Samples) -> bool:
    """Of the new observations, a larger share than the quantile leaves is beyond the threshold, which ends a bucket."""
    (buckets,) = selectors(call)
    new = {
        float(dict(labels)["le"]): value - before.get((name, labels), 0.0)
        for (name, labels), value in after.items()
        if name == buckets.name
    }
    return new[math.inf] - new[threshold] > (1 - call.args[0].val) * new[math.inf]


def _matches(selector: promql.VectorSelector, labels: dict[str, str]) -> bool:
    return all(_fits(matcher, labels.get(matcher.name, "")) for matcher in selector.matchers.matchers)


def _fits(matcher: promql.Matcher, value: str) -> bool:
    alternatives = matcher.value.split("|")  # the only regular expressions that the rules use
    match str(matcher.op):
        case "MatchOp.Equal":
            return value == matcher.value
        case "MatchOp.NotEqual":
            return value != matcher.value
        case _:
            return value in alternatives
