"""`tracefuse config ...`, `--config` and `--set` as a user has them: real processes, files, variables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.cli import Ran, environment, tracefuse


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment whose user has a configuration folder of its own, which is empty."""
    return environment(tmp_path / "cache", XDG_CONFIG_HOME=str(tmp_path / "config"))


def write(folder: Path, text: str, name: str = "tracefuse.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def value(ran: Ran, name: str) -> tuple[object, str]:
    assert ran.code == 0, ran.err
    row = next(row for row in ran.json["settings"] if row["name"] == name)
    return row["value"], row["from"]


def test_show_has_every_setting_with_its_origin(tmp_path: Path, env: dict[str, str]) -> None:
    path = write(tmp_path, '[queue]\ntotal = 3\n[telemetry]\ntrace_url = "https://me:hunter2@x/{trace_id}"\n')
    env |= {"TRACEFUSE_RETRY_ATTEMPTS": "4"}
    ran = tracefuse("--config", str(path), "--set", "nmap.timeout=5", "config", "show", "--json", env=env)
    assert value(ran, "queue.total") == (3, f"{path}:2")
    assert value(ran, "retry.attempts") == (4, "TRACEFUSE_RETRY_ATTEMPTS")
    assert value(ran, "nmap.timeout") == (5.0, "--set nmap.timeout")
    assert value(ran, "queue.length") == (100, "default")
    assert value(ran, "telemetry.trace_url") == ("https://me:[redacted]@x/{trace_id}", f"{path}:4")
    assert (ran.json["file"], len(ran.json["digest"])) == (str(path), 12)
    lines = tracefuse("--config", str(path), "config", "show", "--changed", env=env)
    assert lines.out.splitlines()[2:4] == [
        "retry.attempts = 4   # TRACEFUSE_RETRY_ATTEMPTS",
        f"queue.total = 3   # {path}:2",
    ]
    assert "hunter2" not in lines.out


def test_the_file_of_the_user_is_used_and_none_of_the_working_folder(
    tmp_path: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del env["TRACEFUSE_CONFIG"]
    write(tmp_path / "here", "[policy]\nallow_intrusive = true\n")
    monkeypatch.chdir(tmp_path / "here")
    assert value(tracefuse("config", "show", "--json", env=env), "policy.allow_intrusive") == (False, "default")
    path = write(tmp_path / "config/tracefuse", "[queue]\ntotal = 3\n")
    assert value(tracefuse("config", "show", "--json", env=env), "queue.total") == (3, f"{path}:2")
    other = write(tmp_path, "queue: {total: 5}", "other.yaml")
    found = tracefuse("config", "show", "--json", env={**env, "TRACEFUSE_CONFIG": str(other)})
    assert value(found, "queue.total") == (5, f"{other}:1")


def test_check_tells_all_that_is_wrong_and_the_code_says_so(tmp_path: Path, env: dict[str, str]) -> None:
    path = write(tmp_path, '[policy]\nmax_adresses = 1\nnetworks = ["10.0.0.1/8"]\n[serve]\nport = 99999\n')
    ran = tracefuse("config", "check", str(path), env=env)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        (
            f"tracefuse: {path}:2: policy.max_adresses='1' cannot be used: there is no such setting; "
            "did you mean policy.max_addresses?"
        ),
        (
            f"tracefuse: {path}:3: policy.networks=\"['10.0.0.1/8']\" cannot be used: 10.0.0.1/8 has host bits set; "
            'for example networks = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", '
            '"fc00::/7"]'
        ),
        (
            f"tracefuse: {path}:5: serve.port='99999' cannot be used: it should be from 0 up to 65535; "
            "for example port = 8080"
        ),
    ]
    answer = tracefuse("config", "check", str(path), "--json", env=env)
    assert (answer.code, answer.json["usable"]) == (2, False)
    assert [(problem["setting"], problem["line"]) for problem in answer.json["problems"]] == [
        ("policy.max_adresses", 2),
        ("policy.networks", 3),
        ("serve.port", 5),
    ]


def test_check_finds_what_only_shows_when_settings_meet(tmp_path: Path, env: dict[str, str]) -> None:
    path = write(tmp_path, '[templates]\nweb = "-oN x"\n[serve]\nhost = "0.0.0.0"\n')
    ran = tracefuse("--config", str(path), "config", "check", env=env)
    assert ran.code == 2
    assert "templates='web' cannot be used: '-oN'" in ran.err
    assert "serve.host='0.0.0.0' cannot be used: off loopback" in ran.err


def test_a_good_file_is_said_to_be_good(tmp_path: Path, env: dict[str, str]) -> None:
    path = write(tmp_path, "[queue]\ntotal = 3\n")
    ran = tracefuse("config", "check", str(path), env=env)
    assert (ran.code, ran.out, ran.err) == (0, f"{path} can be used\n", "")


def test_the_example_passes_its_own_check(tmp_path: Path, env: dict[str, str]) -> None:
    path = write(tmp_path, tracefuse("config", "example", env=env).out)
    assert tracefuse("config", "check", str(path), env=env).code == 0


def test_the_schema_is_one(env: dict[str, str]) -> None:
    from jsonschema import Draft202012Validator

    schema = tracefuse("config", "schema", env=env).json
    Draft202012Validator.check_schema(schema)
    assert Draft202012Validator(schema).is_valid({"queue": {"total": 3}})


def test_other_commands_take_the_configuration_too(tmp_path: Path, env: dict[str, str]) -> None:
    path = write(tmp_path, '[policy]\nnetworks = ["10.0.0.0/24"]\n')
    ran = tracefuse("--config", str(path), "scan", "127.0.0.1", "--dry-run", "--json", env=env)
    assert ran.code == 2
    assert json.loads(ran.out)["error"]["rule"] == "target.network"
    ran = tracefuse("--set", "policy.max_addresses=2", "scan", "10.0.0.0/24", "--dry-run", env=env)
    assert ran.code == 2
    assert "2" in ran.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--set", "policy.max_addresses", "config", "show"), "write --set NAME=VALUE"),
        (("--set", "=1", "config", "show"), "write --set NAME=VALUE"),
        (("--set", "queue.totl=1", "config", "show"), "did you mean queue.total?"),
        (("--config", "/nowhere/x.toml", "scan", "127.0.0.1"), "/nowhere/x.toml: it cannot be read: No such file"),
        (("--config", "/dev/zero", "config", "show"), "ends in .toml"),
    ],
)
def test_a_bad_option_ends_with_one_line_and_code_2(env: dict[str, str], args: tuple[str, ...], said: str) -> None:
    ran = tracefuse(*args, env=env)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_an_old_name_is_one_warning_and_the_command_goes_on(env: dict[str, str]) -> None:
    ran = tracefuse("scan", "10.0.0.0/30", "--dry-run", env={**env, "MCP_SECURITY_CONCURRENCY_LIMIT": "3"})
    assert ran.code == 0
    assert ran.err.splitlines() == [
        "tracefuse: MCP_SECURITY_CONCURRENCY_LIMIT is deprecated: use TRACEFUSE_QUEUE_TOTAL"
    ]


def test_a_command_that_cannot_start_tells_every_mistake_in_a_line_of_its_own(
    tmp_path: Path, env: dict[str, str]
) -> None:
    path = write(tmp_path, "[queue]\ntotal = 0\nlength = -1\n")
    ran = tracefuse("--config", str(path), "scan", "127.0.0.1", "--json", env=env)
    assert ran.code == 2
    assert [line.partition(" cannot")[0] for line in ran.err.splitlines()] == [
        f"tracefuse: {path}:2: queue.total='0'",
        f"tracefuse: {path}:3: queue.length='-1'",
    ]
    assert len(ran.json["error"]["problems"]) == 2
