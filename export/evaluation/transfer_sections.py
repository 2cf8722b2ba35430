"""The report's section on transfer weights: what they are, and how far they can be believed.

Knows the structure of metrics.json.
"""

from typing import Any

from export.evaluation.charts import draw_heatmap, draw_title, finish_plot
from export.evaluation.estimates import Figures, estimate_cell
from export.evaluation.evaluate import POOLED
from export.evaluation.labels import format_number, format_signed, model_name
from export.evaluation.model_plots import WIDTH_NARROW, plot_transfer
from services.report.page import ReportCell, ReportRow, ReportTable, Section
from services.report.plots import Plot, new_axes


def transfer_section(figures: Figures) -> Section:
    """Heat maps of the weights and of the sources' worth, with the evidence for them."""
    weights = (
        "Shares: how much preference in source scenario j (column) counts in target scenario i (row), M[i,j] over the "
        "row's sum, the mean over the test rows' users. Scores are divided by that sum, so only shares matter, not the "
        "level of M. ± is the deviation between seeds, in points: shares that differ by less are equal."
    )
    if POOLED in figures["differences"]:
        weights += " What the weights bring over one network for all scenarios is in the differences above."
    evidence = (
        "Evidence. Stability: rank correlation of the shares of any two seeds, the least of all; off the diagonal: "
        "without each scenario's own share. Worth: the increase in log loss on target i when source j is left out of "
        "the trained mix and the others keep their weights; its rank correlation with the shares off the diagonal, "
        "over the pairs whose worth exceeds its deviation over seeds. Calibration: ECE of P[j] on the test rows of j "
        "itself. Where these are bad, weights say more than the rows support: see what limits this model."
    )
    kinds = {kind: model["transfer"] for kind, model in figures["models"].items() if model["transfer"]}
    notices = [] if kinds else ["None of these models has transfer weights: evaluate affine or neural to see them."]
    if old := [model_name(kind) for kind, transfer in kinds.items() if not transfer["worth"]]:
        notices.append(f"Runs of an earlier version ({', '.join(old)}): train again to see calibration and worth.")
    if kinds and figures["workload"]["seeds"] == 1:
        notices.append("Stability is unknown: it needs several seeds, crossrec evaluate --seeds 3.")
    measured = {kind: transfer for kind, transfer in kinds.items() if transfer["worth"]}
    return Section(
        "transfer",
        "Transfer weights",
        [weights, evidence],
        notices=notices,
        plots=[
            *(plot_transfer(figures, kind) for kind in kinds),
            *(plot_worth(figures, kind) for kind in measured),
        ],
        tables=[_evidence_table(kinds), _calibration_table(figures["scenarios"], measured)] if kinds else [],
    )


def _evidence_table(kinds: dict[str, dict[str, Any]]) -> ReportTable:
    rows = []
    for kind, transfer in kinds.items():
        stability, worth = transfer["stability"] or {}, transfer["worth"]
        cells = [ReportCell(format_number(stability.get(name), 2)) for name in ("rank_correlation", "off_diagonal")]
        cells.append(_correlation_cell(worth["rank_correlation"]) if worth else ReportCell("-"))
        cells.append(ReportCell(f"{worth['pairs']} of {worth['of']}" if worth else "-"))
        rows.append(ReportRow([ReportCell(model_name(kind)), *cells]))
    columns = ["Model", "Stability", "Off the diagonal", "Share and worth", "Pairs above noise"]
    return ReportTable("Evidence for the weights: rank correlations", columns, rows)


def _correlation_cell(found: dict[str, float | None]) -> ReportCell:
    known = found["low"] is not None
    interval = f"{format_signed(found['low'], 2)} to {format_signed(found['high'], 2)}" if known else ""
    return ReportCell(format_signed(found["value"], 2), interval)


def _calibration_table(scenarios: list[str], kinds: dict[str, dict[str, Any]]) -> ReportTable:
    rows = [
        ReportRow(
            [ReportCell(model_name(kind)), *(estimate_cell(transfer["calibration"][s]["ece"]) for s in scenarios)]
        )
        for kind, transfer in kinds.items()
    ]
    return ReportTable("ECE of P[j] on the test rows of scenario j", ["Model", *scenarios], rows, folded=True)


def plot_worth(figures: Figures, kind: str) -> Plot:
    """Heat map of the increase in log loss without each source, in thousandths, with its deviation over seeds."""
    transfer, targets = figures["models"][kind]["transfer"], figures["scenarios"]
    sources, worth = transfer["sources"], transfer["worth"]
    places = [sources.index(target) for target in targets]
    means = [worth["log_loss"][place] for place in places]
    spread = worth["over_seeds"] and [worth["over_seeds"][place] for place in places]
    texts = [
        [_thousandths(value, spread[i][j] if spread else None) for j, value in enumerate(line)]
        for i, line in enumerate(means)
    ]
    values = [[max(0.0, value or 0.0) for value in line] for line in means]
    figure, axes = new_axes(1.1 + 0.5 * len(targets), max(WIDTH_NARROW, 1.2 + 0.62 * len(sources)))
    draw_heatmap(axes, values, texts, targets, sources, (0.0, max(1e-9, *(v for line in values for v in line))))
    axes.set_xlabel("source scenario j, left out")
    axes.set_ylabel("target scenario i")
    draw_title(axes, f"Worth in thousandths of log loss, {model_name(kind)}")
    return finish_plot(figure, f"Increase in log loss (thousandths) of {model_name(kind)} without each source.")


def _thousandths(value: float | None, deviation: float | None) -> str:
    if value is None:
        return "-"
    return f"{1000 * value:+.2f}" + ("" if deviation is None else f"\n±{1000 * deviation:.2f}")
