"""The models of a registry, kept up to date while they serve.

A thread looks at the registry again and again: what changed is loaded and checked there, and takes over by one
assignment. Requests in flight end on what they began with; what fails never serves, and the last good set stays.
Knows plans and versions; how a version is loaded is the loader's matter.
"""

import logging
import threading
from collections.abc import Callable, Mapping

import numpy as np

from services.errors import CrossRecError
from services.features.encode import Tensors
from services.ranking.model.ab_split import Served, ServedSet, WeightedArm
from services.ranking.model.shadow import Shadow
from services.registry.model import Model, Scores
from services.registry.reader import ModelUnavailable, Registry, RegistryUnavailable, Version, wanted_version
from services.registry.rollout import SERVING, Plan, described, read_serving
from services.server.logging import log_event

_logger = logging.getLogger(__name__)
_Files = tuple[Version, str]
"""A version and the stamp of its files."""


class WatchedModels:
    """What ranks, by the registry.

    Args:
        registry: where versions and the serving file are.
        name: of the model.
        pinned: the version to serve whatever is promoted; "" to follow the serving file, or else the newest version.
        load: makes a version ready to serve, or raises CrossRecError.
        shadow: compares candidates.
        interval_s: seconds between looks.
    """

    def __init__(
        self,
        registry: Registry,
        name: str,
        pinned: str,
        load: Callable[[Version], Model],
        shadow: Shadow,
        interval_s: float,
    ) -> None:
        self._registry, self._name, self._pinned, self._load = registry, name, pinned, load
        self._shadow, self._interval_s = shadow, interval_s
        self._serving: ServedSet | None = None
        self.swaps = 0  # times that what serves changed, the first load not counted
        self._loaded: dict[_Files, Model] = {}
        self._refused: dict[_Files, CrossRecError] = {}
        self._errors: dict[str, CrossRecError] = {}
        self._stop, self._looking = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)

    def open(self) -> None:
        """Load what serves first; raises what is wrong with it."""
        self.look()
        if self._serving is None:
            raise next(iter(self._errors.values()))

    def start(self) -> None:
        """Begin to watch."""
        self._shadow.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; what serves goes on serving."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._shadow.stop()

    @property
    def serving(self) -> ServedSet:
        """What serves; ModelUnavailable before `open`."""
        if self._serving is None:
            raise ModelUnavailable(f"ranking.model: nothing of {self._name} is loaded")
        return self._serving

    @property
    def problems(self) -> tuple[str, ...]:
        """Why something that should serve does not; empty if all is as planned."""
        return tuple(str(error) for error in self._errors.values())

    @property
    def shadow(self) -> Shadow:
        """What compares candidates."""
        return self._shadow

    def choose(self, user_id: str) -> Served:
        """What ranks for a user."""
        return self.serving.choose(user_id)

    def observe(self, served: Served, tensors: Tensors, target: np.ndarray, scores: Scores) -> None:
        """Offer a request to the shadow, if there is one."""
        if (candidate := self.serving.shadow) is not None:
            self._shadow.offer(served.model.version, candidate, tensors, target, scores)

    def look(self) -> None:
        """Look once: load what should serve and does not yet. Problems are kept in `problems`, not raised."""
        with self._looking:
            errors: dict[str, CrossRecError] = {}
            try:
                self._registry.forget_listings()
                self._take(self._wanted(), errors)
            except CrossRecError as error:
                errors[self._name] = _bare(error)
            except Exception as error:
                # Whatever a client of object storage raises must not end the watching.
                errors[self._name] = RegistryUnavailable(f"registry {self._registry.location}: {error!r}")
            known, self._errors = {str(known) for known in self._errors.values()}, errors
            for what, problem in errors.items():
                if str(problem) not in known:
                    log_event(_logger, "model_refused", level=logging.WARNING, what=what, problem=str(problem))

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.look()

    def _wanted(self) -> Plan:
        if self._pinned:
            return Plan.of(wanted_version(self._registry, self._name, self._pinned))
        path = f"{self._name}/{SERVING}"
        if (content := self._registry.read(path)) is not None:
            return read_serving(content, f"{self._registry.location}/{path}").plan
        return Plan.of(wanted_version(self._registry, self._name))

    def _take(self, plan: Plan, errors: dict[str, CrossRecError]) -> None:
        """Load the plan's versions and serve it, if all of its arms can; a shadow that cannot is left out."""
        files = {version: (version, self._registry.stamp(version)) for version in plan.models}
        models = {version: model for version in plan.models if (model := self._ready(files[version], errors))}
        if all(arm.model in models for arm in plan.arms):
            self._swap(plan, models)
        wanted, in_use = set(files.values()), {id(model) for model in self._in_use()}
        self._loaded = {key: m for key, m in self._loaded.items() if key in wanted or id(m) in in_use}
        self._refused = {key: error for key, error in self._refused.items() if key in wanted}

    def _ready(self, files: _Files, errors: dict[str, CrossRecError]) -> Model | None:
        """The version's model, loaded once; a failure is remembered until the files change, unless it may pass."""
        if files not in self._loaded and files not in self._refused:
            try:
                self._loaded[files] = self._load(files[0])
            except RegistryUnavailable as error:
                errors[str(files[0])] = _bare(error)
            except CrossRecError as error:
                self._refused[files] = _bare(error)
        if files in self._refused:
            errors[str(files[0])] = self._refused[files]
        return self._loaded.get(files)

    def _swap(self, plan: Plan, models: Mapping[Version, Model]) -> None:
        arms = tuple(WeightedArm(Served(models[arm.model], arm.arm), arm.weight) for arm in plan.arms)
        made = ServedSet(arms, plan.experiment, models.get(plan.shadow) if plan.shadow else None)
        if made == self._serving:
            return
        self.swaps += self._serving is not None
        self._serving = made
        log_event(_logger, "models_served", serving=described(plan), shadow=made.shadow is not None)

    def _in_use(self) -> list[Model]:
        if self._serving is None:
            return []
        shadow = [self._serving.shadow] if self._serving.shadow else []
        return [*(arm.served.model for arm in self._serving.arms), *shadow]


def _bare(error: CrossRecError) -> CrossRecError:
    """The error without its traceback, whose frames would keep a refused model in memory."""
    return type(error)(str(error))
