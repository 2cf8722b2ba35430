"""A run's results in sentences, for the terminal and the report. Knows the results alone."""

from typing import Any

from services.load.stats import OK


def describe_profile(profile: dict[str, Any]) -> str:
    """The profile as a sentence."""
    arrivals = "Poisson arrivals" if profile["arrivals"] == "poisson" else "constant gaps"
    step_s, rates = profile["step_s"], [f"{rate:g}" for rate in profile["rates"]]
    if profile["kind"] == "ramp":
        return f"A ramp to the knee in steps of {step_s:g} s, {arrivals}."
    if profile["kind"] == "steps":
        return f"{', '.join(rates)} requests per second, {step_s:g} s each, {arrivals}."
    return f"{rates[0]} requests per second for {step_s:g} s, {arrivals}."


def notices(results: dict[str, Any]) -> list[str]:
    """Warnings that qualify the results: an interrupted run, a client that fell behind."""
    ended = ["The run was ended early; what was sent until then is here."] if results["interrupted"] else []
    return ended + ([results["client"]["summary"]] if results["client"]["behind"] else [])


def findings(results: dict[str, Any]) -> list[str]:
    """The main results as sentences."""
    whole = results["overall"]
    latency, answered = whole["latency_ms"], whole["codes"].get(OK, 0)
    texts = [results["capacity"]["summary"]] if results["capacity"] else []
    texts.append(
        f"{answered:,} of {whole['requests']:,} requests were answered. Half of the latencies were within "
        f"{format_number(latency['p50'])} ms, 99 % within {format_number(latency['p99'])} ms."
    )
    return texts + ([] if results["client"]["behind"] else [results["client"]["summary"]])


def headline_results(results: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The results that stand for the run, and of what they are: a ramp's are those at its knee."""
    at = results["capacity"]["step"] if results["capacity"] else None
    if at is None:
        return results["overall"], "whole run"
    return results["steps"][at], f"at {round(results['steps'][at]['rate'], 1):g}/s"


def format_fields(part: dict[str, Any]) -> str:
    """Names and values in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in part.items())


def format_number(value: float) -> str:
    """Three significant digits, or all before the decimal point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
