"""The options of `crossrec load`, each with its help."""

from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Option

send = partial(Option, rich_help_panel="What to send")
profile = partial(Option, rich_help_panel="When to send it: one of --rate, --steps and --ramp")
server = partial(Option, rich_help_panel="The server")
output = partial(Option, rich_help_panel="Output")

Target = Annotated[str, server(help="Ranking server, host:port. Default: ranking.listen of the settings.")]
Requests = Annotated[Path | None, send(help="JSON lines file of requests, a RankRequest in JSON form each.")]
Data = Annotated[str, send(help="Make requests from this imported data set instead of --requests.")]
SaveRequests = Annotated[Path | None, send(help="Write the requests as JSON lines; without a profile, do only that.")]
Distinct = Annotated[int, send(help="With --data: number of different requests; a longer run repeats them.")]
Candidates = Annotated[int, send(help="With --data: items per request.")]
Users = Annotated[str, send(help="With --data: zipf (the n-th busiest asks as often as 1/n) or uniform.")]
Explain = Annotated[bool | None, send("--explain/--no-explain", help="Request explanations, or none.")]
TopK = Annotated[int | None, send(help="Items to return; 0: all.", min=0, max=2000)]

Rate = Annotated[float | None, profile(help="Steady: requests per second.")]
Duration = Annotated[float | None, profile(help="With --rate: seconds; default 30.")]
Steps = Annotated[str, profile(help="Stepped: rates one after another, like 100,200,400,100.")]
StepDuration = Annotated[float, profile(help="With --steps and --ramp: seconds per step.")]
Ramp = Annotated[bool, profile("--ramp", help="Find the capacity: raise the rate until it is not held, then bisect.")]
RampStart = Annotated[float, profile(help="With --ramp: first rate.")]
RampFactor = Annotated[float, profile(help="With --ramp: factor by which the rate is raised.")]
RampHighest = Annotated[float, profile(help="With --ramp: highest rate that is tried.")]
Precision = Annotated[float, profile(help="With --ramp: relative width at which bisection ends.")]
MinGoodput = Annotated[float, profile(help="A rate is held if at least this share is answered ...")]
MaxP99 = Annotated[float, profile("--max-p99", help="... and the p99 is at most so many milliseconds.")]
Arrivals = Annotated[str, profile(help="poisson (independent users) or constant (equal gaps).")]
WarmUp = Annotated[float, profile(help="Seconds of warm-up at the first rate, not counted.")]
Seed = Annotated[int, profile(help="Seed of arrivals, users and candidates.", min=0)]

Deadline = Annotated[float, server(help="Deadline of each request: seconds from sending.")]
Retry = Annotated[bool, server("--retry", help="Retry UNAVAILABLE and RESOURCE_EXHAUSTED, four attempts in all.")]
Clients = Annotated[int, server(help="Client processes.", min=1, max=64)]
Channels = Annotated[int, server(help="Connections per client process.", min=1, max=256)]
UseTls = Annotated[bool, server("--tls", help="Use TLS; implied by --tls-ca and --tls-cert.")]
TlsCa = Annotated[Path | None, server(help="PEM file: certificate authorities of the server.")]
TlsCert = Annotated[Path | None, server(help="PEM file: the client's certificate (mutual TLS).")]
TlsKey = Annotated[Path | None, server(help="PEM file: the key of --tls-cert.")]
TlsServerName = Annotated[str, server(help="Name in the server's certificate where it is not the host.")]
TokenFile = Annotated[Path | None, server(help="File with the bearer token to send.")]
Metadata = Annotated[list[str] | None, server(help="Metadata to send, key=value; may be repeated.")]

JsonFile = Annotated[Path | None, output("--json", help="Write the results to this file, as JSON.")]
Report = Annotated[Path | None, output(help="Write the report to this file, one HTML page.")]
