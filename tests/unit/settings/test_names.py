"""Names of settings and their variables."""

import pytest

from services.errors import ConfigurationError
from services.settings.load import Settings
from services.settings.names import OTHER_VARIABLES, check_variables, setting_names, variable_of


def test_every_setting_has_a_variable() -> None:
    names = [name for name, _ in setting_names(Settings)]
    assert len(names) == len(set(names))
    for name in ("data_dir", "kafka.partitions", "features.half_lives_s", "kafka"):
        assert name in names
    check_variables(dict.fromkeys(map(variable_of, names), ""), Settings)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("CROSSREC_KAFAK__PARTITIONS", "CROSSREC_KAFKA__PARTITIONS"),
        ("CROSSREC_KAFKA__PARTITONS", "CROSSREC_KAFKA__PARTITIONS"),
        ("CROSSREC_SECURTY__TOKENS_FILE", "CROSSREC_SECURITY__TOKENS_FILE"),
        ("CROSSREC_KAFKA_PARTITIONS", "CROSSREC_KAFKA__PARTITIONS"),
        ("CROSSREC_DATADIR", "CROSSREC_DATA_DIR"),
        ("crossrec_securty__tokens_file", "CROSSREC_SECURITY__TOKENS_FILE"),
        ("CROSSREC_FEATURES__ENGAGMENT__CLICK", "CROSSREC_FEATURES__ENGAGEMENT"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    """Otherwise the tokens of SECURTY would silently not be required."""
    with pytest.raises(ConfigurationError, match=f"^environment: {wrong}: no such setting; the nearest is {right} "):
        check_variables({wrong: "1", "PATH": "/bin"}, Settings)


def test_every_misspelt_variable_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match=r"CROSSREC_A: no such setting.*CROSSREC_XYZZY__QUUX: no such setting \("
    ):
        check_variables({"CROSSREC_XYZZY__QUUX": "", "CROSSREC_A": ""}, Settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x") for name in OTHER_VARIABLES),
        ("CROSSREC_TEST_ANYTHING", "x"),
        ("CROSSREC_FEATURES__ENGAGEMENT__CLICK", "2"),
        ("crossrec_kafka__partitions", "8"),
        ("CROSSREC_SERVICE_HOST", "10.0.0.1"),
        ("CROSSREC_GATEWAY_SERVICE_PORT_GRPC", "50051"),
        ("CROSSREC_GATEWAY_PORT", "tcp://10.0.0.1:50051"),
        ("CROSSREC_GATEWAY_PORT_50051_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_other_variables_are_left_alone(name: str, value: str) -> None:
    """Those of tests and clients, entries of maps, and what Kubernetes makes of services named crossrec."""
    check_variables({name: value}, Settings)
