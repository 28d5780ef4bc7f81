"""Settings: what a variable sets, and what a bad one says."""

from __future__ import annotations

import os
import runpy
from ipaddress import ip_network
from pathlib import Path

import pytest

from tracefuse.tools import Settings, SettingsError, load_settings
from tracefuse.tools.config._settings import SETTINGS

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_settings_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRACEFUSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRACEFUSE_CONFIG", "")


@pytest.mark.parametrize(
    ("variable", "value", "path", "expected"),
    [
        ("TRACEFUSE_BREAKER_FAILURE_THRESHOLD", "3", "breaker.failure_threshold", 3),
        ("TRACEFUSE_NMAP_PATH", "/opt/nmap", "nmap.path", "/opt/nmap"),
        ("TRACEFUSE_POLICY_NETWORKS", "10.0.0.0/8, fd00::/8", "policy.networks",
         (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))),
        ("TRACEFUSE_POLICY_DOMAINS", ".lab.internal,.test", "policy.domains", (".lab.internal", ".test")),
        ("TRACEFUSE_POLICY_ALLOW_INTRUSIVE", "true", "policy.allow_intrusive", True),
        ("TRACEFUSE_TELEMETRY_TRACE_URL", "http://x/{trace_id}", "telemetry.trace_url", "http://x/{trace_id}"),
        ("TRACEFUSE_CACHE_DIR", "/tmp/t", "cache_dir", Path("/tmp/t")),
        ("TRACEFUSE_QUEUE_PER_TOOL", "2", "queue.per_tool", 2),
        ("TRACEFUSE_QUEUE_LENGTH", "0", "queue.length", 0),
        ("TRACEFUSE_NMAP_OUTPUT_LIMIT", "1000000", "nmap.output_limit", 1_000_000),
    ],
)  # fmt: skip
def test_a_variable_sets_its_field(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, path: str, expected: object
) -> None:
    monkeypatch.setenv(variable, value)
    found: object = load_settings()
    for part in path.split("."):
        found = getattr(found, part)
    assert found == expected


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TRACEFUSE_BREAKER_FAILURE_THRESHOLD", "0", "it should be from 1 up to 1000; for example"),
        ("TRACEFUSE_BREAKER_RECOVERY_TIMEOUT", "nan", "TRACEFUSE_BREAKER_RECOVERY_TIMEOUT=60.0"),
        ("TRACEFUSE_RETRY_ATTEMPTS", "two", "valid integer"),
        ("TRACEFUSE_POLICY_ALLOW_INTRUSIVE", "perhaps", "valid boolean"),
        ("TRACEFUSE_POLICY_NETWORKS", "10.0.0.1/8", "host bits"),
        ("TRACEFUSE_NMAP_PTAH", "x", "there is no such setting; did you mean TRACEFUSE_NMAP_PATH?"),
        ("TRACEFUSE_NMAP", "/usr/bin/nmap", "it is a group of settings: TRACEFUSE_NMAP_PATH"),
        ("TRACEFUSE_TEMPLATES", "{", "it is JSON; for example"),
        ("TRACEFUSE_SERVE_PORT", "65536", "from 0 up to 65535"),
    ],
)
def test_a_bad_value_names_the_variable_and_what_would_be_right(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert (caught.value.variable, caught.value.value) == (variable, value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_page_of_settings_is_the_one_that_the_code_makes() -> None:
    made = runpy.run_path(str(ROOT / "docs/generate_settings.py"))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"](), "run `python docs/generate_settings.py`"


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, setting in SETTINGS.items() if not setting.description] == []


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().breaker.failure_threshold = 1  # type: ignore[misc]
