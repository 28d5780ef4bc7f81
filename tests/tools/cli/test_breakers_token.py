"""`tracefuse breakers --url` shows a token to a service that wants one, and says so when it lacks one."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracefuse.resilience import BreakerConfig, CircuitBreaker
from tracefuse.tools._breaker_sources import view_of
from tracefuse.tools.cli._breakers import breakers


@pytest.fixture
def guarded() -> Iterator[str]:
    """A service whose breakers only the holder of a token sees; that one may not operate."""

    view = view_of(CircuitBreaker.from_config("nmap", BreakerConfig()))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == "Bearer tf_read"
            self.answer(200 if known else 401, {"breakers": [view]} if known else {})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.answer(403, {"detail": "no"})

        def answer(self, status: int, body: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body, default=str).encode())

        log_message = lambda *_: None  # noqa: E731 - be quiet

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(breakers, list(arguments))
    return result.exit_code, result.output


def test_the_token_of_a_file_is_shown_to_the_service(guarded: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("tf_read\n", encoding="utf-8")
    code, said = run("list", "--url", guarded, "--token-file", str(file), "--json")
    assert (code, json.loads(said)["breakers"][0]["name"]) == (0, "nmap")
    code, said = run("open", "nmap", "--url", guarded, "--token-file", str(file))
    assert code != 0
    assert "403: it wants a token that may operate" in said
    assert "tf_read" not in said


@pytest.mark.parametrize(
    ("held", "words"), [(None, "may read; give it with --token-file FILE"), ("tf_bad", "401"), ("", "holds no token")]
)
def test_a_token_that_is_missing_or_unusable_is_said(
    guarded: str, tmp_path: Path, held: str | None, words: str
) -> None:
    file = tmp_path / "token"
    file.write_text(held or "", encoding="utf-8")
    chosen = () if held is None else ("--token-file", str(file))
    code, said = run("list", "--url", guarded, *chosen)
    assert code != 0
    assert words in said
