"""`crossrec console`: its options and what is built from them; heavy modules are imported when the command runs."""

from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Option

from services.load import options as o
from services.settings.terminal import open_console

page = partial(Option, rich_help_panel="The page")
server = partial(Option, rich_help_panel="The servers")

Ranking = Annotated[str, server(help="Ranking server, host:port. Default: ranking.listen of the settings.")]
Gateway = Annotated[str, server(help="Event gateway, host:port. Default: gateway.listen of the settings.")]
ServerToken = Annotated[Path | None, server(help="File with the bearer token to send to both servers.")]
GatewayToken = Annotated[Path | None, server(help="File with the gateway's token, where it differs.")]
Deadline = Annotated[float, server(help="Deadline of each call: seconds.", min=0.1)]
Publish = Annotated[bool, server("--publish", help="Allow publishing events; otherwise the console is read-only.")]
Host = Annotated[str, page(help="Address to listen on; other than loopback it needs --token-file.")]
Port = Annotated[int, page(help="Port of the pages.", min=1, max=65535)]
PageToken = Annotated[Path | None, page("--token-file", help="File with the token that opens the pages.")]
Origins = Annotated[
    list[str] | None,
    page(
        "--allow-origin", help="Origin of the pages behind a proxy that changes the host, like https://console.example."
    ),
]
Skew = Annotated[Path | None, page(help="Skew report to show: the file of `crossrec skew --json FILE`.")]


def console_command(
    host: Host = "127.0.0.1",
    port: Port = 8060,
    token_file: PageToken = None,
    allow_origin: Origins = None,
    publish: Publish = False,
    ranking: Ranking = "",
    gateway: Gateway = "",
    tls: o.UseTls = False,
    tls_ca: o.TlsCa = None,
    tls_cert: o.TlsCert = None,
    tls_key: o.TlsKey = None,
    tls_server_name: o.TlsServerName = "",
    server_token_file: ServerToken = None,
    gateway_token_file: GatewayToken = None,
    deadline: Deadline = 5.0,
    skew: Skew = None,
) -> None:
    """Open a web page on a running system: rank, see what transfers, publish and watch, compare models, health.

    It calls the servers like any client and reads names from the online store of the settings; Compare loads models
    from the registry itself.
    """
    from services.console.browser_protection import parse_origins
    from services.console.main import ConsoleOptions, run_console
    from services.console.token_auth import check_listen
    from services.load.target import Target, read_metadata, read_tls, read_token
    from services.settings.load import load_settings

    settings = load_settings()
    token = read_token("--token-file", token_file) if token_file else ""
    check_listen(host, token)
    access = read_tls(tls, tls_ca, tls_cert, tls_key, tls_server_name)
    to_ranking = read_metadata(server_token_file, option="--server-token-file")
    to_gateway = read_metadata(gateway_token_file, option="--gateway-token-file") or to_ranking
    options = ConsoleOptions(
        host,
        port,
        token,
        Target(ranking or settings.ranking.listen, 1, deadline, access, to_ranking),
        Target(gateway or settings.gateway.listen, 1, deadline, access, to_gateway),
        publish,
        skew,
        parse_origins(allow_origin or ()),
    )
    can = "may publish events" if publish else "read-only"
    open_console().print(f"CrossRec console at http://{host}:{port}, {can}; Ctrl-C stops it.", highlight=False)
    run_console(settings, options)
