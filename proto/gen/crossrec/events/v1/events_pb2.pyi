import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_IMPRESSION: _ClassVar[EventType]
    EVENT_TYPE_CLICK: _ClassVar[EventType]
    EVENT_TYPE_ADD_TO_CART: _ClassVar[EventType]
    EVENT_TYPE_PURCHASE: _ClassVar[EventType]
    EVENT_TYPE_RATING: _ClassVar[EventType]
    EVENT_TYPE_QUERY: _ClassVar[EventType]
    EVENT_TYPE_COMMENT: _ClassVar[EventType]
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_IMPRESSION: EventType
EVENT_TYPE_CLICK: EventType
EVENT_TYPE_ADD_TO_CART: EventType
EVENT_TYPE_PURCHASE: EventType
EVENT_TYPE_RATING: EventType
EVENT_TYPE_QUERY: EventType
EVENT_TYPE_COMMENT: EventType

class PublishRequest(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("behavior_event", "item_update", "item_scenario_update", "scenario_update", "user_erasure", "item_deletion", "item_scenario_deletion", "scenario_deletion", "user_update")
    BEHAVIOR_EVENT_FIELD_NUMBER: _ClassVar[int]
    ITEM_UPDATE_FIELD_NUMBER: _ClassVar[int]
    ITEM_SCENARIO_UPDATE_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_UPDATE_FIELD_NUMBER: _ClassVar[int]
    USER_ERASURE_FIELD_NUMBER: _ClassVar[int]
    ITEM_DELETION_FIELD_NUMBER: _ClassVar[int]
    ITEM_SCENARIO_DELETION_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_DELETION_FIELD_NUMBER: _ClassVar[int]
    USER_UPDATE_FIELD_NUMBER: _ClassVar[int]
    behavior_event: BehaviorEvent
    item_update: ItemUpdate
    item_scenario_update: ItemScenarioUpdate
    scenario_update: ScenarioUpdate
    user_erasure: UserErasure
    item_deletion: ItemDeletion
    item_scenario_deletion: ItemScenarioDeletion
    scenario_deletion: ScenarioDeletion
    user_update: UserUpdate
    def __init__(self, behavior_event: _Optional[_Union[BehaviorEvent, _Mapping]] = ..., item_update: _Optional[_Union[ItemUpdate, _Mapping]] = ..., item_scenario_update: _Optional[_Union[ItemScenarioUpdate, _Mapping]] = ..., scenario_update: _Optional[_Union[ScenarioUpdate, _Mapping]] = ..., user_erasure: _Optional[_Union[UserErasure, _Mapping]] = ..., item_deletion: _Optional[_Union[ItemDeletion, _Mapping]] = ..., item_scenario_deletion: _Optional[_Union[ItemScenarioDeletion, _Mapping]] = ..., scenario_deletion: _Optional[_Union[ScenarioDeletion, _Mapping]] = ..., user_update: _Optional[_Union[UserUpdate, _Mapping]] = ...) -> None: ...

class BehaviorEvent(_message.Message):
    __slots__ = ("event_id", "user_id", "scenario_id", "type", "item_id", "time", "value", "text", "attribution_token")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    user_id: str
    scenario_id: str
    type: EventType
    item_id: str
    time: _timestamp_pb2.Timestamp
    value: float
    text: str
    attribution_token: str
    def __init__(self, event_id: _Optional[str] = ..., user_id: _Optional[str] = ..., scenario_id: _Optional[str] = ..., type: _Optional[_Union[EventType, str]] = ..., item_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., value: _Optional[float] = ..., text: _Optional[str] = ..., attribution_token: _Optional[str] = ...) -> None: ...

class ItemUpdate(_message.Message):
    __slots__ = ("item_id", "time", "title", "description", "categories", "brand", "price", "attributes", "event_id", "category_attributes")
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
        value: CategoryValues
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CategoryValues, _Mapping]] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    BRAND_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    time: _timestamp_pb2.Timestamp
    title: str
    description: str
    categories: _containers.RepeatedScalarFieldContainer[str]
    brand: str
    price: float
    attributes: _containers.ScalarMap[str, float]
    event_id: str
    category_attributes: _containers.MessageMap[str, CategoryValues]
    def __init__(self, item_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., title: _Optional[str] = ..., description: _Optional[str] = ..., categories: _Optional[_Iterable[str]] = ..., brand: _Optional[str] = ..., price: _Optional[float] = ..., attributes: _Optional[_Mapping[str, float]] = ..., event_id: _Optional[str] = ..., category_attributes: _Optional[_Mapping[str, CategoryValues]] = ...) -> None: ...

class CategoryValues(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class UserUpdate(_message.Message):
    __slots__ = ("user_id", "time", "attributes", "category_attributes", "event_id")
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
        value: CategoryValues
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[CategoryValues, _Mapping]] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    time: _timestamp_pb2.Timestamp
    attributes: _containers.ScalarMap[str, float]
    category_attributes: _containers.MessageMap[str, CategoryValues]
    event_id: str
    def __init__(self, user_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attributes: _Optional[_Mapping[str, float]] = ..., category_attributes: _Optional[_Mapping[str, CategoryValues]] = ..., event_id: _Optional[str] = ...) -> None: ...

class ItemScenarioUpdate(_message.Message):
    __slots__ = ("item_id", "scenario_id", "time", "attributes", "event_id")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    scenario_id: str
    time: _timestamp_pb2.Timestamp
    attributes: _containers.ScalarMap[str, float]
    event_id: str
    def __init__(self, item_id: _Optional[str] = ..., scenario_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., attributes: _Optional[_Mapping[str, float]] = ..., event_id: _Optional[str] = ...) -> None: ...

class ScenarioUpdate(_message.Message):
    __slots__ = ("scenario_id", "time", "name", "description", "event_id")
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    scenario_id: str
    time: _timestamp_pb2.Timestamp
    name: str
    description: str
    event_id: str
    def __init__(self, scenario_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., event_id: _Optional[str] = ...) -> None: ...

class ItemDeletion(_message.Message):
    __slots__ = ("item_id", "event_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    event_id: str
    def __init__(self, item_id: _Optional[str] = ..., event_id: _Optional[str] = ...) -> None: ...

class ItemScenarioDeletion(_message.Message):
    __slots__ = ("item_id", "scenario_id", "event_id")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    scenario_id: str
    event_id: str
    def __init__(self, item_id: _Optional[str] = ..., scenario_id: _Optional[str] = ..., event_id: _Optional[str] = ...) -> None: ...

class ScenarioDeletion(_message.Message):
    __slots__ = ("scenario_id", "event_id")
    SCENARIO_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    scenario_id: str
    event_id: str
    def __init__(self, scenario_id: _Optional[str] = ..., event_id: _Optional[str] = ...) -> None: ...

class UserErasure(_message.Message):
    __slots__ = ("user_id", "time", "event_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    time: _timestamp_pb2.Timestamp
    event_id: str
    def __init__(self, user_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., event_id: _Optional[str] = ...) -> None: ...

class PublishStreamRequest(_message.Message):
    __slots__ = ("sequence", "entries")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, sequence: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class PublishStreamResponse(_message.Message):
    __slots__ = ("sequence", "results")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    results: _containers.RepeatedCompositeFieldContainer[EntryResult]
    def __init__(self, sequence: _Optional[int] = ..., results: _Optional[_Iterable[_Union[EntryResult, _Mapping]]] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[EntryResult]
    def __init__(self, results: _Optional[_Iterable[_Union[EntryResult, _Mapping]]] = ...) -> None: ...

class EntryResult(_message.Message):
    __slots__ = ("accepted", "rejected", "unconfirmed")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    UNCONFIRMED_FIELD_NUMBER: _ClassVar[int]
    accepted: Accepted
    rejected: Rejected
    unconfirmed: Unconfirmed
    def __init__(self, accepted: _Optional[_Union[Accepted, _Mapping]] = ..., rejected: _Optional[_Union[Rejected, _Mapping]] = ..., unconfirmed: _Optional[_Union[Unconfirmed, _Mapping]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("event_id",)
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    def __init__(self, event_id: _Optional[str] = ...) -> None: ...

class Rejected(_message.Message):
    __slots__ = ("field", "reason")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    field: str
    reason: str
    def __init__(self, field: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Unconfirmed(_message.Message):
    __slots__ = ("event_id", "reason")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    reason: str
    def __init__(self, event_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
