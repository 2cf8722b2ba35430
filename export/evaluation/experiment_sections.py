"""The report's sections on experiments: ablation, scarcity, sources, and the scenario recogniser.

Knows the structure of the experiments' files; for an experiment that was not run, a section names its command.
"""

from typing import Any

from export.evaluation.experiment_plots import known_rows, plot_changes, plot_confusion, plot_removal, plot_scarcity
from export.evaluation.labels import format_number, format_signed
from services.report.page import ReportRow, ReportTable, Section, text_row

Experiment = dict[str, Any]

COMMANDS = {
    "ablation": "crossrec experiment ablation",
    "scarcity": "crossrec experiment scarcity",
    "sources": "crossrec experiment sources",
    "recogniser": "crossrec train-recogniser",
}
TITLES = {
    "ablation": "Ablation of feature groups",
    "scarcity": "Scarcity: scenarios with few training rows",
    "sources": "Source scenarios",
    "recogniser": "Scenario recogniser",
}


def experiment_sections(experiments: dict[str, Experiment], data: str) -> list[Section]:
    """A section per experiment, in the order of COMMANDS; `experiments` holds those that were run."""
    builders = {
        "ablation": ablation_section,
        "scarcity": scarcity_section,
        "sources": sources_section,
        "recogniser": recogniser_section,
    }
    return [
        builders[name](held) if held.get("rows") or held.get("confusion") else not_run_section(name, data)
        for name, held in ((name, experiments.get(name, {})) for name in COMMANDS)
    ]


def not_run_section(name: str, data: str) -> Section:
    """The section of an experiment that was not run."""
    text = f"Not measured for this data set yet. Run {COMMANDS[name]} --data {data}, then crossrec evaluate again."
    return Section(name, TITLES[name], notices=[text])


def ablation_section(experiment: Experiment) -> Section:
    """Change in AUC without each group of features."""
    rows = experiment["rows"]
    full = experiment.get("full") or next((row for row in rows if row.get("arm") == "full"), None)
    without = [dict(row) for row in rows if row.get("arm", "without") == "without"]
    for row in without:
        if "auc_change" not in row:
            row["auc_change"] = row["auc"] - full["auc"] if full else 0.0
    known = known_rows(without, "auc_change")
    intro = (
        "The model is trained again without one group of features at a time, and tested on the same rows. A long bar "
        "to the left: no other group holds this information. A short bar: other groups replace it, which does not mean "
        "that the group is useless. Black lines: deviation between seeds."
    )
    lines = [("none", full["auc"], full.get("ndcg_at_10"), None)] if full else []
    ordered = sorted(known, key=lambda row: row["auc_change"])
    ordered += [row for row in without if row["auc_change"] is None]
    lines += [(str(r["group"]), r["auc"], r.get("ndcg_at_10"), r["auc_change"]) for r in ordered]
    table = ReportTable(
        "Without each group",
        ["Left out", "AUC", "NDCG@10", "Change in AUC"],
        [text_row(name, format_number(auc), format_number(ndcg), format_signed(c)) for name, auc, ndcg, c in lines],
    )
    plots = [plot_changes(known, "group", "auc_change", "AUC without a group")] if known else []
    return Section("ablation", TITLES["ablation"], [intro], plots=plots, tables=[table])


def scarcity_section(experiment: Experiment) -> Section:
    """AUC over the share of a scenario's training rows."""
    rows = experiment["rows"]
    intro = (
        "Test AUC on a target scenario when only a share of its training rows is used, as if the scenario were new. "
        "joint: trained with all other scenarios. alone: on the target's own rows only. pooled: joint, by one network "
        "that does not see which scenario a row is from. joint above alone: other scenarios help. joint above pooled: "
        "knowing the scenario helps. Bands: deviation between seeds. Own share: of the target's own preference in its "
        "transfer weights, ± deviation between seeds; with fewer rows it should fall, and the other sources' rise."
    )
    columns = ["Target", "Share of its rows", "Arm", "AUC", "Own share", "Runs"]
    table = ReportTable("All points", columns, [_scarcity_row(row) for row in rows], folded=True)
    plots = [plot_scarcity(rows, target) for target in dict.fromkeys(row["target"] for row in rows)]
    return Section("scarcity", TITLES["scarcity"], [intro], plots=plots, tables=[table])


def _scarcity_row(row: dict[str, Any]) -> ReportRow:
    share = row.get("own_share")
    own = "-" if share is None else f"{share:.3f} ± {row['own_share_sd']:.3f}"
    cells = (row["target"], f"{row['fraction']:.0%}", row["arm"], format_number(row["auc"]), own)
    return text_row(*cells, str(len(row["seeds"])))


def sources_section(experiment: Experiment) -> Section:
    """Change in AUC without each source scenario."""
    rows = experiment["rows"]
    intro = (
        "Change in AUC, in thousandths, when a source scenario's transfer weight is set to 0 in the trained model, for "
        "each target scenario. Dark cells: the target depends on that source."
    )
    overall = [row for row in rows if row["target"] == "all"]
    plots = [plot_removal(rows)]
    if removed := known_rows(overall, "auc_change"):
        plots.append(plot_changes(removed, "removed", "auc_change", "AUC over all targets without a source"))
    retrained = known_rows([row for row in overall if "retrained_auc_change" in row], "retrained_auc_change")
    if retrained:
        title = "AUC over all targets, trained without a source"
        plots.append(plot_changes(retrained, "removed", "retrained_auc_change", title))
    return Section("sources", TITLES["sources"], [intro], plots=plots)


def recogniser_section(experiment: Experiment) -> Section:
    """The random forest that recognises the scenario, against baselines."""
    intro = (
        "When a request names no scenario, a random forest recognises it from the user's behaviour. Its probabilities, "
        "not its most probable scenario, mix the transfer weights, so log loss and ECE matter more than accuracy. A "
        "sample is a user at a time of engagement; where they engaged in several scenarios at that time, one is drawn "
        "as the target. bound: the best accuracy and log loss that are possible on such samples."
    )
    lines = {**experiment["baselines"], "forest": experiment}
    lines |= {"bound": experiment["bound"]} if "bound" in experiment else {}
    metrics = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "log_loss": "Log loss", "ece": "ECE"}
    rows = [
        text_row(name.replace("_", " "), *(format_number(line.get(metric)) for metric in metrics))
        for name, line in lines.items()
    ]
    table = ReportTable("Forest and baselines, test split", ["", *metrics.values()], rows)
    plots = [plot_confusion(experiment["scenarios"], experiment["confusion"])]
    return Section("recogniser", TITLES["recogniser"], [intro], plots=plots, tables=[table])
