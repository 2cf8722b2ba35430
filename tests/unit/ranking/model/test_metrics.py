"""Metrics of the serving models, as Prometheus reads them."""

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from services.features.config import FeatureConfig
from services.features.schema import build_schema
from services.ranking.model.loader import ModelLoader
from services.ranking.model.metrics import ModelMetrics
from services.ranking.model.shadow import ShadowScorer
from services.ranking.model.watcher import WatchedModels
from services.registry.reader import Registry, Version
from services.registry.rollout import Arm, Rollout, ServingState, serialize_serving
from tests.unit.ranking.model.tiny_models import CPU, ENCODER, register, samples_of, truncate

SCHEMA = build_schema(FeatureConfig(text_dims=3))


def test_arms_problems_swaps_and_the_shadow_are_collected(tmp_path: Path) -> None:
    """With labels for models and arms; means of the shadow are NaN until it has scored."""
    for number in (1, 2, 3):
        register(tmp_path, SCHEMA, number, slope=number)
    registry = Registry(tmp_path)
    shadow = ShadowScorer(1.0, 1)
    models = WatchedModels(registry, "tiny", "", ModelLoader(registry, SCHEMA, ENCODER, CPU), shadow, 60.0)
    models.open()
    arms = (Arm("control", Version("tiny", 1), 0.75), Arm("b", Version("tiny", 2), 0.25))
    registry.write("tiny/serving.json", serialize_serving(ServingState(Rollout(arms, "test", Version("tiny", 3)))))
    models.poll()
    served = models.assign("ann")
    sample = samples_of(served.model, SCHEMA)[1]
    for _ in range(2):
        models.observe(served, lambda _: sample.tensors, sample.target, sample.expected)
    collected = CollectorRegistry()
    collected.register(ModelMetrics(models))
    weights = {("tiny/1", "control"): 0.75, ("tiny/2", "b"): 0.25, ("tiny/3", "shadow"): 0.0}
    for (model, arm), weight in weights.items():
        assert weight == collected.get_sample_value("crossrec_ranking_model_weight", {"model": model, "arm": arm})
    assert 0 == collected.get_sample_value("crossrec_ranking_model_problems")
    assert 1 == collected.get_sample_value("crossrec_ranking_model_swaps_total")
    pair = {"served": served.model.version, "candidate": "tiny/3"}
    dropped = {**pair, "outcome": "dropped"}
    assert 1 == collected.get_sample_value("crossrec_ranking_shadow_requests_total", dropped)
    shadow.start()
    compared = {**pair, "outcome": "compared"}
    while collected.get_sample_value("crossrec_ranking_shadow_requests_total", compared) != 1:
        generate_latest(collected)
    shadow.stop()
    assert 1.0 == collected.get_sample_value("crossrec_ranking_shadow_top10_overlap", pair)
    assert (collected.get_sample_value("crossrec_ranking_shadow_score_difference", pair) or 0) > 0
    register(tmp_path, SCHEMA, 4, spoil=truncate)
    (tmp_path / "tiny" / "serving.json").unlink()
    models.poll()
    assert 1 == collected.get_sample_value("crossrec_ranking_model_problems")
