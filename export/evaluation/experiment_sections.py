"""The report's sections on experiments: ablation, scarcity, sources, augmentation, recognition.

Knows the structure of the experiments' files and what each section says; an experiment that was not run is one line.
"""

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from export.evaluation.experiment_plots import change_bars, confusion_plot, removal_plot, scarcity_plot
from export.evaluation.sections import Cell, Row, Section, TableOf, plain
from export.evaluation.words import listed, number, signed

Experiment = dict[str, Any]

COMMANDS = {
    "ablation": "crossrec experiment ablation",
    "scarcity": "crossrec experiment scarcity",
    "sources": "crossrec experiment sources",
    "augmentation": "crossrec experiment augmentation",
    "recogniser": "crossrec train-recogniser",
}
NOISE = 0.0005
"""AUC changes below this are called none: about what the seed alone moves."""


def experiment_sections(experiments: dict[str, Experiment], data: str) -> list[Section]:
    """A section per experiment, in the order of the page; `experiments` holds those that were run."""
    build = {
        "ablation": ablation,
        "scarcity": scarcity,
        "sources": sources,
        "augmentation": augmentation,
        "recogniser": recogniser,
    }
    found = {name: experiments.get(name, {}) for name in COMMANDS}
    return [
        build[name](experiment) if experiment.get("rows") or experiment.get("confusion") else missing(name, data)
        for name, experiment in found.items()
    ]


TITLES = {
    "ablation": "What each group of features brings",
    "scarcity": "When a scenario is new: learning from little",
    "sources": "What each source scenario brings",
    "augmentation": "Ways to stretch little data",
    "recogniser": "Recognising the scenario",
}


def missing(name: str, data: str) -> Section:
    """The section of an experiment that was not run."""
    text = f"Not measured for this data set yet. Run `{COMMANDS[name]} --data {data}`, then `crossrec evaluate` again."
    return Section(name, TITLES[name], [], notices=[text.replace("`", "")])


def ablation(experiment: Experiment) -> Section:
    """Loss without each group of features."""
    rows = experiment["rows"]
    full = experiment.get("full") or next((row for row in rows if row.get("arm") == "full"), None)
    dropped = [dict(row) for row in rows if row.get("arm", "without") == "without"]
    for row in dropped:
        row.setdefault("auc_change", row["auc"] - full["auc"] if full else 0.0)
    intro = (
        "The model was trained again without one group of features at a time, and tested on the same rows. A long bar "
        "to the left: the group holds what no other has. A short one: the others make up for it, which does not mean "
        "that it is useless. Black lines: deviation between training runs."
    )
    ordered = sorted(dropped, key=lambda row: row["auc_change"])
    worth = [row["group"] for row in ordered if row["auc_change"] < -NOISE]
    found = (
        f"Most is lost without {ordered[0]['group']}: {signed(ordered[0]['auc_change'])} AUC. "
        f"{len(worth)} of {len(ordered)} groups cost more than {NOISE} when left out."
        if ordered
        else "No group was left out yet."
    )
    reached = f" With all features the AUC is {number(full['auc'])}." if full else ""
    table = TableOf(
        "Without each group",
        ["Left out", "AUC", "NDCG@10", "Change in AUC"],
        [
            plain(str(r["group"]), number(r["auc"]), number(r.get("ndcg_at_10")), signed(r["auc_change"]))
            for r in ordered
        ],
        folded=True,
    )
    pictures = [change_bars(dropped, "group", "auc_change", "AUC without a group")] if dropped else []
    return Section("ablation", TITLES["ablation"], [intro], [found + reached], pictures=pictures, tables=[table])


def scarcity(experiment: Experiment) -> Section:
    """Curves over the share of a scenario's training rows."""
    rows = experiment["rows"]
    targets = list(dict.fromkeys(row["target"] for row in rows))
    intro = (
        "How well a scenario is ranked when only part of its training rows is there, as if it were new. Blue: trained "
        "together with all other scenarios. Orange: on its own rows only. Green: together, by one network that is not "
        "told which scenario a row is from. Where blue lies above orange, other scenarios help; where it lies above "
        "green, knowing the scenario helps. Bands: deviation between training runs."
    )
    table = TableOf(
        "Every point",
        ["Target", "Share of its rows", "Arm", "AUC", "Runs"],
        [plain(r["target"], f"{r['fraction']:.0%}", r["arm"], number(r["auc"]), str(len(r["seeds"]))) for r in rows],
        folded=True,
    )
    pictures = [scarcity_plot(rows, target) for target in targets]
    return Section("scarcity", TITLES["scarcity"], [intro], scarcity_found(rows), pictures=pictures, tables=[table])


def scarcity_found(rows: list[dict[str, Any]]) -> list[str]:
    """What other scenarios and scenario weights bring, at the smallest fraction and at none."""
    value = {(row["target"], row["fraction"], row["arm"]): row["auc"] for row in rows}
    fractions = sorted({row["fraction"] for row in rows if row["fraction"] > 0})
    targets = list(dict.fromkeys(row["target"] for row in rows))
    texts = []
    for fraction in fractions[:1]:
        both = [t for t in targets if all((t, fraction, arm) in value for arm in ("joint", "alone"))]
        gains = [value[t, fraction, "joint"] - value[t, fraction, "alone"] for t in both]
        if gains:
            texts.append(
                f"With {fraction:.0%} of its rows a scenario gains {signed(mean(gains))} AUC from the others, on "
                f"average over {len(gains)} target scenarios (from {signed(min(gains))} to {signed(max(gains))})."
            )
    for fraction in [f for f in (0.0, *fractions[:1]) if any((t, f, "pooled") in value for t in targets)]:
        pairs = [(value.get((t, fraction, "joint")), value.get((t, fraction, "pooled"))) for t in targets]
        gains = [joint - pooled for joint, pooled in pairs if joint is not None and pooled is not None]
        if gains:
            change = mean(gains)
            told = "about nothing" if abs(change) <= _chance(gains) else ("a gain" if change > 0 else "a loss")
            texts.append(
                f"Knowing the scenario, against pooling, brings {told} with {fraction:.0%} of its rows: "
                f"{signed(change)} AUC on average."
            )
    return texts


def _chance(gains: Sequence[float]) -> float:
    """What a mean over targets must exceed: two standard errors, and never less than a seed's noise."""
    return max(NOISE, 2 * stdev(gains) / len(gains) ** 0.5) if len(gains) > 1 else NOISE


def sources(experiment: Experiment) -> Section:
    """Loss without each source scenario."""
    rows = experiment["rows"]
    intro = (
        "What is lost when a source scenario's weight is set to zero in the trained model, for each target scenario. "
        "Dark cells: the target lives on that source. Negative numbers are losses of AUC in thousandths."
    )
    overall = [row for row in rows if row["target"] == "all"] or rows
    worst = min(overall, key=lambda row: row["auc_change"])
    text = f"The source that is missed most is {worst['removed']}: {signed(worst['auc_change'])} AUC."
    retrained = [row for row in overall if "retrained_auc_change" in row]
    if retrained:
        most = min(retrained, key=lambda row: row["retrained_auc_change"])
        text += (
            f" Trained again without a source, the others make up for it: the largest loss is then "
            f"{signed(most['retrained_auc_change'])} ({most['removed']})."
        )
    pictures = [removal_plot(rows)]
    single = [row for row in rows if row["target"] == "all"]
    if single:
        pictures.append(change_bars(single, "removed", "auc_change", "AUC over all targets without a source"))
    return Section("sources", TITLES["sources"], [intro], [text], pictures=pictures)


def augmentation(experiment: Experiment) -> Section:
    """Changes by ways to stretch little data."""
    rows = experiment["rows"]
    intro = (
        "Additions to training that might help a scenario with few rows, each tried alone. An addition is kept if the "
        "validation rows gain more than chance; the change shown is that of the test rows, which had no say. "
        "Black lines: deviation between training runs."
    )
    kept = list(dict.fromkeys(str(row["name"]) for row in rows if row.get("kept")))
    none = "None of them gained more than chance, so none is used."
    found = f"Kept: {listed(kept)}." if kept else none
    shown = [{**row, "label": f"{row['name']}, {row['target']}" if "target" in row else row["name"]} for row in rows]
    table = TableOf(
        "Every addition",
        ["Addition", "Target", "Change in AUC", "Kept"],
        [
            plain(str(r["name"]), str(r.get("target", "all")), signed(r["auc_change"]), "yes" if r["kept"] else "no")
            for r in rows
        ],
    )
    pictures = [change_bars(shown, "label", "auc_change", "AUC with an addition", gains=True)]
    return Section("augmentation", TITLES["augmentation"], [intro], [found], pictures=pictures, tables=[table])


def recogniser(experiment: Experiment) -> Section:
    """The forest that recognises the scenario, against simple guesses."""
    intro = (
        "When a request does not say its scenario, a random forest guesses it from what the user did. Each row of the "
        "picture is a true scenario, each column what was recognised: a dark diagonal would be perfect. Its "
        "probabilities, not its best guess, weigh the transfer, so log loss and ECE matter more than accuracy."
    )
    best = max(experiment["baselines"], key=lambda name: experiment["baselines"][name]["accuracy"])
    gain = experiment["accuracy"] - experiment["baselines"][best]["accuracy"]
    told = "little" if abs(gain) < 0.02 else f"{gain:+.1%}"
    found = (
        f"The forest is right in {experiment['accuracy']:.1%} of the test samples; the best simple guess "
        f"({best.replace('_', ' ')}) in {experiment['baselines'][best]['accuracy']:.1%}: it gains {told}."
    )
    notes = [experiment["note"].replace("`", "")] if "note" in experiment else []
    lines = {**experiment["baselines"], "forest": experiment}
    measures = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "log_loss": "Log loss", "ece": "ECE"}
    rows = [
        Row([Cell(name.replace("_", " ")), *(Cell(number(line.get(measure))) for measure in measures)])
        for name, line in lines.items()
    ]
    table = TableOf("Forest and simple guesses, test split", ["", *measures.values()], rows)
    pictures = [confusion_plot(experiment["scenarios"], experiment["confusion"])]
    return Section("recogniser", TITLES["recogniser"], [intro, *notes], [found], pictures=pictures, tables=[table])
