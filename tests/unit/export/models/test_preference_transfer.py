"""The P/M models: the reference affine form, and what transfer weights depend on."""

from pathlib import Path

import pytest
import torch

from export.models.base import INPUTS, TENSORS, RequestTensors, RowTensors, rows_at_target
from export.models.kinds import config_of
from export.models.loss import cross_entropy, transfer_prior
from export.models.preference_transfer import BatchedRequests, PreferenceTransfer
from export.rows.reader import RowSource
from export.rows.selection import Selection
from export.training.train import fit
from tests.unit.export.models.quick_models import request
from tests.unit.export.rows.synthetic_rows import WIDTHS, write_rows


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"))


@pytest.fixture(scope="module")
def trained(directory: Path) -> PreferenceTransfer:
    config = config_of("neural", {"epochs": 3, "hidden": (16, 8), "hidden_g": (8,), "batch_rows": 60})
    model, _ = fit(directory, "neural", config)
    assert isinstance(model, PreferenceTransfer)
    return model


def test_trained_weights_vary_with_user_and_scenario(directory: Path, trained: PreferenceTransfer) -> None:
    """M lies in (0, 1), differs between users and between pairs of scenarios, and follows L_u and S."""
    batch = next(RowSource(directory, "validation").batches())
    scenario, language = torch.from_numpy(batch.scenario), torch.from_numpy(batch.language)
    with torch.no_grad():
        weights = trained.transfer(scenario, language)
        of_other_users = trained.transfer(scenario, language.roll(1, 0))
        of_other_scenarios = trained.transfer(scenario.roll(1, 1), language)
    assert ((weights > 0) & (weights < 1)).all()
    assert (weights.std(0) > 1e-4).all()
    assert weights[0].std() > 1e-3
    assert (weights - of_other_users).abs().max() > 1e-3
    assert (weights - of_other_scenarios).abs().max() > 1e-3


def test_permuting_scenarios_permutes_weights(trained: PreferenceTransfer) -> None:
    """G sees features, never a position: scenarios in another order get the same weights in that order."""
    scenario, language, order = torch.randn(3, 3), torch.randn(1, 3, 2), torch.tensor([2, 0, 1])
    with torch.no_grad():
        weights = trained.transfer(scenario, language)
        permuted = trained.transfer(scenario[order], language[:, order])
    torch.testing.assert_close(permuted, weights[:, order][:, :, order])


@pytest.mark.parametrize("hidden_g", [(), (4,)])
@torch.no_grad()
def test_weights_start_at_their_prior(hidden_g: tuple[int, ...], directory: Path) -> None:
    """Whatever the features: -1.5 for other scenarios, and for the own one the mean of those that have rows."""
    tensors = {name: [f"{name}_{k}" for k in range(width)] for name, width in WIDTHS.items()}
    model = PreferenceTransfer(tensors, (4,), hidden_g)
    model.prepare(RowSource(directory, "train"))
    own = model.prior.diagonal()[1:].mean() + 1.5
    expected = (torch.eye(3) * own - 1.5).expand(2, 3, 3)
    torch.testing.assert_close(model.transfer_logits(torch.randn(3, 3), torch.randn(2, 3, 2)), expected)


def test_the_preference_of_the_target_is_trained_as_its_probability(directory: Path) -> None:
    """Its cross-entropy on the rows of its scenario is lower than without its own term in the loss."""

    def own_loss(own_weight: float) -> float:
        choices = {"epochs": 3, "hidden": (8,), "hidden_g": (4,), "batch_rows": 60, "own_weight": own_weight}
        model, _ = fit(directory, "neural", config_of("neural", choices))
        batch = RowTensors.of(next(RowSource(directory, "validation").batches()), torch.device("cpu"))
        assert isinstance(model, PreferenceTransfer)
        with torch.no_grad():
            return float(cross_entropy(rows_at_target(model.preference_of_rows(batch), batch), batch.label))

    assert own_loss(1.0) < own_loss(0.0)


def test_the_preference_without_rows_is_trained_on_those_of_all_targets(directory: Path) -> None:
    """`home` has none: its P becomes a probability of engagement all the same, which no mix alone makes of it."""

    def loss_of_home(own_weight: float) -> float:
        choices = {"epochs": 3, "hidden": (8,), "hidden_g": (4,), "batch_rows": 60, "own_weight": own_weight}
        model, _ = fit(directory, "neural", config_of("neural", choices))
        batch = RowTensors.of(next(RowSource(directory, "validation").batches()), torch.device("cpu"))
        assert isinstance(model, PreferenceTransfer)
        assert [True, False, False] == model.unlabelled.tolist()
        with torch.no_grad():
            return float(cross_entropy(model.preference_of_rows(batch)[:, 0], batch.label))

    assert loss_of_home(1.0) < loss_of_home(0.0)


def test_a_strong_pull_keeps_weights_at_their_prior(tmp_path: Path) -> None:
    """That of each scenario's rows: `home` has none, so its own weight falls to that of others."""
    directory = write_rows(tmp_path / "rows", contexts=20, splits=("train",))
    choices = {"epochs": 60, "hidden": (8,), "hidden_g": (8,), "batch_rows": 60, "transfer_pull": 10.0}
    model, _ = fit(directory, "neural", config_of("neural", choices, {"learning_rate": 1e-2}))
    assert isinstance(model, PreferenceTransfer)
    source = RowSource(directory, "train")
    batch = RowTensors.of(next(source.batches()), torch.device("cpu"))
    with torch.no_grad():
        found, expected = model.transfer_logits(batch.scenario, batch.language).mean(0), model.prior
    torch.testing.assert_close(transfer_prior(source.rows_per_target), expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.2)


def test_dropped_sources_contribute_nothing(directory: Path, trained: PreferenceTransfer) -> None:
    """With one source scenario left, the probability is its preference alone."""
    selection = Selection(dropped_sources=frozenset({"home", "mail"}))
    batch = next(RowSource(directory, "validation", selection).batches())
    rows = RowTensors.of(batch, torch.device("cpu"))
    with torch.no_grad():
        probability = trained.training_probability(rows)
        everywhere = trained.preference_of_rows(rows)
    torch.testing.assert_close(everywhere[:, 2], probability)


SHAPES = [((), 1), ((4,), 1), ((8, 4), 3), ((8, 6, 4), 2)]


def made(hidden: tuple[int, ...], members: int) -> PreferenceTransfer:
    """An untrained model whose scales are not trivial."""
    torch.manual_seed(len(hidden))
    tensors = {name: [f"{name}_{k}" for k in range(width)] for name, width in WIDTHS.items()}
    model = PreferenceTransfer(tensors, hidden, (4,), members=members).eval()
    for standardise in model.standardise.values():
        standardise.mean.normal_()
        standardise.scale.uniform_(0.5, 2.0)
    for parameter in model.g_head.parameters():
        torch.nn.init.normal_(parameter)
    return model


def request_tensors(items: int, sources: int) -> tuple[RequestTensors, torch.Tensor]:
    *given, target = (torch.from_numpy(request(items, sources)[name]) for name in INPUTS)
    return RequestTensors(*given), target


@pytest.mark.parametrize(("hidden", "members"), SHAPES)
@pytest.mark.parametrize(("items", "sources"), [(1, 1), (1, 3), (7, 2)])
@torch.no_grad()
def test_the_served_form_gives_the_preference_that_was_trained(
    hidden: tuple[int, ...], members: int, items: int, sources: int
) -> None:
    """Whatever the depth and the number of members: it only computes in another order."""
    model, (given, _) = made(hidden, members), request_tensors(items, sources)
    context, item = model.first_layer_parts(model.f_first, given)
    expected = model.preference(context, item, given.cross).mean(-1)
    torch.testing.assert_close(model.request_preference(given), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("hidden", "members"), SHAPES)
@torch.no_grad()
def test_a_batch_gets_the_scores_of_its_single_requests(hidden: tuple[int, ...], members: int) -> None:
    """P, M, R and probability, of requests of any numbers of items."""
    model, asked = made(hidden, members), [request_tensors(items, 3) for items in (4, 1, 9)]
    requests = [given for given, _ in asked]
    whose = torch.repeat_interleave(torch.arange(3), torch.tensor([len(given.item) for given in requests]))
    joined = {name: torch.cat([getattr(given, name) for given in requests]) for name in TENSORS if name != "scenario"}
    scenario, target = torch.stack([given.scenario for given in requests]), torch.cat([target for _, target in asked])
    found = BatchedRequests(model)(scenario=scenario, **joined, target=target, request=whose)
    for number, (given, wanted) in enumerate(asked):
        of_request = [output[number] if output is found[1] else output[whose == number] for output in found]
        torch.testing.assert_close(of_request, list(model(*given, wanted)), rtol=1e-6, atol=1e-6)
