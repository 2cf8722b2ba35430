"""The rows and panels of the dashboard: what is asked of Prometheus, and what to make of the answer.

Knows names of metrics; what they mean is told in services/*/metrics.py.
"""

from dataclasses import dataclass

RANKING, GATEWAY, CONSUMER = "crossrec_ranking", "crossrec_gateway", "crossrec_consumer"


@dataclass(frozen=True)
class Panel:
    """A panel.

    Args:
        title: says what is shown.
        unit: of the values, in Grafana's words.
        queries: expression and legend of each.
        help: what to make of it.
        stat: one number instead of a plot.
        stacked: whether the series add up to something.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    help: str = ""
    stat: bool = False
    stacked: bool = False


def rate(metric: str, *by: str) -> str:
    """Per second, summed."""
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
        Panel("Refused", "reqps", ((rate(f"{RANKING}_shed_total"), ""),), stat=True),
        Panel("Events stored", "cps", ((rate(f'{GATEWAY}_entries_total{{outcome="accepted"}}'), ""),), stat=True),
        Panel("Kafka takes records", "bool_yes_no", ((f"min({GATEWAY}_kafka_up)", ""),), stat=True),
        Panel("Features behind", "s", ((f"max({CONSUMER}_lag_seconds)", ""),), stat=True),
        Panel("Model problems", "none", ((f"max({RANKING}_model_problems)", ""),), stat=True),
    ),
    "Ranking: latency": (
        Panel(
            "Rank calls",
            "s",
            quantiles(f"{RANKING}_request_seconds", 0.5, 0.95, 0.99),
            "In the server, waiting for the turn included; the network is not.",
        ),
        Panel(
            "Stages, mean",
            "s",
            (
                (mean(f"{RANKING}_stage_seconds", "stage"), "{{stage}}"),
                (mean(f"{RANKING}_waiting_seconds"), "waiting"),
            ),
            "Together they are the mean of an answered request.",
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
            "Room",
            "none",
            (
                (f"sum({RANKING}_admitted)", "admitted"),
                (f"sum({RANKING}_admission_limit)", "limit"),
            ),
            "The limit falls while requests wait longer than ranking.target_wait_s.",
        ),
        Panel(
            "Refused by priority",
            "reqps",
            ((rate(f"{RANKING}_shed_total", "priority"), "{{priority}}"),),
            "Batch requests are refused first.",
        ),
        Panel("Candidates of a request", "none", quantiles(f"{RANKING}_candidates", 0.5, 0.95)),
        Panel("Workers", "none", ((f"sum by (state) ({RANKING}_workers)", "{{state}}"),)),
        Panel(
            "Workers that died",
            "none",
            ((f"sum(increase({RANKING}_worker_deaths_total[$__rate_interval]))", "died"),),
            "The log says how (ranking_worker_exited).",
        ),
    ),
    "Ranking: what answers rest on": (
        Panel(
            "Degraded answers",
            "percentunit",
            ((f"{rate(f'{RANKING}_degraded_total', 'reason')} / on () group_left () {_ANSWERS}", "{{reason}}"),),
            "Share of the answers; one may have several reasons.",
        ),
        Panel(
            "Items in memory",
            "percentunit",
            ((f"{rate(_HITS)} / {rate(f'{RANKING}_item_cache_requests_total')}", "hit"),),
            "Those that are not, or are too old, are read from the store while the request waits.",
        ),
        Panel("Age of the oldest item row", "s", quantiles(f"{RANKING}_item_age_seconds", 0.5, 0.95)),
        Panel(
            "Time since the user's newest event",
            "s",
            quantiles(f"{RANKING}_user_event_age_seconds", 0.1, 0.5, 0.9),
            "p10 falls to seconds where users act and are ranked for in one visit; if it rises, features come late.",
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
            "What is promoted; a shadow has 0.",
        ),
        Panel(
            "Problems and swaps",
            "none",
            (
                (f"max({RANKING}_model_problems)", "problems"),
                (f"sum(increase({RANKING}_model_swaps_total[$__rate_interval]))", "swaps, over all workers"),
            ),
            "The log says what is wrong (model_rejected).",
        ),
        Panel(
            "Probability by scenario, median",
            "percentunit",
            ((quantile(0.5, f"{RANKING}_probability", "scenario"), "{{scenario}}"),),
            "Of all candidates. A jump without a new model means that features or candidates have changed.",
        ),
        Panel(
            "Probability by scenario, mean",
            "percentunit",
            ((mean(f"{RANKING}_probability", "scenario"), "{{scenario}}"),),
        ),
        Panel(
            "Transfer weight, mean",
            "percentunit",
            ((mean(f"{RANKING}_transfer_weight", "scenario", "source"), "{{source}} for {{scenario}}"),),
            "How much what is known from a source counts in a target scenario.",
        ),
        Panel(
            "Shadow: the ten best in common",
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
            "Kafka: from sending a request's records to the confirmation of the last. Streams: how long open.",
        ),
        Panel(
            "Entries by what became of them",
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
            "Of what a gateway may hold; at 1 batches are refused and streams wait.",
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
        Panel("Behind", "s", ((f"max by (kind) ({CONSUMER}_lag_seconds)", "{{kind}}"),)),
        Panel("Behind, records", "none", ((f"sum by (kind) ({CONSUMER}_lag_records)", "{{kind}}"),)),
        Panel(
            "Since the newest folded event",
            "s",
            ((f"min by (kind) ({CONSUMER}_freshness_seconds)", "{{kind}}"),),
            "Grows on a silent topic, too.",
        ),
        Panel(
            "From Kafka to the store",
            "s",
            (
                (quantile(0.5, f"{CONSUMER}_delay_seconds", "kind"), "{{kind}} p50"),
                (quantile(0.99, f"{CONSUMER}_delay_seconds", "kind"), "{{kind}} p99"),
            ),
            "Of the oldest record of each batch.",
        ),
        Panel(
            "Records by what became of them",
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
            "Tries that failed",
            "cps",
            ((rate(f"{CONSUMER}_failures_total", "kind", "what"), "{{kind}}: {{what}}"),),
            "They are tried again until they succeed; nothing is skipped.",
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
            "Partitions handed out, writes fenced",
            "none",
            (
                (f"sum by (kind) (increase({CONSUMER}_rebalances_total[$__rate_interval]))", "{{kind}} rebalances"),
                (f"sum by (kind) (increase({CONSUMER}_fenced_writes_total[$__rate_interval]))", "{{kind}} fenced"),
            ),
        ),
    ),
}
