"""The served log that the settings ask for."""

from functools import partial

from services.kafka.sink import KafkaSink, open_sink_producer
from services.kafka.topics import RANKED
from services.ranking.served_log.log import ServedLog
from services.settings.load import Settings


def open_served_log(settings: Settings, schema_fingerprint: int) -> ServedLog | None:
    """The log, not started; None where no answers are to be kept."""
    chosen, kafka = settings.served_log, settings.kafka
    if chosen.share == 0:
        return None
    sink = KafkaSink(f"{kafka.topic_prefix}.{RANKED}", partial(open_sink_producer, kafka))
    return ServedLog(sink, schema_fingerprint, chosen.share, chosen.waiting, chosen.feature_items)
