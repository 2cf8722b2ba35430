"""Models learn known transfer weights, and rank better than one network over all scenarios.

Labels of a scenario follow the mix here, never its P alone, so P has no loss of its own: own_weight is 0. And each P[j]
sees what the user did in j only: what all of them see can be credited to any of them.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from export.evaluation.metrics import auc
from export.evaluation.transfer_evidence import off_diagonal, rank_correlation
from export.models.base import Model
from export.models.kinds import config_of
from export.models.preference_transfer import PreferenceTransfer
from export.rows.reader import RowSource
from export.rows.selection import Selection
from export.training.train import fit, score_rows
from export.training.transfer import transfer_summary
from services.features.population import shares
from tests.synthetic.known_transfer import SCENARIO_IDS, KnownTransfer, engagement, tastes, true_transfer, write_rows

CHOICES = {"epochs": 16, "patience": 16, "batch_rows": 256, "own_weight": 0.0}
"""No early stop: weights are still on their way when the AUC is at its best."""

SIZE = len(SCENARIO_IDS)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(KnownTransfer(), tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def test_rows(rows: Path) -> RowSource:
    source = RowSource(rows, "test", slices(rows))
    assert SCENARIO_IDS == source.sources
    return source


def slices(rows: Path, *dropped_sources: str) -> Selection:
    """Without the features of a user that are the same in all scenarios."""
    tensors = RowSource(rows, "test").tensors
    starts = {"item": "user_", "behavior": "all_"}
    shared = {
        f"{tensor}/{name}" for tensor, start in starts.items() for name in tensors[tensor] if name.startswith(start)
    }
    return Selection(dropped_features=frozenset(shared), dropped_sources=frozenset(dropped_sources))


@pytest.fixture(scope="module")
def neural(rows: Path) -> PreferenceTransfer:
    torch.set_num_threads(1)
    model, _ = fit(rows, "neural", config_of("neural", CHOICES), slices(rows))
    assert isinstance(model, PreferenceTransfer)
    return model


@pytest.fixture(scope="module")
def learned(neural: PreferenceTransfer, test_rows: RowSource) -> np.ndarray:
    """M [target, source], its mean over the users at test time."""
    return np.array(transfer_summary(neural, test_rows)["mean"])


@pytest.fixture(scope="module")
def neural_auc(neural: PreferenceTransfer, test_rows: RowSource) -> float:
    return measured(neural, test_rows)


def measured(model: Model, source: RowSource) -> float:
    found = score_rows(model, source)
    return auc(found.label, found.probability)


def test_weights_have_the_known_order(learned: np.ndarray) -> None:
    """Every target's row by rank, and which of the other scenarios counts most."""
    for target, (truth, found) in enumerate(zip(true_transfer(), learned, strict=True)):
        others = np.arange(SIZE) != target
        assert np.argmax(found[others]) == np.argmax(truth[others])
        assert spearmanr(found, truth).statistic > 0.75


def test_weights_of_other_scenarios_have_the_known_order_over_all_targets(learned: np.ndarray) -> None:
    """As shares of their row: all sixteen, and the twelve off the diagonal, where the best of four equals is .946."""
    truth, found = shares(true_transfer()), shares(learned)
    others = off_diagonal(range(SIZE), SIZE)
    assert rank_correlation(found.ravel(), truth.ravel()) > 0.9
    assert rank_correlation(found[others], truth[others]) > 0.9
    assert np.abs(found - truth).max() < 0.25


def test_evidence_moves_weights_from_their_prior(learned: np.ndarray) -> None:
    """Each target's best source is another scenario, far below its own in the prior: three of four find it."""
    assert 3 <= np.sum(learned.argmax(axis=1) == true_transfer().argmax(axis=1))


def test_transfer_beats_one_network_over_all_scenarios(rows: Path, neural_auc: float, test_rows: RowSource) -> None:
    """By more than .02 AUC: engagement in other scenarios counts differently for each target."""
    pooled, _ = fit(rows, "pooled", config_of("pooled", CHOICES))
    assert neural_auc > measured(pooled, test_rows) + 0.02


def test_removing_a_strong_source_costs_more_than_removing_a_weak_one(
    neural: PreferenceTransfer, rows: Path, test_rows: RowSource
) -> None:
    """Without its strongest source a target ranks worse than without its weakest."""
    target = test_rows.columns("target")["target"]
    for number, truth in enumerate(true_transfer()):
        without = []
        for source in (int(np.argmax(truth)), int(np.argmin(truth))):
            selection = slices(rows, SCENARIO_IDS[source])
            found = score_rows(neural, RowSource(rows, "test", selection))
            without.append(auc(found.label[target == number], found.probability[target == number]))
        assert without[0] < without[1] - 0.02


def test_no_model_exceeds_the_true_probabilities(neural_auc: float, test_rows: RowSource) -> None:
    """No model ranks better than the probabilities that labels were drawn with; the learned model comes close."""
    config = KnownTransfer()
    columns = test_rows.columns("user_id", "item_id", "target", "label")
    user, item = (np.array([int(name[1:]) for name in columns[c]]) for c in ("user_id", "item_id"))
    preference = tastes(config, np.random.default_rng(config.seed))
    probability = engagement(preference, true_transfer())[user, columns["target"], item // config.items_per_kind]
    ceiling = auc(columns["label"].astype(np.int64), probability)
    assert ceiling - 0.05 < neural_auc < ceiling
