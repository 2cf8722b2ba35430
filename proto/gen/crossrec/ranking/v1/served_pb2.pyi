import datetime

from crossrec.ranking.v1 import ranking_pb2 as _ranking_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TensorType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TENSOR_TYPE_UNSPECIFIED: _ClassVar[TensorType]
    TENSOR_TYPE_FLOAT16: _ClassVar[TensorType]
    TENSOR_TYPE_FLOAT32: _ClassVar[TensorType]
TENSOR_TYPE_UNSPECIFIED: TensorType
TENSOR_TYPE_FLOAT16: TensorType
TENSOR_TYPE_FLOAT32: TensorType

class ServedRanking(_message.Message):
    __slots__ = ("served_time", "answer_id", "user_id", "request_time", "scenario_given", "posterior", "context", "answer", "candidates", "user", "features")
    SERVED_TIME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TIME_FIELD_NUMBER: _ClassVar[int]
    SCENARIO_GIVEN_FIELD_NUMBER: _ClassVar[int]
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    served_time: _timestamp_pb2.Timestamp
    answer_id: str
    user_id: str
    request_time: _timestamp_pb2.Timestamp
    scenario_given: bool
    posterior: _containers.RepeatedScalarFieldContainer[float]
    context: _ranking_pb2.RequestContext
    answer: _ranking_pb2.RankResponse
    candidates: int
    user: ServedUser
    features: ServedFeatures
    def __init__(self, served_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., answer_id: _Optional[str] = ..., user_id: _Optional[str] = ..., request_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scenario_given: _Optional[bool] = ..., posterior: _Optional[_Iterable[float]] = ..., context: _Optional[_Union[_ranking_pb2.RequestContext, _Mapping]] = ..., answer: _Optional[_Union[_ranking_pb2.RankResponse, _Mapping]] = ..., candidates: _Optional[int] = ..., user: _Optional[_Union[ServedUser, _Mapping]] = ..., features: _Optional[_Union[ServedFeatures, _Mapping]] = ...) -> None: ...

class ServedUser(_message.Message):
    __slots__ = ("topic_epoch", "partition", "offset")
    TOPIC_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    topic_epoch: int
    partition: int
    offset: int
    def __init__(self, topic_epoch: _Optional[int] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class ServedFeatures(_message.Message):
    __slots__ = ("schema_fingerprint", "encoder_fingerprint", "items", "tensors")
    SCHEMA_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    ENCODER_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    schema_fingerprint: int
    encoder_fingerprint: int
    items: int
    tensors: _containers.RepeatedCompositeFieldContainer[ServedTensor]
    def __init__(self, schema_fingerprint: _Optional[int] = ..., encoder_fingerprint: _Optional[int] = ..., items: _Optional[int] = ..., tensors: _Optional[_Iterable[_Union[ServedTensor, _Mapping]]] = ...) -> None: ...

class ServedTensor(_message.Message):
    __slots__ = ("name", "shape", "type", "values")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    type: TensorType
    values: bytes
    def __init__(self, name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., type: _Optional[_Union[TensorType, str]] = ..., values: _Optional[bytes] = ...) -> None: ...
