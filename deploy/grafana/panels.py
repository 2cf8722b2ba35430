"""The rows and panels of the dashboard: queries to Prometheus, and how to read the results.

Knows names of metrics; services/*/metrics.py document them.
"""

from dataclasses import dataclass

RANKING, GATEWAY, CONSUMER = "crossrec_ranking", "crossrec_gateway", "crossrec_consumer"


@dataclass(frozen=True)
class Panel:
    """A panel.

    Args:
        title: what it shows.
        unit: of the values, as Grafana names it.
        queries: expression and legend of each.
        help: how to read it.
        stat: one number instead of a plot.
        stacked: whether the series are stacked.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    help: str = ""
    stat: bool = False
    stacked: bool = False


def rate(metric: str, *by: str) -> str:
    """The sum of a rate per second."""
    return f"sum{_by(by)} (rate({metric}[$__rate_interval]))"


def quantile(share: float, metric: str, *by: str) -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', 'le', *by)})"


def mean(metric: str, *by: str) -> str:
    """The mean of a histogram's values."""
    return f"{rate(f'{metric}_sum', *by)} / {rate(f'{metric}_count', *by)}"


def quantiles(metric: str, *shares: float) -> tuple[tuple[str, str], ...]:
    """Several quantiles."""
    return tuple((quantile(share, metric), f"p{share * 100:g}") for share in shares)


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


_FAILED = 'code=~"INTERNAL|UNKNOWN|UNAVAILABLE"'
_HITS = f'{RANKING}_item_cache_requests_total{{outcome="hit"}}'
_ANSWERS = rate(f"{RANKING}_answers_total")

ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel("Rankings", "reqps", ((rate(f"{RANKING}_requests_total"), ""),), stat=True),
        Panel("Ranking p99", "s", ((quantile(0.99, f"{RANKING}_request_seconds"), ""),), stat=True),
        Panel(
            "Rankings failed",
            "percentunit",
            ((f"{rate(f'{RANKING}_requests_total{{{_FAILED}}}')} / {rate(f'{RANKING}_requests_total')}", ""),),
            stat=True,
        ),
        Panel("Rejected", "reqps", ((rate(f"{RANKING}_shed_total"), ""),), stat=True),
        Panel("Events stored", "cps", ((rate(f'{GATEWAY}_entries_total{{outcome="accepted"}}'), ""),), stat=True),
        Panel("Kafka available", "bool_yes_no", ((f"min({GATEWAY}_kafka_up)", ""),), stat=True),
        Panel("Consumer lag", "s", ((f"max({CONSUMER}_lag_seconds)", ""),), stat=True),
        Panel("Model problems", "none", ((f"max({RANKING}_model_problems)", ""),), stat=True),
    ),
    "Ranking: latency": (
        Panel(
            "Rank calls",
            "s",
            quantiles(f"{RANKING}_request_seconds", 0.5, 0.95, 0.99),
            "Time in the server, queueing included; without the network.",
        ),
        Panel(
            "Stages, mean",
            "s",
            (
                (mean(f"{RANKING}_stage_seconds", "stage"), "{{stage}}"),
                (mean(f"{RANKING}_waiting_seconds"), "waiting"),
            ),
            "They add up to the mean of an answered request.",
            stacked=True,
        ),
        Panel(
            "Stages, p99",
            "s",
            (
                (quantile(0.99, f"{RANKING}_stage_seconds", "stage"), "{{stage}}"),
                (quantile(0.99, f"{RANKING}_waiting_seconds"), "waiting"),
            ),
            "read_user waits for Valkey; score is the model; select grows with diversity.",
        ),
    ),
    "Ranking: load": (
        Panel("Calls by code", "reqps", ((rate(f"{RANKING}_requests_total", "code"), "{{code}}"),), stacked=True),
        Panel(
            "Admission",
            "none",
            (
                (f"sum({RANKING}_admitted)", "admitted"),
                (f"sum({RANKING}_admission_limit)", "limit"),
            ),
            "The limit falls while requests wait longer than ranking.target_wait_s.",
        ),
        Panel(
            "Rejected by priority",
            "reqps",
            ((rate(f"{RANKING}_shed_total", "priority"), "{{priority}}"),),
            "Batch requests are rejected first.",
        ),
        Panel("Candidates of a request", "none", quantiles(f"{RANKING}_candidates", 0.5, 0.95)),
        Panel("Workers", "none", ((f"sum by (state) ({RANKING}_workers)", "{{state}}"),)),
        Panel(
            "Worker deaths",
            "none",
            ((f"sum(increase({RANKING}_worker_deaths_total[$__rate_interval]))", "died"),),
            "The log has the exit status (ranking_worker_exited).",
        ),
    ),
    "Ranking: data quality": (
        Panel(
            "Degraded answers",
            "percentunit",
            ((f"{rate(f'{RANKING}_degraded_total', 'reason')} / on () group_left () {_ANSWERS}", "{{reason}}"),),
            "Share of the answers; one may have several reasons.",
        ),
        Panel(
            "Item cache hits",
            "percentunit",
            ((f"{rate(_HITS)} / {rate(f'{RANKING}_item_cache_requests_total')}", "hit"),),
            "Missing or too old items are read from the store while the request waits.",
        ),
        Panel("Age of the oldest item row", "s", quantiles(f"{RANKING}_item_age_seconds", 0.5, 0.95)),
        Panel(
            "Time since the user's newest event",
            "s",
            quantiles(f"{RANKING}_user_event_age_seconds", 0.1, 0.5, 0.9),
            "p10 is seconds if users act and get rankings in one visit; if it rises, features are late.",
        ),
    ),
    "Models": (
        Panel(
            "Answers by model and arm",
            "reqps",
            ((rate(f"{RANKING}_answers_total", "model", "arm"), "{{model}} {{arm}}"),),
            stacked=True,
        ),
        Panel(
            "Share of the users",
            "percentunit",
            ((f"max by (model, arm) ({RANKING}_model_weight)", "{{model}} {{arm}}"),),
            "Shares of the rollout; a shadow has 0.",
        ),
        Panel(
            "Problems and swaps",
            "none",
            (
                (f"max({RANKING}_model_problems)", "problems"),
                (f"sum(increase({RANKING}_model_swaps_total[$__rate_interval]))", "swaps, over all workers"),
            ),
            "The log has the reason (model_rejected).",
        ),
        Panel(
            "Probability by scenario, median",
            "percentunit",
            ((quantile(0.5, f"{RANKING}_probability", "scenario"), "{{scenario}}"),),
            "Over all candidates. A jump without a new model means that features or candidates have changed.",
        ),
        Panel(
            "Probability by scenario, mean",
            "percentunit",
            ((mean(f"{RANKING}_probability", "scenario"), "{{scenario}}"),),
        ),
        Panel(
            "Transfer share, mean",
            "percentunit",
            ((mean(f"{RANKING}_transfer_share", "scenario", "source"), "{{source}} for {{scenario}}"),),
            "What part of the weight in the target scenario the source scenario has; the shares add up to 1.",
        ),
        Panel(
            "Shadow: top-10 overlap",
            "percentunit",
            ((f"avg by (served, candidate) ({RANKING}_shadow_top10_overlap)", "{{candidate}} beside {{served}}"),),
        ),
        Panel(
            "Shadow: requests",
            "reqps",
            ((rate(f"{RANKING}_shadow_requests_total", "candidate", "outcome"), "{{candidate}} {{outcome}}"),),
        ),
    ),
    "Gateway": (
        Panel("Calls by code", "reqps", ((rate(f"{GATEWAY}_calls_total", "method", "code"), "{{method}} {{code}}"),)),
        Panel(
            "Latency",
            "s",
            (
                (quantile(0.99, f"{GATEWAY}_call_seconds", "method"), "{{method}} p99"),
                (quantile(0.99, f"{GATEWAY}_confirmation_seconds"), "Kafka p99"),
                (quantile(0.5, f"{GATEWAY}_confirmation_seconds"), "Kafka p50"),
            ),
            "Kafka: from sending a request's records to the confirmation of the last. Streams: time open.",
        ),
        Panel(
            "Entries by outcome",
            "cps",
            ((rate(f"{GATEWAY}_entries_total", "outcome"), "{{outcome}}"),),
            stacked=True,
        ),
        Panel(
            "Entries accepted by type",
            "cps",
            ((rate(f'{GATEWAY}_entries_total{{outcome="accepted"}}', "type"), "{{type}}"),),
            stacked=True,
        ),
        Panel(
            "Waiting for Kafka",
            "percentunit",
            (
                (f"max({GATEWAY}_pending_bytes / {GATEWAY}_pending_bytes_limit)", "of the bytes"),
                (f"max({GATEWAY}_pending_records / {GATEWAY}_pending_records_limit)", "of the records"),
            ),
            "Share of the gateway's limits; at 1 batches are rejected and streams wait.",
        ),
        Panel(
            "Streams and limits",
            "none",
            (
                (f"sum({GATEWAY}_streams_open)", "streams open"),
                (rate(f"{GATEWAY}_rate_limited_total"), "rate limited, per second"),
            ),
        ),
    ),
    "Consumers": (
        Panel("Lag, seconds", "s", ((f"max by (kind) ({CONSUMER}_lag_seconds)", "{{kind}}"),)),
        Panel("Lag, records", "none", ((f"sum by (kind) ({CONSUMER}_lag_records)", "{{kind}}"),)),
        Panel(
            "Time since the newest folded event",
            "s",
            ((f"min by (kind) ({CONSUMER}_freshness_seconds)", "{{kind}}"),),
            "Grows on an idle topic, too.",
        ),
        Panel(
            "Delay from Kafka to the store",
            "s",
            (
                (quantile(0.5, f"{CONSUMER}_delay_seconds", "kind"), "{{kind}} p50"),
                (quantile(0.99, f"{CONSUMER}_delay_seconds", "kind"), "{{kind}} p99"),
            ),
            "Delay of the oldest record of each batch.",
        ),
        Panel(
            "Records by outcome",
            "cps",
            ((rate(f"{CONSUMER}_events_total", "kind", "outcome"), "{{kind}} {{outcome}}"),),
            stacked=True,
        ),
        Panel(
            "Dead letters by reason",
            "none",
            (
                (
                    f"sum by (kind, reason) (increase({CONSUMER}_dead_letters_total[$__rate_interval]))",
                    "{{kind}} {{reason}}",
                ),
            ),
        ),
        Panel(
            "Failed attempts",
            "cps",
            ((rate(f"{CONSUMER}_failures_total", "kind", "what"), "{{kind}}: {{what}}"),),
            "They are retried until they succeed; nothing is skipped.",
        ),
        Panel(
            "Folding and store, p99",
            "s",
            (
                (quantile(0.99, f"{CONSUMER}_fold_seconds", "kind"), "{{kind}} batch"),
                (quantile(0.99, f"{CONSUMER}_store_seconds", "operation"), "store {{operation}}"),
            ),
        ),
        Panel(
            "Rebalances and fenced writes",
            "none",
            (
                (f"sum by (kind) (increase({CONSUMER}_rebalances_total[$__rate_interval]))", "{{kind}} rebalances"),
                (f"sum by (kind) (increase({CONSUMER}_fenced_writes_total[$__rate_interval]))", "{{kind}} fenced"),
            ),
        ),
    ),
}
