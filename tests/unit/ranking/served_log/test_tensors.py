"""Invalid tensors in records; valid ones are tested with the record."""

import pytest

from crossrec.ranking.v1 import served_pb2 as pb
from services.ranking.served_log.tensors import InvalidTensor, unpack_tensors


def test_bytes_that_do_not_match_the_shape_are_rejected() -> None:
    """The error names the tensor and the reason."""
    tensor = pb.ServedTensor(name="item", shape=[2, 3], type=pb.TENSOR_TYPE_FLOAT32, values=b"1234")
    with pytest.raises(InvalidTensor, match=r"tensors\[item\].values: 4 bytes do not fit shape \(2, 3\)"):
        unpack_tensors([tensor])


def test_unknown_types_are_rejected() -> None:
    """A later version may have more types."""
    with pytest.raises(InvalidTensor, match=r"tensors\[item\].type: 0 is unknown"):
        unpack_tensors([pb.ServedTensor(name="item", shape=[0])])
