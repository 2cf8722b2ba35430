"""Watches the registry and swaps the models that serve.

A thread polls the registry: changed versions are loaded and checked on it, and take over by one assignment. Requests
in flight end on the model they began with; a version that fails never serves, and the last good deployment stays.
Knows rollouts and versions; `loader.py` knows how a version is loaded.
"""

import logging
import threading
from collections.abc import Callable, Mapping

import numpy as np

from services.errors import CrossRecError
from services.ranking.model.ab_split import Assignment, Deployment, TensorsFor, WeightedArm
from services.ranking.model.shadow import ShadowScorer
from services.registry.model import Scores, ScoringModel
from services.registry.reader import ModelUnavailable, Registry, RegistryUnavailable, Version, find_version
from services.registry.rollout import SERVING, Rollout, describe_rollout, parse_serving
from services.server.logging import log_event

_logger = logging.getLogger(__name__)
_Files = tuple[Version, str]
"""A version and the stamp of its files."""


class WatchedModels:
    """The models that serve, as the registry's rollout defines them.

    Args:
        registry: holds the versions and the serving file.
        name: of the model.
        pinned: the version to serve regardless of promotions; "" to follow the serving file, or else the newest.
        load: loads a version to serve, or raises CrossRecError.
        shadow: compares candidates.
        interval_s: seconds between polls.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        pinned: str,
        load: Callable[[Version], ScoringModel],
        shadow: ShadowScorer,
        interval_s: float,
    ) -> None:
        self._registry, self._name, self._pinned, self._load = registry, name, pinned, load
        self._shadow, self._interval_s = shadow, interval_s
        self._deployment: Deployment | None = None
        self.swaps = 0  # changes of the deployment, the first load not counted
        self._loaded: dict[_Files, ScoringModel] = {}
        self._rejected: dict[_Files, CrossRecError] = {}
        self._errors: dict[str, CrossRecError] = {}
        self._stop, self._polling = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)

    def open(self) -> None:
        """Load the first deployment; raises the error if it cannot be loaded."""
        self.poll()
        if self._deployment is None:
            raise next(iter(self._errors.values()))

    def start(self) -> None:
        """Start to watch."""
        self._shadow.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; the deployment continues to serve."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._shadow.stop()

    @property
    def deployment(self) -> Deployment:
        """The models that serve; ModelUnavailable before `open`."""
        if self._deployment is None:
            raise ModelUnavailable(f"ranking.model: no version of {self._name} is loaded")
        return self._deployment

    @property
    def problems(self) -> tuple[str, ...]:
        """Why a model that should serve does not; empty if the rollout is deployed completely."""
        return tuple(str(error) for error in self._errors.values())

    @property
    def shadow(self) -> ShadowScorer:
        """Compares shadow candidates."""
        return self._shadow

    def assign(self, user_id: str) -> Assignment:
        """The model of a user."""
        return self.deployment.assign(user_id)

    def observe(self, assignment: Assignment, tensors_for: TensorsFor, target: np.ndarray, scores: Scores) -> None:
        """Offer a scored request to the shadow, if there is one."""
        if (candidate := self.deployment.shadow) is not None:
            self._shadow.offer(assignment.model.version, candidate, tensors_for, target, scores)

    def poll(self) -> None:
        """Poll the registry once: load versions that should serve. Errors are kept in `problems`, not raised."""
        with self._polling:
            errors: dict[str, CrossRecError] = {}
            try:
                self._registry.invalidate_listings()
                self._apply(self._read_rollout(), errors)
            except CrossRecError as error:
                errors[self._name] = _without_traceback(error)
            except Exception as error:
                # No error of an object storage client may end the watching.
                errors[self._name] = RegistryUnavailable(f"registry {self._registry.location}: {error!r}")
            known, self._errors = {str(known) for known in self._errors.values()}, errors
            for what, problem in errors.items():
                if str(problem) not in known:
                    log_event(_logger, "model_rejected", level=logging.WARNING, what=what, problem=str(problem))

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.poll()

    def _read_rollout(self) -> Rollout:
        if self._pinned:
            return Rollout.of(find_version(self._registry, self._name, self._pinned))
        path = f"{self._name}/{SERVING}"
        if (content := self._registry.read(path)) is not None:
            return parse_serving(content, f"{self._registry.location}/{path}").rollout
        return Rollout.of(find_version(self._registry, self._name))

    def _apply(self, rollout: Rollout, errors: dict[str, CrossRecError]) -> None:
        """Load the rollout's versions and deploy it if all its arms load; a shadow that fails to load is left out."""
        files = {version: (version, self._registry.stamp(version)) for version in rollout.models}
        models = {version: model for version in rollout.models if (model := self._load_once(files[version], errors))}
        if all(arm.model in models for arm in rollout.arms):
            self._swap(rollout, models)
        wanted, in_use = set(files.values()), {id(model) for model in self._in_use()}
        self._loaded = {key: m for key, m in self._loaded.items() if key in wanted or id(m) in in_use}
        self._rejected = {key: error for key, error in self._rejected.items() if key in wanted}

    def _load_once(self, files: _Files, errors: dict[str, CrossRecError]) -> ScoringModel | None:
        """The version's model, loaded once; an error is kept until the files change, unless it is transient."""
        if files not in self._loaded and files not in self._rejected:
            try:
                self._loaded[files] = self._load(files[0])
            except RegistryUnavailable as error:
                errors[str(files[0])] = _without_traceback(error)
            except CrossRecError as error:
                self._rejected[files] = _without_traceback(error)
        if files in self._rejected:
            errors[str(files[0])] = self._rejected[files]
        return self._loaded.get(files)

    def _swap(self, rollout: Rollout, models: Mapping[Version, ScoringModel]) -> None:
        arms = tuple(WeightedArm(Assignment(models[arm.model], arm.arm), arm.weight) for arm in rollout.arms)
        deployment = Deployment(arms, rollout.experiment, models.get(rollout.shadow) if rollout.shadow else None)
        if deployment == self._deployment:
            return
        self.swaps += self._deployment is not None
        self._deployment = deployment
        log_event(_logger, "models_deployed", rollout=describe_rollout(rollout), shadow=deployment.shadow is not None)

    def _in_use(self) -> list[ScoringModel]:
        if self._deployment is None:
            return []
        shadow = [self._deployment.shadow] if self._deployment.shadow else []
        return [*(arm.assignment.model for arm in self._deployment.arms), *shadow]


def _without_traceback(error: CrossRecError) -> CrossRecError:
    """The error without its traceback, whose frames would keep a rejected model in memory."""
    return type(error)(str(error))
