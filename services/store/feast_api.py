"""What is used of Feast, imported in one place, and without torch.

Feast imports torch whenever it is installed, which costs a serving process seconds and hundreds of megabytes for
nothing. While Feast is imported here, torch counts as not installed; afterwards everything is as before.
"""

import sys
import warnings

_TORCH = "torch"
_hidden = _TORCH not in sys.modules
if _hidden:
    sys.modules[_TORCH] = None  # type: ignore[assignment]
try:
    with warnings.catch_warnings():  # Feast turns deprecation warnings of all packages on
        from feast import FeatureStore, FeatureView, RepoConfig
        from feast.infra.online_stores.helpers import _mmh3 as field_hash
        from feast.infra.online_stores.helpers import _redis_key as redis_key
        from feast.infra.online_stores.helpers import _redis_key_prefix as redis_key_prefix
        from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
        from feast.protos.feast.types.EntityKey_pb2 import EntityKey
        from feast.protos.feast.types.Value_pb2 import DoubleList, Int64List, StringList, Value
finally:
    if _hidden:
        del sys.modules[_TORCH]

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
    "redis_key_prefix",
]
