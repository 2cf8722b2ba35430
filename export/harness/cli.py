"""`crossrec load`: wires the load client to requests from imported data sets."""

from typing import TYPE_CHECKING

from services.load.cli import load_command_with

if TYPE_CHECKING:
    from crossrec.ranking.v1.ranking_pb2 import RankRequest
    from services.load.workload import Shape


def requests_of_data(data: str, shape: "Shape") -> "list[RankRequest]":
    """Requests from the users, items and scenarios of an imported data set, by its name."""
    from export.datasets.storage import DatasetReader
    from export.harness.data_requests import data_requests
    from services.settings.load import load_settings

    return data_requests(DatasetReader(load_settings(data).data_dir / data), shape)


load_command = load_command_with(requests_of_data)
