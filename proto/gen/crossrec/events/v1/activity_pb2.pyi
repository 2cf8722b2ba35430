from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ActivityDeltas(_message.Message):
    __slots__ = ("deltas",)
    DELTAS_FIELD_NUMBER: _ClassVar[int]
    deltas: _containers.RepeatedCompositeFieldContainer[ActivityDelta]
    def __init__(self, deltas: _Optional[_Iterable[_Union[ActivityDelta, _Mapping]]] = ...) -> None: ...

class ActivityDelta(_message.Message):
    __slots__ = ("item_id", "scenario_id", "facet_key", "time_s", "counts", "hours", "scenarios", "last_value", "last_value_time_s", "schema_fingerprint", "returning", "holders", "paid", "opinions")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    FACET_KEY_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    HOURS_FIELD_NUMBER: _ClassVar[int]
    SCENARIOS_FIELD_NUMBER: _ClassVar[int]
    LAST_VALUE_FIELD_NUMBER: _ClassVar[int]
    LAST_VALUE_TIME_S_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    RETURNING_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    PAID_FIELD_NUMBER: _ClassVar[int]
    OPINIONS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    scenario_id: str
    facet_key: str
    time_s: float
    counts: _containers.RepeatedScalarFieldContainer[float]
    hours: _containers.RepeatedScalarFieldContainer[float]
    scenarios: _containers.RepeatedCompositeFieldContainer[ScenarioCounts]
    last_value: float
    last_value_time_s: float
    schema_fingerprint: int
    returning: _containers.RepeatedScalarFieldContainer[float]
    holders: float
    paid: _containers.RepeatedScalarFieldContainer[float]
    opinions: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, item_id: _Optional[str] = ..., scenario_id: _Optional[str] = ..., facet_key: _Optional[str] = ..., time_s: _Optional[float] = ..., counts: _Optional[_Iterable[float]] = ..., hours: _Optional[_Iterable[float]] = ..., scenarios: _Optional[_Iterable[_Union[ScenarioCounts, _Mapping]]] = ..., last_value: _Optional[float] = ..., last_value_time_s: _Optional[float] = ..., schema_fingerprint: _Optional[int] = ..., returning: _Optional[_Iterable[float]] = ..., holders: _Optional[float] = ..., paid: _Optional[_Iterable[float]] = ..., opinions: _Optional[_Iterable[float]] = ...) -> None: ...

class ScenarioCounts(_message.Message):
    __slots__ = ("scenario_id", "counts", "time_s", "opinions")
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    OPINIONS_FIELD_NUMBER: _ClassVar[int]
    scenario_id: str
    counts: _containers.RepeatedScalarFieldContainer[float]
    time_s: float
    opinions: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, scenario_id: _Optional[str] = ..., counts: _Optional[_Iterable[float]] = ..., time_s: _Optional[float] = ..., opinions: _Optional[_Iterable[float]] = ...) -> None: ...
