"""What the figures say, in sentences: pure functions of metrics.json's structure. Knows no plots and no HTML."""

from collections.abc import Mapping, Sequence
from statistics import stdev
from typing import Any

from export.evaluation.evaluate import POOLED
from export.evaluation.words import METRICS, listed, model_name, number, signed, subset_name

Figures = dict[str, Any]


def ranked(figures: Figures, metric: str, subset: str = "all", *, transfers: bool | None = None) -> list[str]:
    """Kinds from the best to the worst; those with (True) or without (False) transfer weights, or all."""
    found = {
        kind: estimates_of(model, subset).get(metric, {}).get("value")
        for kind, model in figures["models"].items()
        if transfers is None or model["transfers"] == transfers
    }
    sign = -1 if METRICS[metric][2] == "lower" else 1
    return sorted((kind for kind, value in found.items() if value is not None), key=lambda k: -sign * found[k])


def estimates_of(model: dict[str, Any], subset: str) -> dict[str, Any]:
    """A model's estimates on a subset; empty if it has no rows."""
    test = model["test"]
    found: dict[str, Any] = test["segments"].get(subset) or test.get(subset) or {}
    return found


def span(estimate: Mapping[str, Any], digits: int = 4) -> str:
    """[low, high], or nothing."""
    if estimate["low"] is None:
        return ""
    return f"[{number(estimate['low'], digits)}, {number(estimate['high'], digits)}]"


def verdict(difference: Mapping[str, Any], metric: str = "auc") -> str:
    """'better' or 'worse' if neither the users nor the seeds can explain a difference, else 'the same'.

    Its interval over users must leave out 0, and its mean over seeds lie above two standard errors.
    """
    if difference["value"] is None or difference["low"] is None or difference["low"] <= 0 <= difference["high"]:
        return "the same"
    seeds = difference["seeds"]
    if len(seeds) > 1 and abs(difference["value"]) <= 2 * stdev(seeds) / len(seeds) ** 0.5:
        return "the same"
    better = difference["value"] > 0
    return "better" if better != (METRICS[metric][2] == "lower") else "worse"


def told_difference(difference: Mapping[str, Any], digits: int = 4) -> str:
    """Difference +0.0001 [-0.0002, +0.0004] and its deviation over seeds."""
    ends = f" [{signed(difference['low'], digits)}, {signed(difference['high'], digits)}]"
    told = f"difference {signed(difference['value'], digits)}{ends if difference['low'] is not None else ''}"
    if len(difference["seeds"]) < 2:
        return f"{told} of one training run each"
    return f"{told}, deviation {number(stdev(difference['seeds']), digits)} between training runs"


def best_model(figures: Figures) -> list[str]:
    """Who ranks best, and against what it is compared."""
    order = ranked(figures, "auc")
    if not order:
        return ["The test rows hold one class only, so no model can be ranked."]
    best, baseline = order[0], figures["baseline"]
    auc = figures["models"][best]["test"]["all"]["auc"]
    texts = [f"Highest test AUC: {model_name(best)} with {number(auc['value'])} {span(auc)}."]
    if baseline == best:
        texts.append("It was the best model without transfer weights on the validation rows, too.")
    elif baseline:
        texts.append(
            f"Best model without transfer weights, chosen on the validation rows: {model_name(baseline)} with "
            f"{number(figures['models'][baseline]['test']['all']['auc']['value'])}."
        )
    return [" ".join(texts), *against_baseline(figures)]


def against_baseline(figures: Figures) -> list[str]:
    """The best P/M model against the best baseline."""
    transfers = ranked(figures, "auc", transfers=True)
    against = figures["differences"].get(figures["baseline"], {})
    if not transfers or transfers[0] not in against:
        return []
    return [_compared(figures, transfers[0], figures["baseline"])]


def _compared(figures: Figures, kind: str, reference: str) -> str:
    found = figures["differences"][reference][kind]["all"]
    told = {
        "better": f"{model_name(kind)} ranks better than {model_name(reference)}",
        "worse": f"{model_name(kind)} ranks worse than {model_name(reference)}",
        "the same": f"{model_name(kind)} cannot be told apart from {model_name(reference)}",
    }[verdict(found["auc"])]
    return (
        f"{told} in AUC: {told_difference(found['auc'])}; p = {number(found['auc']['p'], 3)} by resampling users, "
        f"{number(found['wilcoxon_p'], 3)} by the signed ranks of users' own AUCs."
    )


def pooling(figures: Figures) -> list[str]:
    """Whether scenario-specific weights bring anything over the pooled network."""
    transfers = ranked(figures, "auc", transfers=True)
    found = figures["differences"].get(POOLED, {})
    if not transfers or transfers[0] not in found:
        return []
    kind = transfers[0]
    auc = found[kind]["all"]["auc"]
    told = {
        "better": "Summing preferences with transfer weights ranks better than one network for all scenarios here",
        "worse": "Summing preferences with transfer weights ranks worse than one network for all scenarios here",
        "the same": "Scenario-specific transfer weights bring nothing over pooling all scenarios here",
    }[verdict(auc)]
    return [f"{told} ({model_name(kind)} against {model_name(POOLED)}), in AUC: {told_difference(auc)}."]


def by_scenario(figures: Figures) -> list[str]:
    """Where ranking is easy, hard, and who wins where."""
    scenarios = [s for s in figures["scenarios"] if ranked(figures, "auc", s)]
    if not scenarios:
        return []
    winners = {scenario: ranked(figures, "auc", scenario)[0] for scenario in scenarios}
    value = {s: figures["models"][winners[s]]["test"][s]["auc"]["value"] for s in scenarios}
    easy, hard = max(scenarios, key=lambda s: value[s]), min(scenarios, key=lambda s: value[s])
    kinds = list(dict.fromkeys(winners.values()))
    won = [f"{model_name(kind)} in {listed([s for s in scenarios if winners[s] == kind])}" for kind in kinds]
    texts = [f"Highest AUC: {'; '.join(won)}."]
    if easy != hard:
        texts.append(f"The best AUC lies between {number(value[hard])} ({hard}) and {number(value[easy])} ({easy}).")
    return [" ".join(texts)]


def cold_start(figures: Figures) -> list[str]:
    """Sizes of the segments and what is lost in them."""
    texts = []
    for segment in ("cold_items", "cold_users"):
        size, whole = figures["subsets"][segment]["rows"], figures["subsets"]["all"]["rows"]
        name = subset_name(segment)
        if not size:
            texts.append(f"{name}: none of the {whole:,} test rows, so nothing can be said about them.")
            continue
        text = f"{name}: {size:,} of {whole:,} test rows ({size / whole:.2%})"
        order = ranked(figures, "auc", segment)
        if not order:
            texts.append(f"{text}, with one class only, so AUC cannot be measured.")
            continue
        cold = estimates_of(figures["models"][order[0]], segment)["auc"]
        warm = estimates_of(figures["models"][order[0]], "warm").get("auc", {"value": None})
        few = " These are few: read the interval, not the value." if size < FEW_ROWS else ""
        texts.append(
            f"{text}; highest AUC there {number(cold['value'])} {span(cold)} ({model_name(order[0])}, "
            f"which has {number(warm['value'])} on warm rows).{few}"
        )
    return texts


FEW_ROWS = 500


def calibration(figures: Figures) -> list[str]:
    """Who is calibrated best and worst, and which way the worst errs."""
    order = ranked(figures, "ece")
    if not order:
        return []
    best, worst = order[0], order[-1]
    ece = {kind: figures["models"][kind]["test"]["all"]["ece"]["value"] for kind in order}
    text = f"Closest to the diagonal: {model_name(best)} (ECE {number(ece[best])})."
    if best == worst:
        return [text]
    curve = figures["models"][worst]["reliability"]
    excess = sum(point["rows"] * (point["probability"] - point["positive"]) for point in curve)
    rows = sum(point["rows"] for point in curve)
    way = "too low" if excess < 0 else "too high"
    if abs(excess) / rows < ece[worst] / 2:
        way = "too high for some rows and too low for others"
    return [f"{text} Farthest: {model_name(worst)} (ECE {number(ece[worst])}), whose probabilities are {way}."]


def transfer_weights(figures: Figures, kind: str) -> list[str]:
    """Which sources count most, whether targets differ, and whether seeds agree."""
    transfer, targets = figures["models"][kind]["transfer"], figures["scenarios"]
    sources: Sequence[str] = transfer["sources"]
    lines = [transfer["mean"][sources.index(target)] for target in targets]
    if not lines:
        return []
    mean = [sum(column) / len(lines) for column in zip(*lines, strict=True)]
    most, least = mean.index(max(mean)), mean.index(min(mean))
    between = max(max(column) - min(column) for column in zip(*lines, strict=True))
    text = (
        f"{model_name(kind)}: source {sources[most]} counts most (mean weight {mean[most]:.2f}), {sources[least]} "
        f"least ({mean[least]:.2f}). Between target scenarios a source's weight differs by at most {between:.2f}"
    )
    if transfer["over_seeds"] is None:
        return [f"{text}. One seed was trained, so nothing is known of chance."]
    places = [sources.index(target) for target in targets]
    seeds = max(max(transfer["over_seeds"][place]) for place in places)
    told = "no more than between seeds" if between <= 2 * seeds else "more than between seeds"
    return [f"{text}: {told} (deviation up to {seeds:.2f})."]
