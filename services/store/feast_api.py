"""The used parts of Feast, imported in one place, without torch and without Feast's metrics files.

Feast imports torch whenever it is installed, which costs a serving process seconds and hundreds of megabytes. While
this module imports Feast, torch counts as not installed; afterwards the import system is as before.

For its own server, which is not used here, Feast sets the variables that make prometheus_client keep values in files
(feast/metrics.py), for this process if it imports prometheus_client later, and for every process that it starts.
Metrics here are per process: prometheus_client is imported first, and the environment is restored.
"""

import os
import sys
import warnings

import prometheus_client  # noqa: F401 - decides on import where it keeps its values

_TORCH = "torch"
_hidden = _TORCH not in sys.modules
_METRIC_FILES = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")
_environment = {name: os.environ.get(name) for name in _METRIC_FILES}
if _hidden:
    sys.modules[_TORCH] = None  # type: ignore[assignment]
try:
    with warnings.catch_warnings():  # Feast enables deprecation warnings of all packages
        from feast import FeatureStore, FeatureView, RepoConfig
        from feast.infra.online_stores.helpers import _mmh3 as field_hash
        from feast.infra.online_stores.helpers import _redis_key as redis_key
        from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig, RedisType
        from feast.infra.passthrough_provider import PassthroughProvider
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
    "PassthroughProvider",
    "RedisOnlineStore",
    "RedisOnlineStoreConfig",
    "RedisType",
    "RepoConfig",
    "StringList",
    "Value",
    "field_hash",
    "redis_key",
]
