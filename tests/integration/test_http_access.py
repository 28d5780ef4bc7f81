"""The service off loopback: nobody comes in without TLS and a token, and a revoked token ends at once."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.cli import COMMAND, environment, tracefuse
from support.polling import eventually

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl, to make a certificate")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A service on all addresses, with a certificate for this machine and a token file."""
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*request, *names, *files], check=True, capture_output=True, timeout=30)
    return environment(
        tmp_path / "cache",
        TRACEFUSE_SERVE_HOST="0.0.0.0",
        TRACEFUSE_SERVE_TLS_CERT=str(tmp_path / "cert.pem"),
        TRACEFUSE_SERVE_TLS_KEY=str(tmp_path / "key.pem"),
        TRACEFUSE_SERVE_TOKENS_FILE=str(tmp_path / "tokens.json"),
    )


@pytest.fixture
def client(env: dict[str, str], tmp_path: Path) -> Iterator[tuple[httpx.Client, str]]:
    """A client that trusts the certificate, and a token with the role read."""
    made = tracefuse("token", "create", "ann", "--role", "read", env=env)
    with subprocess.Popen([*COMMAND, "serve", "--port", "0"], env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = httpx.URL(process.stdout.readline().split()[-1]).port
            trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
            with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust) as asking:
                eventually(lambda: asking.get("/livez").is_success, "the service to answer")
                yield asking, made.out.strip()
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_a_token_opens_and_its_end_closes(client: tuple[httpx.Client, str], env: dict[str, str]) -> None:
    asking, token = client
    held = {"authorization": f"Bearer {token}"}
    assert asking.get("/scans").status_code == 401
    assert asking.get("/scans", headers=held).status_code == 200
    assert asking.post("/scans", json={"targets": ["127.0.0.1"]}, headers=held).status_code == 403
    assert asking.get("/scans", headers={**held, "host": "evil.example"}).status_code == 400
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(str(asking.base_url).replace("https", "http"))
    assert tracefuse("token", "revoke", "ann", env=env).code == 0
    eventually(lambda: asking.get("/scans", headers=held).status_code == 401, "the token to end")


@pytest.mark.parametrize(
    ("missing", "said"),
    [("TRACEFUSE_SERVE_TOKENS_FILE", "tracefuse token create"), ("TRACEFUSE_SERVE_TLS_CERT", "TLS")],
)
def test_it_does_not_start_where_strangers_could_use_it(env: dict[str, str], missing: str, said: str) -> None:
    ran = tracefuse("serve", "--port", "0", env={key: value for key, value in env.items() if key != missing})
    assert ran.code == 2
    assert said in ran.err


def test_it_does_not_start_with_tokens_that_others_may_write(env: dict[str, str], tmp_path: Path) -> None:
    tracefuse("token", "create", "ann", env=env)
    (tmp_path / "tokens.json").chmod(0o666)
    ran = tracefuse("serve", "--port", "0", env=env)
    assert ran.code == 2
    assert "chmod 600" in ran.err
