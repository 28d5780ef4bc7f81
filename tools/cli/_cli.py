"""`tracefuse` at the terminal: the commands, their help, and one meaning for each exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .._exit import exit_codes
from ._breakers import breakers
from ._config import config, config_options, doctor
from ._history import history
from ._operations import dashboards, sidecar
from ._schedule import schedule
from ._token import token

__all__ = ["cli"]

_EXIT_CODES = """\b
Exit codes:
  0    done
  1    the scan failed (nmap missing, failing, or out of time)
  2    refused by the policy, bad usage, or a bad setting; nothing was started
  3    the circuit is open after too many failures; try again later
  130  interrupted; what had been found was printed
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EXIT_CODES)
@click.version_option(package_name="tracefuse", prog_name="tracefuse")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="Configuration file.  [default: TRACEFUSE_CONFIG, else ~/.config/tracefuse/tracefuse.toml if it is there]",
)
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set one: --set policy.max_addresses=10; may be repeated.",
)
@click.pass_context
def cli(context: click.Context, config_file: Path | None, pairs: tuple[str, ...]) -> None:
    """Run nmap as a guarded, fully observable operation.

    Every scan is checked against a policy, goes through retry and a circuit breaker, and is told as
    one OpenTelemetry trace. Start with `tracefuse demo`.

    \b
    Examples:
      tracefuse demo
      tracefuse scan 127.0.0.1
      tracefuse scan 192.168.1.0/24 --template discovery --json
      OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 tracefuse scan 10.0.0.5
    """
    context.obj = config_options(config_file, pairs)


# What a command needs is imported inside it: `tracefuse --help` answers without loading the SDK.


_form = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv", "markdown", "text", "xml"]),
    default="table",
    show_default=True,
    help="How to print the result; text and xml as nmap writes them.",
)


@cli.command()
@click.argument("targets", nargs=-1, required=True)
@click.option(
    "-t", "--template", default="quick", show_default=True, help="Kind of scan; `tracefuse templates` lists them."
)
@click.option("-a", "--args", "extra_args", default="", help="More nmap options in one string: --args '-p 80,443 -sV'.")
@click.option("-x", "--exclude", multiple=True, help="An address or network to leave out; may be repeated.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds for one run of nmap.")
@click.option("--dry-run", is_flag=True, help="Show what would be run, or why it is refused; start nothing.")
@click.option("--no-history", is_flag=True, help="Do not keep this scan in the history.")
@_form
@click.option("--json", "as_json", is_flag=True, help="The same as --format json; errors are JSON then, too.")
def scan(
    targets: tuple[str, ...],
    template: str,
    extra_args: str,
    exclude: tuple[str, ...],
    timeout: float | None,
    dry_run: bool,
    no_history: bool,
    form: str,
    as_json: bool,
) -> None:
    """Scan TARGETS: addresses, networks, ranges, or names under an allowed domain.

    By default only loopback, RFC 1918 and unique-local IPv6 addresses may be scanned, at most 1,024 at
    once, with options that neither read nor write files nor disturb others.

    \b
    Examples:
      tracefuse scan 127.0.0.1
      tracefuse scan 10.0.0.0/24 10.0.1.7 --exclude 10.0.0.1 --template standard
      tracefuse scan 192.168.1.10-20 --args '-p 22,80,443 --open'
      tracefuse scan 10.0.0.5 --template thorough --dry-run
    """
    form = "json" if as_json else form
    with exit_codes(as_json=form == "json"):
        from ..nmap import ScanRequest
        from ._scan_command import run_scan, show_plan

        request = ScanRequest(
            targets=targets, template=template, extra_args=extra_args, exclude=exclude, timeout=timeout
        )
        sys.exit(show_plan(request, form) if dry_run else run_scan(request, form, keep=not no_history))


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def templates(as_json: bool) -> None:
    """List the scan templates: what each sends, and roughly how long it takes."""
    from ._list_command import list_templates

    with exit_codes(as_json=as_json):
        list_templates(as_json=as_json)


@cli.command()
@click.argument("result")
@_form
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def show(result: str, form: str, as_json: bool) -> None:
    """Print the scan result RESULT, a file or a scan's id, in any form.

    A file holds nmap's XML, grepable or normal output, or JSON from `tracefuse scan --json`. An id may be
    shortened as long as it is the only one that begins so; `tracefuse history` lists them.

    \b
    Examples:
      nmap -oX scan.xml 127.0.0.1
      tracefuse show scan.xml --format csv
      tracefuse show 4f2a
    """
    form = "json" if as_json else form
    with exit_codes(as_json=form == "json"):
        from ._history_session import show_result

        show_result(result, form)


@cli.command()
@click.argument("old")
@click.argument("new", required=False)
@click.option("--ignore-script", "scripts", multiple=True, help="Leave this script's output out; may be repeated.")
@click.option("--ignore-udp-open-filtered", "udp", is_flag=True, help="UDP ports that only did not answer are no news.")
@click.option("--json", "as_json", is_flag=True, help="Print the changes as JSON.")
def diff(old: str, new: str | None, scripts: tuple[str, ...], udp: bool, as_json: bool) -> None:
    """Show what changed from the scan in OLD to the scan in NEW: files, or ids of scans in the history.

    With one id alone: what changed to that scan from the last one before it that asked the same. Files
    hold nmap XML, or JSON from `tracefuse scan --json`. Exit code 1 when something changed.

    \b
    Examples:
      tracefuse diff 4f2a
      tracefuse diff 4f2a 9c01
      tracefuse scan 127.0.0.1 --json > monday.json
      tracefuse scan 127.0.0.1 --json > tuesday.json
      tracefuse diff monday.json tuesday.json
    """
    with exit_codes(as_json=as_json):
        from ._diff_command import show_diff

        sys.exit(show_diff(old, new, as_json=as_json, ignore_scripts=scripts, ignore_udp_open_filtered=udp))


@cli.command()
@click.option(
    "--save-svg", type=click.Path(dir_okay=False, writable=True), help="Also save what was shown as a picture."
)
def demo(save_svg: str | None) -> None:
    """Watch Tracefuse do its job, on loopback, in under a minute.

    Two small services are started and scanned; one closes, another opens, and the change is shown. A
    scanner that fails opens the circuit, which refuses calls and then recovers. What is printed after
    that (the trace, the breaker's history, the metrics) is read back from what was recorded.
    """
    with exit_codes():
        from ._demo import run_demo

        sys.exit(run_demo(save_svg))


@cli.command()
@click.option("--host", help="Address to listen on; off loopback only with tokens and TLS.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; 0 takes a free one.  [default: 8080]")
@click.option("--mcp", type=click.Choice(["http", "stdio"]), help="Serve agents: at /mcp, or on standard input.")
@click.option("--sidecar", is_flag=True, default=None, help="Run a collector beside it, as `tracefuse sidecar` does.")
def serve(host: str | None, port: int | None, mcp: str | None, sidecar: bool | None) -> None:
    """Run the service: scans over HTTP, schedules, history, and /metrics for Prometheus.

    Without any configuration it listens on loopback only and keeps what it knows in the user's folders.
    SIGTERM and Ctrl-C let running scans finish for a while; a second one does not wait.

    \b
    Example:
      tracefuse serve --port 8080
      curl -s http://127.0.0.1:8080/metrics
      curl -s http://127.0.0.1:8080/scans -H 'content-type: application/json' -d '{"targets": ["127.0.0.1"]}'
      tracefuse serve --mcp stdio
    """
    with exit_codes():
        from ._serve_command import run_service
        from ._session import config_source

        given = {"serve.host": host, "serve.port": port, "serve.mcp": mcp, "sidecar.enabled": sidecar}
        sys.exit(run_service(config_source({name: value for name, value in given.items() if value is not None})))


@cli.command()
@click.option("--url", default="http://127.0.0.1:8080/metrics", show_default=True, help="The service, or its /metrics.")
@click.option("--once", is_flag=True, help="Show one scrape and end.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the tools as CSV.")
@click.option("--interval", type=click.FloatRange(min=0.1), default=2.0, show_default=True, help="Seconds.")
@click.option("--svg", type=click.Path(dir_okay=False, writable=True), help="Write the latency distribution there.")
@click.option("--token-file", type=click.Path(dir_okay=False), help="File with the token, if the service wants one.")
def metrics(
    url: str, once: bool, as_json: bool, as_csv: bool, interval: float, svg: str | None, token_file: str | None
) -> None:
    """Watch how the tools of a running service do: rates, failures, quantiles, breakers.

    \b
    Example:
      tracefuse serve &
      tracefuse metrics
      tracefuse metrics --once --json
    """
    with exit_codes(as_json=as_json):
        from ._metrics_command import show_metrics

        form = "json" if as_json else "csv" if as_csv else "table"
        sys.exit(show_metrics(url, once=once, as_what=form, interval=interval, svg=svg, token_file=token_file))


cli.add_command(breakers)
cli.add_command(config)
cli.add_command(dashboards)
cli.add_command(doctor)
cli.add_command(history)
cli.add_command(schedule)
cli.add_command(sidecar)
cli.add_command(token)
