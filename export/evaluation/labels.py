"""Names of models, metrics and subsets in reports, and formats of their numbers. Knows no figures."""

from export.models.kinds import KINDS, load_kind

METRICS = {
    "auc": ("AUC", "probability that a random positive ranks above a random negative; 0.5 is chance", "higher"),
    "gauc": ("GAUC", "AUC within each user, averaged with the users' rows as weights", "higher"),
    "ndcg_at_10": ("NDCG@10", "how near the positives are to the top of a request's list; 1 is perfect", "higher"),
    "recall_at_10": ("Recall@10", "share of a request's positives among its first ten", "higher"),
    "mrr": ("MRR", "reciprocal rank of the first positive, averaged over requests", "higher"),
    "coverage": ("Coverage", "share of all candidate items that are among some request's first ten", ""),
    "intra_list_diversity": ("Diversity", "mean of 1 - cosine of the texts of a request's first ten items", ""),
    "log_loss": ("Log loss", "mean negative logarithm of the probability of the observed label", "lower"),
    "ece": ("ECE", "mean difference between predicted and observed shares, over 15 bins of equal size", "lower"),
    "accuracy": ("Accuracy", "share of rows classified correctly at the threshold", "higher"),
    "precision": ("Precision", "share of rows classified as positive that are positive", "higher"),
    "recall": ("Recall", "share of positives that are classified as positive", "higher"),
    "f1": ("F1", "harmonic mean of precision and recall at the threshold", "higher"),
}
"""Name, meaning and which values are better ("": neither), in the order of tables."""

RANKING = ("auc", "gauc", "ndcg_at_10", "recall_at_10", "mrr", "coverage", "intra_list_diversity")
PROBABILITY = ("log_loss", "ece", "accuracy", "precision", "recall", "f1")

SUBSETS = {
    "all": "All rows",
    "cold_items": "Cold items",
    "cold_users": "Cold users",
    "warm": "Warm",
    "uniform_negatives": "Uniform negatives",
    "popularity_negatives": "Negatives by popularity",
}


def model_name(kind: str) -> str:
    """The title of a kind; of a kind that is not listed, its name."""
    return load_kind(kind).title if kind in KINDS else kind


def model_description(kind: str) -> str:
    """One line on a kind; a dash for a kind that is not listed."""
    return load_kind(kind).description if kind in KINDS else "-"


def subset_name(subset: str) -> str:
    """The title of a subset of rows; scenarios keep their id."""
    return SUBSETS.get(subset, f"Scenario {subset}")


def format_number(value: float | None, digits: int = 4) -> str:
    """A value, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def format_signed(value: float | None, digits: int = 4) -> str:
    """A value with its sign, or a dash where there is none."""
    return "-" if value is None else f"{value:+.{digits}f}"
