"""`tracefuse metrics`: how the tools of a running service do, from its /metrics."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.live import Live

from .._exit import ExitCode
from ._bearer import bearer_headers, read_token
from ._metrics_scrape import figures, read_scrape
from ._metrics_svg import latency_svg
from ._metrics_view import History, as_csv, as_json, as_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._metrics_scrape import Figures, Scrape

__all__ = ["DEFAULT_URL", "show_metrics"]

DEFAULT_URL: Final = "http://127.0.0.1:8080/metrics"
_LONGEST_REASON: Final = 200
_TIMEOUT: Final = 5.0
_MAX_BYTES: Final = 64 * 1024 * 1024


def show_metrics(
    url: str = DEFAULT_URL,
    *,
    once: bool = False,
    as_what: str = "table",
    interval: float = 2.0,
    svg: str | None = None,
    token_file: str | None = None,
    fetch: Callable[[str], str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> ExitCode:
    """Show the tools' rates, failures, quantiles and the breakers, live until interrupted, or `once`.

    `as_what` is "table", "json" or "csv"; the latter two and `svg`, a file for the latency distribution,
    are written once, from two scrapes `interval` seconds apart (with `once` from one). `token_file` holds
    the token of a service that asks for one: a file, because arguments are seen by every user.
    """
    try:
        url = _of_metrics(url)
        get = fetch or partial(_fetch, token=read_token(token_file))
        first = _scrape(get, url)
        if once or as_what != "table" or svg is not None:
            found = figures(first) if once else _after(first, get, url, interval, sleep)
            _print(found, as_what, svg)
        else:
            _watch(first, get, url, interval, sleep)
    except (OSError, ValueError) as error:
        if as_what == "json":
            click.echo(json.dumps({"error": {"type": "no_metrics", "message": _reason(error), "url": url}}, indent=2))
        click.echo(f"tracefuse: no metrics from {url}: {_reason(error)}", err=True)
        return ExitCode.FAILED
    return ExitCode.DONE


def _of_metrics(url: str) -> str:
    """The service's own address means its metrics, too.

    >>> _of_metrics("http://127.0.0.1:8080/"), _of_metrics("https://gate.example/tf/metrics")
    ('http://127.0.0.1:8080/metrics', 'https://gate.example/tf/metrics')
    """
    parts = urlsplit(url)
    return parts._replace(path="/metrics").geturl() if parts.netloc and parts.path in {"", "/"} else url


def _scrape(get: Callable[[str], str], url: str) -> Scrape:
    return read_scrape(get(url), time.monotonic())


def _after(
    first: Scrape, get: Callable[[str], str], url: str, interval: float, sleep: Callable[[float], None]
) -> Figures:
    sleep(interval)
    return figures(_scrape(get, url), first)


def _print(found: Figures, as_what: str, svg: str | None) -> None:
    if svg is not None:
        Path(svg).write_text(latency_svg(found), encoding="utf-8")
    match as_what:
        case "json":
            click.echo(as_json(found))
        case "csv":
            click.echo(as_csv(found), nl=False)
        case _:
            Console().print(as_table(found))


def _watch(last: Scrape, get: Callable[[str], str], url: str, interval: float, sleep: Callable[[float], None]) -> None:
    history = History()
    with Live(as_table(figures(last), history), auto_refresh=False) as live:
        while True:
            sleep(interval)
            scrape = _scrape(get, url)
            found = figures(scrape, last)
            history.add(found)
            live.update(as_table(found, history), refresh=True)
            last = scrape


def _fetch(url: str, *, token: str | None = None) -> str:
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url!r} is no http:// or https:// address")
    request = urllib.request.Request(url, headers=bearer_headers(token))  # noqa: S310 - the scheme was checked
    with _opener.open(request, timeout=_TIMEOUT) as answer:
        return str(answer.read(_MAX_BYTES).decode("utf-8", "replace"))


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the token is for the address that was given."""

    def redirect_request(self, req: object, fp: object, code: int, msg: str, headers: object, newurl: str) -> None:
        return None


_opener: Final = urllib.request.build_opener(_StayHere)


def _reason(error: Exception) -> str:
    match error:
        case urllib.error.HTTPError(code=401 | 403 as code):
            return f"the service answers {code}: it wants a token that may read; give it with --token-file FILE"
        case urllib.error.HTTPError(code=code):
            return f"the service answers {code}"
        case urllib.error.URLError(reason=reason):
            return f"{reason}; is `tracefuse serve` running there?"
        case _:
            return _shortened(str(error)) or type(error).__qualname__


def _shortened(text: str) -> str:
    """What a parser says of a page may hold all of it."""
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."
