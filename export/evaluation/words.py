"""What models and metrics are called in reports, and what they mean, in plain words. Knows no numbers."""

MODELS = {
    "popularity": ("Popularity", "how much all users engaged with the item; the same order for everybody"),
    "past_count": ("Past count", "how often this user engaged with this item before"),
    "logistic": ("Logistic regression", "a weighted sum of all features"),
    "shared_bottom": ("Shared bottom", "one network for all scenarios with an output of its own for each"),
    "star": ("STAR", "a shared network multiplied by one of its own for each scenario"),
    "pooled": (
        "Pooled network",
        "one network over all scenarios, the same features, no transfer weights",
    ),
    "lightgbm": ("LightGBM", "boosted decision trees on the same features"),
    "affine": ("P/M affine", "preferences per source scenario, summed with transfer weights; both affine"),
    "neural": ("P/M neural", "preferences per source scenario, summed with transfer weights; both networks"),
}
"""Name and description by kind; kinds that are not here are called by their kind."""

METRICS = {
    "auc": ("AUC", "chance that a random positive is ranked above a random negative; 0.5 is a coin toss", "higher"),
    "gauc": ("GAUC", "AUC within each user, averaged with the users' rows as weights", "higher"),
    "ndcg_at_10": ("NDCG@10", "how near to the top of a request's list the positives stand; 1 is perfect", "higher"),
    "recall_at_10": ("Recall@10", "share of a request's positives among its first ten", "higher"),
    "mrr": ("MRR", "one divided by the rank of the first positive, averaged over requests", "higher"),
    "coverage": ("Coverage", "share of all candidate items that are in some request's first ten", ""),
    "intra_list_diversity": (
        "Diversity",
        "how unlike the texts of a request's first ten items are: mean of 1 - cosine",
        "",
    ),
    "log_loss": ("Log loss", "mean negative logarithm of the probability given to what happened", "lower"),
    "ece": ("ECE", "mean distance between predicted and observed shares, over 15 bins of equal size", "lower"),
    "accuracy": ("Accuracy", "share of rows called rightly at the threshold", "higher"),
    "precision": ("Precision", "share of rows called positive that are", "higher"),
    "recall": ("Recall", "share of positives that were called positive", "higher"),
    "f1": ("F1", "harmonic mean of precision and recall at the threshold", "higher"),
}
"""Name, meaning and what is better, in the order of tables."""

RANKING = ("auc", "gauc", "ndcg_at_10", "recall_at_10", "mrr", "coverage", "intra_list_diversity")
PROBABILITY = ("log_loss", "ece", "accuracy", "precision", "recall", "f1")

SUBSETS = {"all": "All rows", "cold_items": "Cold items", "cold_users": "Cold users", "warm": "Warm"}


def model_name(kind: str) -> str:
    """A kind as people read it."""
    return MODELS.get(kind, (kind, ""))[0]


def subset_name(subset: str) -> str:
    """A subset of rows as people read it; scenarios keep their id."""
    return SUBSETS.get(subset, f"Scenario {subset}")


def number(value: float | None, digits: int = 4) -> str:
    """A value, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """A value with its sign, or a dash where there is none."""
    return "-" if value is None else f"{value:+.{digits}f}"


def listed(words: list[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
