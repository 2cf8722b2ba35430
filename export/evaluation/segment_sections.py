"""The report's sections on segments of the test rows: cold start, and kinds of negatives.

Knows the structure of metrics.json.
"""

from collections.abc import Iterable

from export.evaluation.estimates import Figures, best_kind, estimate_cell, subset_estimates
from export.evaluation.labels import METRICS, model_name, subset_name
from export.evaluation.rows import SAMPLED, SEGMENTS
from services.report.page import ReportCell, ReportRow, ReportTable, Section


def cold_start_section(figures: Figures) -> Section:
    """Metrics of items and users without history."""
    segments: dict[str, str] = {name: figures["segments"][name] for name in SEGMENTS}
    meanings = "; ".join(f"{subset_name(name)}: {meaning}" for name, meaning in segments.items())
    intro = f"{meanings}. Models of counts alone cannot order cold items: values near 0.5 are expected of them."
    sizes = {name: figures["subsets"][name]["rows"] for name in segments}
    empty = [f"{subset_name(name)}: this data set has no such test rows." for name in segments if not sizes[name]]
    few = [
        f"{subset_name(name)}: only {size} test rows, so intervals are wide."
        for name, size in sizes.items()
        if name.startswith("cold") and 0 < size < FEW_ROWS
    ]
    return Section(
        "cold",
        "Cold start",
        [intro],
        notices=[*empty, *few],
        tables=[segment_table(figures, "Segments of the test rows", segments)],
    )


FEW_ROWS = 500
"""A cold segment with fewer test rows gets a notice."""


def segment_table(figures: Figures, caption: str, segments: Iterable[str]) -> ReportTable:
    """Models by segments, a column per segment and metric."""
    columns = [(name, metric) for name in segments for metric in ("auc", "ndcg_at_10")]
    best = {(name, metric): best_kind(figures, metric, name) for name, metric in columns}
    rows = []
    for kind, model in figures["models"].items():
        estimates = [subset_estimates(model, name).get(metric) for name, metric in columns]
        cells = [
            estimate_cell(estimate, best=best[column] == kind) if estimate else ReportCell("-")
            for estimate, column in zip(estimates, columns, strict=True)
        ]
        rows.append(ReportRow([ReportCell(model_name(kind)), *cells]))
    titles = [
        f"{subset_name(name)} ({figures['subsets'][name]['rows']:,} rows): {METRICS[metric][0]}"
        for name, metric in columns
    ]
    return ReportTable(caption, ["Model", *titles], rows)


def negatives_section(figures: Figures) -> Section:
    """Metrics by how negatives were drawn, side by side where both kinds exist."""
    counts = {kind: rows for kind, rows in figures["negatives"].items() if rows}
    listing = ", ".join(f"{NEGATIVES[kind]} {rows:,}" for kind, rows in counts.items())
    intro = (
        f"Negative test rows: {listing or 'none'}. Drawn uniformly, most negatives are items that few users know, and "
        "popularity alone does well; drawn by popularity, a model must know the user. Figures of the two kinds are not "
        "comparable with each other, nor with those of shown items."
    )
    drawn = [name for name in SAMPLED if name in figures["segments"]]
    only = [kind for kind in counts if kind != "given"]
    notices = [] if drawn or not only else [SAMPLE_BOTH]
    tables = [segment_table(figures, "Test rows by kind of negatives", drawn)] if drawn else []
    return Section("negatives", "Negatives", [intro], notices=notices, tables=tables)


NEGATIVES = {"uniform": "drawn uniformly", "popularity": "drawn by popularity", "given": "given by the data"}
SAMPLE_BOTH = 'For both kinds side by side, set dataset.negative_sampling = "mixed", and import and replay again.'
