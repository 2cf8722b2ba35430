"""A run's figures in sentences, for the terminal and the report. Knows the figures alone."""

from typing import Any

from services.load.tally import OK


def profile_in_words(profile: dict[str, Any]) -> str:
    """What was offered, as a sentence."""
    arrivals = "Poisson arrivals" if profile["arrivals"] == "poisson" else "constant gaps"
    step_s, rates = profile["step_s"], [f"{rate:g}" for rate in profile["rates"]]
    if profile["kind"] == "ramp":
        return f"A ramp to the knee in steps of {step_s:g} s, {arrivals}."
    if profile["kind"] == "steps":
        return f"{', '.join(rates)} requests per second, {step_s:g} s each, {arrivals}."
    return f"{rates[0]} requests per second for {step_s:g} s, {arrivals}."


def notices(figures: dict[str, Any]) -> list[str]:
    """What the reader must know before believing the rest."""
    ended = ["The run was ended early; what was sent until then is here."] if figures["interrupted"] else []
    return ended + ([figures["client"]["says"]] if figures["client"]["behind"] else [])


def found(figures: dict[str, Any]) -> list[str]:
    """What came out, in words."""
    whole = figures["overall"]
    latency, answered = whole["latency_ms"], whole["codes"].get(OK, 0)
    texts = [figures["capacity"]["says"]] if figures["capacity"] else []
    texts.append(
        f"{answered:,} of {whole['requests']:,} requests were answered. Of all waits, half were over within "
        f"{number(latency['p50'])} ms, 99 % within {number(latency['p99'])} ms."
    )
    return texts + ([] if figures["client"]["behind"] else [figures["client"]["says"]])


def shown(figures: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The figures that stand for the run, and of what they are: a ramp's are those at its knee."""
    at = figures["capacity"]["step"] if figures["capacity"] else None
    if at is None:
        return figures["overall"], "whole run"
    return figures["steps"][at], f"at {round(figures['steps'][at]['rate'], 1):g}/s"


def in_words(part: dict[str, Any]) -> str:
    """Names and values in a line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in part.items())


def number(value: float) -> str:
    """Three significant digits or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
