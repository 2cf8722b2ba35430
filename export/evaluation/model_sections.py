"""The report's sections on models: comparison, scenarios, cold start, calibration, transfer weights, method.

Knows metrics.json's structure and what each section says; how it looks is the template's.
"""

from collections.abc import Sequence
from typing import Any

from export.evaluation import findings
from export.evaluation.evaluate import POOLED
from export.evaluation.model_plots import (
    difference_dots,
    metric_bars,
    reliability_plot,
    scenario_dots,
    transfer_heatmap,
)
from export.evaluation.sections import Cell, Row, Section, TableOf, plain
from export.evaluation.words import METRICS, MODELS, PROBABILITY, RANKING, model_name, number, signed, subset_name

Figures = dict[str, Any]


def model_sections(figures: Figures) -> list[Section]:
    """All sections on models, in the order of the page."""
    return [
        summary(figures),
        comparison(figures),
        differences(figures),
        scenarios(figures),
        cold_start(figures),
        calibration(figures),
        transfer_weights(figures),
    ]


def summary(figures: Figures) -> Section:
    """What a hurried reader should know."""
    size = figures["subsets"]["all"]
    intro = (
        "A user meets the same catalogue in several scenarios. For each user and item CrossRec estimates a preference "
        "P[j,n] from what the user did in each source scenario j, and sums them with transfer weights M[i,j] that say "
        "how much of it holds in the target scenario i. This report compares such models (P/M) with others that were "
        "trained on the same rows."
    )
    test = (
        f"Every number comes from the test rows: {size['rows']:,} pairs of a user and an item in {size['requests']:,} "
        f"requests of {size['users']:,} users, of which {size['positives']:,} are positive. No model saw them "
        "in training, and the features of a row hold nothing that happened after its request."
    )
    notes = [f"The data set says of itself: “{note}”" for note in figures["data"]["notes"][:1]]
    return Section(
        "short",
        "In short",
        [intro, test],
        [*findings.best_model(figures), *findings.pooling(figures), *findings.cold_start(figures)],
        notes,
    )


def comparison(figures: Figures) -> Section:
    """All models over all test rows."""
    seeds, resamples = figures["workload"]["seeds"], figures["workload"]["resamples"]
    intro = (
        f"How well each model ranks, over all test rows. Values are means over {seeds} training "
        f"{'runs that differ' if seeds > 1 else 'run; more would differ'} in the random seed; the black lines, and the "
        f"small numbers below values, are 95 % intervals over users ({resamples} resamples): what could have been "
        "measured on other users of the same kind."
    )
    colours = (
        "Blue: models with transfer weights. Dark grey: the best other model on the validation rows, which the rest "
        "is compared with. Bold in the tables: the best value of a column."
    )
    return Section(
        "models",
        "All models",
        [intro, colours],
        findings.best_model(figures)[:1],
        pictures=[metric_bars(figures, "auc"), metric_bars(figures, "ndcg_at_10")],
        tables=[
            _estimates("Order: all test rows", figures, RANKING, ["all"]),
            _estimates("Probabilities and decisions: all test rows", figures, PROBABILITY, ["all"]),
            *(
                _estimates(f"{name} in every scenario and segment", figures, metrics, _subsets(figures), folded=True)
                for name, metrics in (("Order", RANKING), ("Probabilities and decisions", PROBABILITY))
            ),
        ],
    )


def _subsets(figures: Figures) -> list[str]:
    return ["all", *figures["scenarios"], *figures["segments"]]


def _estimates(
    caption: str, figures: Figures, metrics: Sequence[str], subsets: Sequence[str], *, folded: bool = False
) -> TableOf:
    """Models by metrics, a group of rows per subset."""
    rows = []
    for subset in subsets:
        if len(subsets) > 1:
            rows.append(Row(group=f"{subset_name(subset)}: {figures['subsets'][subset]['rows']:,} rows"))
        best = {metric: findings.ranked(figures, metric, subset)[:1] for metric in metrics if METRICS[metric][2]}
        for kind, model in figures["models"].items():
            found = findings.estimates_of(model, subset)
            if found:
                cells = [_cell(found[metric], best=best.get(metric) == [kind]) for metric in metrics]
                rows.append(Row([Cell(model_name(kind)), *cells]))
    return TableOf(caption, ["Model", *(METRICS[metric][0] for metric in metrics)], rows, folded)


def _cell(estimate: dict[str, Any], *, best: bool = False) -> Cell:
    return Cell(number(estimate["value"]), findings.span(estimate).strip("[]").replace(", ", " to "), best)


def differences(figures: Figures) -> Section:
    """Each model against the references."""
    references = list(figures["differences"])
    least = 2 / (figures["workload"]["resamples"] + 1)
    intro = (
        "Differences between models are surer than their values, because easy and hard users are the same for all: "
        "the lines are 95 % intervals of the difference over the same resampled users. A line that leaves out zero "
        "is a difference that other users would most likely show too. Training again may also move it: a difference is "
        "called better or worse here only if training runs agree on it, too."
    )
    tests = (
        f"p: the chance of a difference this large if there were none, by resampling (at least {least:.3f} with this "
        "many resamples); signed ranks: the same by Wilcoxon's test on users' own AUCs."
    )
    names = " and ".join(model_name(reference) for reference in references)
    return Section(
        "differences",
        f"Differences to {names}" if references else "Differences",
        [intro, tests],
        [*findings.against_baseline(figures), *findings.pooling(figures)],
        [] if references else ["All models here have transfer weights: there is no other model to compare with."],
        [difference_dots(figures, reference, metric) for reference in references for metric in ("auc", "ndcg_at_10")],
        [_difference_table(figures, reference) for reference in references],
    )


def _difference_table(figures: Figures, reference: str) -> TableOf:
    metrics = ("auc", "gauc", "ndcg_at_10", "log_loss", "ece")
    rows = []
    for subset in _subsets(figures):
        rows.append(Row(group=f"{subset_name(subset)}: {figures['subsets'][subset]['rows']:,} rows"))
        for kind, subsets in figures["differences"][reference].items():
            if subset in subsets:
                found = subsets[subset]
                cells = [_difference_cell(found[metric]) for metric in metrics]
                p = [Cell(number(found["auc"]["p"], 3)), Cell(number(found["wilcoxon_p"], 3))]
                rows.append(Row([Cell(model_name(kind)), *cells, *p]))
    columns = ["Model", *(METRICS[metric][0] for metric in metrics), "p (AUC)", "signed ranks"]
    return TableOf(f"Every difference to {model_name(reference)}", columns, rows, folded=True)


def _difference_cell(difference: dict[str, Any]) -> Cell:
    if difference["low"] is None:
        return Cell(signed(difference["value"]))
    return Cell(signed(difference["value"]), f"{signed(difference['low'])} to {signed(difference['high'])}")


def scenarios(figures: Figures) -> Section:
    """Models by target scenario."""
    intro = (
        "The same for each target scenario alone, in order of the models above; diamonds are models with transfer "
        "weights. Compare colours within a scenario: scenarios differ in how hard they are, so a value in one says "
        "nothing against a value in another. All numbers are in the folded tables above."
    )
    pictures = [scenario_dots(figures, metric) for metric in ("auc", "ndcg_at_10")] if figures["scenarios"] else []
    return Section("scenarios", "Target scenarios", [intro], findings.by_scenario(figures), pictures=pictures)


def cold_start(figures: Figures) -> Section:
    """What is measured where there is no history."""
    segments: dict[str, str] = figures["segments"]
    meanings = "; ".join(f"{subset_name(name)}: {meaning}" for name, meaning in segments.items())
    intro = (
        f"How models rank what has no history. {meanings}. A model that lives on counts has nothing to order cold "
        "items by, so values near 0.5 are expected there."
    )
    empty = [
        f"{subset_name(name)}: no test row is of this kind in this data set, so this part of the table is empty."
        for name in segments
        if not figures["subsets"][name]["rows"]
    ]
    return Section("cold", "Cold start", [intro], findings.cold_start(figures), empty, tables=[_segment_table(figures)])


def _segment_table(figures: Figures) -> TableOf:
    """Models by segments, a column per segment and metric."""
    shown = [(name, metric) for name in figures["segments"] for metric in ("auc", "ndcg_at_10")]
    best = {(name, metric): findings.ranked(figures, metric, name)[:1] for name, metric in shown}
    rows = []
    for kind, model in figures["models"].items():
        found = [findings.estimates_of(model, name).get(metric) for name, metric in shown]
        cells = [
            _cell(estimate, best=best[column] == [kind]) if estimate else Cell("-")
            for estimate, column in zip(found, shown, strict=True)
        ]
        rows.append(Row([Cell(model_name(kind)), *cells]))
    columns = [f"{subset_name(name)}: {METRICS[metric][0]}" for name, metric in shown]
    return TableOf("Segments of the test rows", ["Model", *columns], rows)


def calibration(figures: Figures) -> Section:
    """Whether probabilities mean what they say."""
    intro = (
        f"Whether a predicted probability of 30 % comes true in 30 % of cases. Rows are sorted by probability into "
        f"{figures['workload']['bins']} bins of equal size; each dot is a bin. Dots on the dashed diagonal are right; "
        "below it, the model promises too much. Order does not depend on this, but rules on probabilities do."
    )
    pictures = [reliability_plot(figures, kind) for kind in figures["models"]]
    return Section("calibration", "Calibration", [intro], findings.calibration(figures), pictures=pictures)


def transfer_weights(figures: Figures) -> Section:
    """M[i,j] of the models that have it."""
    intro = (
        "How much preference in a source scenario (column) counts in a target scenario (row): M[i,j], the mean over "
        "users of the test rows, between 0 and 1. Scores are divided by the row's sum, so only proportions within a "
        "row matter. ± is the deviation between training runs: weights that differ less than that are equal."
    )
    kinds = [kind for kind, model in figures["models"].items() if model["transfer"]]
    found = [text for kind in kinds for text in findings.transfer_weights(figures, kind)]
    none = [] if kinds else ["None of these models has transfer weights: evaluate affine or neural to see them."]
    pictures = [transfer_heatmap(figures, kind) for kind in kinds]
    if POOLED in figures["models"]:
        found += findings.pooling(figures)
    return Section("transfer", "Transfer weights", [intro], found, none, pictures)


def method(figures: Figures) -> Section:
    """Definitions, workload, versions, machine."""
    work, machine = figures["workload"], figures["machine"]
    names = ", ".join(model_name(kind) for kind in figures["models"])
    intro = (
        f"Models: {names}; training runs of each: {work['seeds']}. "
        f"Intervals: percentiles of {work['resamples']} resamples of users, the same for all models (seed "
        f"{figures['seed']}). Decisions: the threshold with the highest F1 on the validation rows. Equal scores are "
        "ordered by one fixed draw. Coverage has no interval: a resample lacks users, so it always shows fewer items. "
        "ECE's interval leans upwards: a resample's bins are noisier than those of all rows."
    )
    versions = ", ".join(f"{name} {version}" for name, version in figures["versions"].items())
    made = (
        f"Data: {figures['data']['name']}, {figures['data']['rows']:,} labelled rows. Measured in "
        f"{work['seconds']:.0f} s on {machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}."
    )
    metrics = [plain(name, meaning, better or "-") for name, meaning, better in METRICS.values()]
    models = [plain(model_name(kind), MODELS.get(kind, ("", "-"))[1]) for kind in figures["models"]]
    return Section(
        "method",
        "How it was measured",
        [intro, made, *(f"From the data set's notes: “{note}”" for note in figures["data"]["notes"][1:])],
        tables=[
            TableOf("Metrics", ["Metric", "Meaning", "Better"], metrics, prose=True),
            TableOf("Models", ["Model", "What it is"], models, prose=True),
        ],
    )
