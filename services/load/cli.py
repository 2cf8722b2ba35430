"""`crossrec load`: its options and what is built from them; heavy modules are imported when the command runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from services.load import options as o

if TYPE_CHECKING:
    from services.load.command import RequestsOfData


def load_command_with(requests_of_data: "RequestsOfData") -> Callable[..., None]:
    """The command; `requests_of_data` is called for --data only: a serving environment has no data sets."""

    def load(
        target: o.Target = "",
        requests: o.Requests = None,
        data: o.Data = "",
        save_requests: o.SaveRequests = None,
        distinct: o.Distinct = 2000,
        candidates: o.Candidates = 200,
        users: o.Users = "zipf",
        explain: o.Explain = None,
        top_k: o.TopK = None,
        rate: o.Rate = None,
        duration: o.Duration = None,
        steps: o.Steps = "",
        step_duration: o.StepDuration = 10.0,
        ramp: o.Ramp = False,
        ramp_start: o.RampStart = 50.0,
        ramp_factor: o.RampFactor = 1.5,
        ramp_highest: o.RampHighest = 100_000.0,
        precision: o.Precision = 0.05,
        min_goodput: o.MinGoodput = 0.95,
        max_p99: o.MaxP99 = 250.0,
        arrivals: o.Arrivals = "poisson",
        warm_up: o.WarmUp = 0.0,
        seed: o.Seed = 0,
        deadline: o.Deadline = 2.0,
        retry: o.Retry = False,
        clients: o.Clients = 1,
        channels: o.Channels = 4,
        tls: o.UseTls = False,
        tls_ca: o.TlsCa = None,
        tls_cert: o.TlsCert = None,
        tls_key: o.TlsKey = None,
        tls_server_name: o.TlsServerName = "",
        token_file: o.TokenFile = None,
        metadata: o.Metadata = None,
        json_file: o.JsonFile = None,
        report: o.Report = None,
    ) -> None:
        """Offer requests to a ranking server on a fixed schedule and measure latency and goodput.

        The loop is open: a slow server does not slow the requests down, and latencies count from the time a
        request was due. Ctrl-C ends the run early; results until then are still reported.
        """
        from services.load.command import make_workload, run_load_command
        from services.load.knee import Search
        from services.load.profiles import StepBounds, check_positive, make_profile
        from services.load.target import Target, read_metadata, read_tls
        from services.load.workload import Shape, check_shape, set_options
        from services.settings.load import load_settings

        shape = check_shape(Shape(distinct, candidates, users, seed))
        search, bounds = Search(ramp_start, ramp_factor, ramp_highest, precision), StepBounds(min_goodput, max_p99)
        only_save = bool(save_requests) and rate is None and not steps and not ramp
        profile = None
        if not only_save:
            profile = make_profile(rate, duration, steps, step_duration, ramp, search, bounds, arrivals, seed, warm_up)
        server = Target(
            target or load_settings().ranking.listen,
            channels,
            check_positive("--deadline", deadline),
            read_tls(tls, tls_ca, tls_cert, tls_key, tls_server_name),
            read_metadata(token_file, metadata or ()),
            retry,
        )
        workload = make_workload(requests, data, shape, requests_of_data)
        set_options(workload.requests, explain, top_k)
        run_load_command(server, workload, profile, clients, save_requests, json_file, report)

    return load
