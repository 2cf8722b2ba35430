"""What is used of Feast, imported in one place, without torch and without Feast's plans for metrics.

Feast imports torch whenever it is installed, which costs a serving process seconds and hundreds of megabytes for
nothing. While Feast is imported here, torch counts as not installed; afterwards everything is as before.

For a server of its own that is not used here, Feast sets the variables that switch prometheus_client to values in files
(feast/metrics.py), for this process if prometheus_client is imported later, and for every process that it starts.
Metrics here are per process: prometheus_client comes first, and the environment is as before.
"""

import os
import sys
import warnings

import prometheus_client  # noqa: F401 - decides on import where it keeps values

_TORCH = "torch"
_hidden = _TORCH not in sys.modules
_METRIC_FILES = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")
_environment = {name: os.environ.get(name) for name in _METRIC_FILES}
if _hidden:
    sys.modules[_TORCH] = None  # type: ignore[assignment]
try:
    with warnings.catch_warnings():  # Feast turns deprecation warnings of all packages on
        from feast import FeatureStore, FeatureView, RepoConfig
        from feast.infra.online_stores.helpers import _mmh3 as field_hash
        from feast.infra.online_stores.helpers import _redis_key as redis_key
        from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import DoubleList, Int64List, StringList, Value
finally:
    if _hidden:
        del sys.modules[_TORCH]
    for name in [name for name, value in _environment.items() if value is None]:
        os.environ.pop(name, None)

__all__ = [
    "DoubleList",
    "EntityKey",
    "FeatureStore",
    "FeatureView",
    "Int64List",
    "RedisOnlineStore",
    "RedisOnlineStoreConfig",
    "RepoConfig",
    "StringList",
    "Value",
    "field_hash",
    "redis_key",
]
