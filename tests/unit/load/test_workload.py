"""Requests in files."""

from pathlib import Path

import pytest

from crossrec.ranking.v1.ranking_pb2 import RankOptions, RankRequest
from services.errors import ConfigurationError
from services.load.workload import Shape, check_shape, read_requests, set_options, write_requests


def test_requests_are_read_as_they_were_written(tmp_path: Path) -> None:
    requests = [
        RankRequest(user_id="ä", item_ids=["a", "b"], options=RankOptions(explain=True)),
        RankRequest(user_id="b"),
    ]
    write_requests(tmp_path / "new" / "requests.jsonl", requests)
    assert requests == read_requests(tmp_path / "new" / "requests.jsonl")


def test_both_spellings_of_names_are_read(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"user_id": "a", "itemIds": ["x"]}\n\n')
    assert [RankRequest(user_id="a", item_ids=["x"])] == read_requests(file)


@pytest.mark.parametrize("text", ['{"userId": "a"}\n{"user": "b"}\n', '{"userId": "a"}\nnothing\n'])
def test_an_invalid_line_is_rejected_by_its_number(tmp_path: Path, text: str) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match="line 2"):
        read_requests(file)


def test_files_without_requests_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name in ("empty", "absent"):
        with pytest.raises(ConfigurationError, match=f"--requests: .*{name}"):
            read_requests(tmp_path / name)


def test_given_options_override_those_of_the_requests() -> None:
    request = RankRequest(top_k=3, options=RankOptions(explain=True))
    set_options([request], explain=None, top_k=None)
    assert (3, True) == (request.top_k, request.options.explain)
    set_options([request], explain=False, top_k=0)
    assert (0, False) == (request.top_k, request.options.explain)


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        (Shape(users="all"), "--users: 'all'"),
        (Shape(requests=0), "--distinct: 0"),
        (Shape(candidates=0), "--candidates: 0"),
        (Shape(candidates=2001), "--candidates: 2001"),
    ],
)
def test_shapes_out_of_range_name_their_option(shape: Shape, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        check_shape(shape)
