"""The report's sections on models, from the overview to the transfer weights, and on the method.

Knows the structure of metrics.json.
"""

from collections.abc import Sequence
from typing import Any

from export.evaluation.estimates import Figures, best_kind, estimate_cell, subset_estimates
from export.evaluation.labels import (
    METRICS,
    PROBABILITY,
    RANKING,
    format_number,
    format_signed,
    model_description,
    model_name,
    subset_name,
)
from export.evaluation.model_plots import (
    plot_differences,
    plot_metric,
    plot_reliability,
    plot_scenarios,
)
from export.evaluation.segment_sections import cold_start_section, negatives_section
from export.evaluation.transfer_sections import transfer_section
from services.report.page import ReportCell, ReportRow, ReportTable, Section, text_row


def model_sections(figures: Figures) -> list[Section]:
    """All sections on models, in the order of the page."""
    return [
        overview_section(figures),
        metrics_section(figures),
        differences_section(figures),
        scenarios_section(figures),
        negatives_section(figures),
        cold_start_section(figures),
        calibration_section(figures),
        transfer_section(figures),
    ]


def overview_section(figures: Figures) -> Section:
    """What is compared, on which rows."""
    size = figures["subsets"]["all"]
    intro = (
        "A user meets the same catalogue in several scenarios. For each user and item CrossRec estimates a preference "
        "P[j,n] from the user's behaviour in each source scenario j, and sums the preferences with transfer weights "
        "M[i,j]: how much of them counts in the target scenario i. This report compares such models (P/M) with others "
        "that were trained on the same rows."
    )
    test = (
        f"All figures are of the test rows: {size['rows']:,} pairs of a user and an item in {size['requests']:,} "
        f"requests of {size['users']:,} users, of which {size['positives']:,} are positive. No model was trained on "
        "them, and the features of a row contain nothing that happened after its request."
    )
    notices = [f"Note of the data set: “{note}”" for note in figures["data"]["notes"][:1]]
    return Section("overview", "Overview", [intro, test], notices=notices)


def metrics_section(figures: Figures) -> Section:
    """All models over all test rows."""
    seeds, resamples = figures["workload"]["seeds"], figures["workload"]["resamples"]
    intro = (
        f"Values are means over {seeds} training {'runs with different seeds' if seeds > 1 else 'run'}. Black lines, "
        f"and small numbers below values, are 95 % intervals over users ({resamples} bootstrap resamples)."
    )
    colours = (
        "Blue: models with transfer weights. Dark grey: the best other model on the validation rows, the baseline. "
        "Bold: the best value of a column."
    )
    subsets = ["all", *figures["scenarios"], *figures["segments"]]
    return Section(
        "models",
        "All models",
        [intro, colours],
        notices=[] if figures["subsets"]["all"]["compared_requests"] else [NO_LISTS],
        plots=[plot_metric(figures, "auc"), plot_metric(figures, "ndcg_at_10")],
        tables=[
            _estimate_table("Ranking: all test rows", figures, RANKING, ["all"]),
            _estimate_table("Probabilities and decisions: all test rows", figures, PROBABILITY, ["all"]),
            _estimate_table("Ranking in every scenario and segment", figures, RANKING, subsets),
            _estimate_table("Probabilities and decisions in every scenario and segment", figures, PROBABILITY, subsets),
        ],
    )


NO_LISTS = (
    "NDCG@10, Recall@10 and MRR are unknown (-): they compare rows that were ranked together, and no test request, or "
    "user's day in a scenario, has both a positive and a negative. Give the rows of one list the same request_id."
)


def _estimate_table(caption: str, figures: Figures, metrics: Sequence[str], subsets: Sequence[str]) -> ReportTable:
    """Models by metrics; a table of several subsets is folded and has a group of rows per subset."""
    rows, several = [], len(subsets) > 1
    for subset in subsets:
        if several:
            rows.append(_subset_row(figures, subset))
        best = {metric: best_kind(figures, metric, subset) for metric in metrics if METRICS[metric][2]}
        for kind, model in figures["models"].items():
            estimates = subset_estimates(model, subset)
            if estimates:
                cells = [estimate_cell(estimates[metric], best=best.get(metric) == kind) for metric in metrics]
                rows.append(ReportRow([ReportCell(model_name(kind)), *cells]))
    return ReportTable(caption, ["Model", *(METRICS[metric][0] for metric in metrics)], rows, folded=several)


def _subset_row(figures: Figures, subset: str) -> ReportRow:
    return ReportRow(group=f"{subset_name(subset)}: {figures['subsets'][subset]['rows']:,} rows")


def differences_section(figures: Figures) -> Section:
    """Each model minus the baseline and minus the pooled network."""
    references = list(figures["differences"])
    least = 2 / (figures["workload"]["resamples"] + 1)
    intro = (
        "Differences are more certain than values, because all models have the same easy and hard users: lines are "
        "95 % intervals of the difference over the same resampled users. Retraining moves a difference, too: the "
        "values of each seed are in metrics.json."
    )
    tests = (
        f"p: two-sided p-value of the AUC difference by resampling (at least {least:.3f} with this number of "
        "resamples). Signed ranks: p-value of Wilcoxon's signed-rank test on users' own AUCs."
    )
    names = " and ".join(model_name(reference) for reference in references)
    return Section(
        "differences",
        f"Differences to {names}" if references else "Differences",
        [intro, tests],
        notices=[] if references else ["All models here have transfer weights: there is no baseline to compare with."],
        plots=[
            plot_differences(figures, reference, metric) for reference in references for metric in ("auc", "ndcg_at_10")
        ],
        tables=[_difference_table(figures, reference) for reference in references],
    )


def _difference_table(figures: Figures, reference: str) -> ReportTable:
    metrics = ("auc", "gauc", "ndcg_at_10", "log_loss", "ece")
    rows = []
    for subset in ["all", *figures["scenarios"], *figures["segments"]]:
        rows.append(_subset_row(figures, subset))
        for kind, subsets in figures["differences"][reference].items():
            if subset in subsets:
                differences = subsets[subset]
                cells = [_difference_cell(differences[metric]) for metric in metrics]
                p = [differences["auc"]["p"], differences["wilcoxon_p"]]
                cells += [ReportCell(format_number(value, 3)) for value in p]
                rows.append(ReportRow([ReportCell(model_name(kind)), *cells]))
    columns = ["Model", *(METRICS[metric][0] for metric in metrics), "p (AUC)", "signed ranks"]
    return ReportTable(f"All differences to {model_name(reference)}", columns, rows, folded=True)


def _difference_cell(difference: dict[str, Any]) -> ReportCell:
    if difference["low"] is None:
        return ReportCell(format_signed(difference["value"]))
    interval = f"{format_signed(difference['low'])} to {format_signed(difference['high'])}"
    return ReportCell(format_signed(difference["value"]), interval)


def scenarios_section(figures: Figures) -> Section:
    """Models by target scenario."""
    intro = (
        "The same metrics for each target scenario alone; diamonds are models with transfer weights. Compare models "
        "within a scenario: scenarios differ in difficulty, so values of two scenarios are not comparable. All values "
        "are in the folded tables above."
    )
    plots = [plot_scenarios(figures, metric) for metric in ("auc", "ndcg_at_10")] if figures["scenarios"] else []
    return Section("scenarios", "Target scenarios", [intro], plots=plots)


def calibration_section(figures: Figures) -> Section:
    """Predicted probabilities against observed shares."""
    intro = (
        f"Rows are sorted by predicted probability into {figures['workload']['bins']} bins of equal size; each dot is "
        "a bin. On the dashed diagonal the probabilities are calibrated; below it they are too high. Ranking does not "
        "depend on calibration, thresholds on probabilities do."
    )
    plots = [plot_reliability(figures, kind) for kind in figures["models"]]
    return Section("calibration", "Calibration", [intro], plots=plots)


def method_section(figures: Figures) -> Section:
    """Definitions, workload, versions, machine."""
    work, machine, data = figures["workload"], figures["machine"], figures["data"]
    intro = (
        "Intervals are percentiles of the resamples, which are the same for all models. Decisions use the threshold "
        "with the highest F1 on the validation rows. Equal scores are ordered by one fixed random draw. Coverage has "
        "no interval: a resample lacks users, so it always shows fewer items. The interval of ECE is biased upwards: a "
        "resample's bins are noisier than those of all rows."
    )
    facts = [
        ("Data set", f"{data['name']}, {data['rows']:,} labelled rows"),
        *((("Text encoder", _text_encoder(data["text_encoder"])),) if data.get("text_encoder") else ()),
        ("Seeds per model", str(work["seeds"])),
        ("Resamples", f"{work['resamples']}, seed {figures['seed']}"),
        ("Duration", f"{work['seconds']:.0f} s"),
        ("Machine", f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"),
        ("Packages", ", ".join(f"{name} {version}" for name, version in figures["versions"].items())),
        *(("Note of the data set", f"“{note}”") for note in data["notes"][1:]),
    ]
    metrics = [text_row(name, meaning, better or "-") for name, meaning, better in METRICS.values()]
    models = [text_row(model_name(kind), model_description(kind)) for kind in figures["models"]]
    return Section(
        "method",
        "Method",
        [intro],
        facts=facts,
        tables=[
            ReportTable("Metrics", ["Metric", "Meaning", "Better"], metrics, prose=True),
            ReportTable("Models", ["Model", "Description"], models, prose=True),
        ],
    )


def _text_encoder(encoder: dict[str, str]) -> str:
    """Name, languages and why it was taken."""
    named = f"{encoder['name']} ({encoder['languages']})" if encoder["languages"] else encoder["name"]
    return f"{named}: {encoder['reason']}" if encoder["reason"] else named
