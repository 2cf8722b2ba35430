"""For every alert, the fault that causes its condition."""

from collections.abc import Callable
from pathlib import Path

from tests.contract import alert_consumer, alert_gateway, alert_ranking
from tests.contract.alert_rules import Scrapes

SCENES: dict[str, Callable[[Path], Scrapes]] = alert_ranking.SCENES | alert_gateway.SCENES | alert_consumer.SCENES
