import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DegradationReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEGRADATION_REASON_UNSPECIFIED: _ClassVar[DegradationReason]
    DEGRADATION_REASON_UNKNOWN_USER: _ClassVar[DegradationReason]
    DEGRADATION_REASON_UNKNOWN_ITEMS: _ClassVar[DegradationReason]
    DEGRADATION_REASON_UNKNOWN_SCENARIO: _ClassVar[DegradationReason]
    DEGRADATION_REASON_STORE_UNAVAILABLE: _ClassVar[DegradationReason]
    DEGRADATION_REASON_NO_SCENARIOS: _ClassVar[DegradationReason]
    DEGRADATION_REASON_STALE_USER: _ClassVar[DegradationReason]
    DEGRADATION_REASON_POPULARITY: _ClassVar[DegradationReason]
    DEGRADATION_REASON_UNDESCRIBED_ITEMS: _ClassVar[DegradationReason]
DEGRADATION_REASON_UNSPECIFIED: DegradationReason
DEGRADATION_REASON_UNKNOWN_USER: DegradationReason
DEGRADATION_REASON_UNKNOWN_ITEMS: DegradationReason
DEGRADATION_REASON_UNKNOWN_SCENARIO: DegradationReason
DEGRADATION_REASON_STORE_UNAVAILABLE: DegradationReason
DEGRADATION_REASON_NO_SCENARIOS: DegradationReason
DEGRADATION_REASON_STALE_USER: DegradationReason
DEGRADATION_REASON_POPULARITY: DegradationReason
DEGRADATION_REASON_UNDESCRIBED_ITEMS: DegradationReason

class RankRequest(_message.Message):
    __slots__ = ("user_id", "scenario_id", "item_ids", "top_k", "request_time", "context", "options")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TIME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    scenario_id: str
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    top_k: int
    request_time: _timestamp_pb2.Timestamp
    context: RequestContext
    options: RankOptions
    def __init__(self, user_id: _Optional[str] = ..., scenario_id: _Optional[str] = ..., item_ids: _Optional[_Iterable[str]] = ..., top_k: _Optional[int] = ..., request_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., context: _Optional[_Union[RequestContext, _Mapping]] = ..., options: _Optional[_Union[RankOptions, _Mapping]] = ...) -> None: ...

class RequestContext(_message.Message):
    __slots__ = ("attributes", "category_attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class CategoryAttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: ContextValues
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[ContextValues, _Mapping]] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.ScalarMap[str, float]
    category_attributes: _containers.MessageMap[str, ContextValues]
    def __init__(self, attributes: _Optional[_Mapping[str, float]] = ..., category_attributes: _Optional[_Mapping[str, ContextValues]] = ...) -> None: ...

class ContextValues(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class RankOptions(_message.Message):
    __slots__ = ("explain", "diversity")
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    explain: bool
    diversity: float
    def __init__(self, explain: _Optional[bool] = ..., diversity: _Optional[float] = ...) -> None: ...

class RankResponse(_message.Message):
    __slots__ = ("items", "scenario_id", "scenario_posterior", "transfer_weights", "model_version", "freshness", "degraded", "attribution_token", "experiment_arm")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_ARM_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RankedItem]
    scenario_id: str
    scenario_posterior: _containers.RepeatedCompositeFieldContainer[ScenarioProbability]
    transfer_weights: _containers.RepeatedCompositeFieldContainer[TransferWeight]
    model_version: str
    freshness: FeatureFreshness
    degraded: _containers.RepeatedCompositeFieldContainer[Degradation]
    attribution_token: str
    experiment_arm: str
    def __init__(self, items: _Optional[_Iterable[_Union[RankedItem, _Mapping]]] = ..., scenario_id: _Optional[str] = ..., scenario_posterior: _Optional[_Iterable[_Union[ScenarioProbability, _Mapping]]] = ..., transfer_weights: _Optional[_Iterable[_Union[TransferWeight, _Mapping]]] = ..., model_version: _Optional[str] = ..., freshness: _Optional[_Union[FeatureFreshness, _Mapping]] = ..., degraded: _Optional[_Iterable[_Union[Degradation, _Mapping]]] = ..., attribution_token: _Optional[str] = ..., experiment_arm: _Optional[str] = ...) -> None: ...

class RankedItem(_message.Message):
    __slots__ = ("item_id", "score", "probability", "contributions")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    score: float
    probability: float
    contributions: _containers.RepeatedCompositeFieldContainer[ScenarioContribution]
    def __init__(self, item_id: _Optional[str] = ..., score: _Optional[float] = ..., probability: _Optional[float] = ..., contributions: _Optional[_Iterable[_Union[ScenarioContribution, _Mapping]]] = ...) -> None: ...

class ScenarioContribution(_message.Message):
    __slots__ = ("preference", "contribution", "share")
    PREFERENCE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    preference: float
    contribution: float
    share: float
    def __init__(self, preference: _Optional[float] = ..., contribution: _Optional[float] = ..., share: _Optional[float] = ...) -> None: ...

class TransferWeight(_message.Message):
    __slots__ = ("scenario_id", "weight", "share")
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    scenario_id: str
    weight: float
    share: float
    def __init__(self, scenario_id: _Optional[str] = ..., weight: _Optional[float] = ..., share: _Optional[float] = ...) -> None: ...

class ScenarioProbability(_message.Message):
    __slots__ = ("scenario_id", "probability")
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    scenario_id: str
    probability: float
    def __init__(self, scenario_id: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class FeatureFreshness(_message.Message):
    __slots__ = ("newest_user_event", "oldest_item_read_ms", "user_read_ms")
    NEWEST_USER_EVENT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_ITEM_READ_MS_FIELD_NUMBER: _ClassVar[int]
    USER_READ_MS_FIELD_NUMBER: _ClassVar[int]
    newest_user_event: _timestamp_pb2.Timestamp
    oldest_item_read_ms: int
    user_read_ms: int
    def __init__(self, newest_user_event: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., oldest_item_read_ms: _Optional[int] = ..., user_read_ms: _Optional[int] = ...) -> None: ...

class Degradation(_message.Message):
    __slots__ = ("reason", "detail", "item_count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: DegradationReason
    detail: str
    item_count: int
    def __init__(self, reason: _Optional[_Union[DegradationReason, str]] = ..., detail: _Optional[str] = ..., item_count: _Optional[int] = ...) -> None: ...
