"""Settings from several sources: which one wins, where each value comes from, and all that is wrong at once."""

from __future__ import annotations

import json
import pickle
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools import Settings, SettingsError, load_settings
from tracefuse.tools.cli._config_view import configuration_view, example_file, json_schema
from tracefuse.tools.config._check import check_settings
from tracefuse.tools.config._errors import Origin, OriginKind
from tracefuse.tools.config._legacy_environ import LEGACY_SECTIONS, LEGACY_VARIABLES
from tracefuse.tools.config._settings import SETTINGS, ConfigSource, SettingsWarning, load_configuration
from tracefuse.tools.config._table import shown, toml_value, value_at
from tracefuse.tools.config._view import settings_view

ROOT = Path(__file__).parents[3]
NO_FILE = {"TRACEFUSE_CONFIG": ""}
EXAMPLE, LEVEL = "for example", "--set logging.level=info"
NETWORKS = '["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"]'


def write(folder: Path, text: str, name: str = "tracefuse.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path: Path | None = None, **sources: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_configuration(path, **{"environ": NO_FILE, **sources})  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems
    return [str(problem) for problem in caught.value.problems]


def test_the_command_line_outweighs_the_environment_and_that_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[queue]\ntotal = 1\nper_tool = 1\nlength = 1\n")
    environ = {"TRACEFUSE_QUEUE_PER_TOOL": "2", "TRACEFUSE_QUEUE_LENGTH": "2"}
    configuration = load_configuration(path, {"queue.length": "3"}, environ)
    queue = configuration.settings.queue
    assert (queue.total, queue.per_tool, queue.length) == (1, 2, 3)
    assert [str(configuration.origin(f"queue.{key}")) for key in ("total", "per_tool", "length")] == [
        f"{path}:2", "TRACEFUSE_QUEUE_PER_TOOL", "--set queue.length",
    ]  # fmt: skip
    assert configuration.origin("retry.wait") == Origin(OriginKind.DEFAULT)


_SAMPLES = {
    name: setting.example
    for name, setting in SETTINGS.items()
    if not setting.is_mapping and setting.field.default_factory is None and setting.example is not None
}


@given(st.dictionaries(st.sampled_from(sorted(_SAMPLES)), st.lists(st.sampled_from("fec"), min_size=1, unique=True)))
def test_of_several_sources_the_heaviest_wins_setting_by_setting(
    tmp_path_factory: pytest.TempPathFactory, given_in: dict[str, list[str]]
) -> None:
    sections: dict[str, str] = {}
    environ, overrides = dict(NO_FILE), {}
    for name, sources in given_in.items():
        section, _, key = name.rpartition(".")
        if "f" in sources:
            sections[section] = sections.get(section, "") + f"{key} = {toml_value(_SAMPLES[name])}\n"
        if "e" in sources:
            environ[SETTINGS[name].variable] = shown(_SAMPLES[name])
        if "c" in sources:
            overrides[name] = shown(_SAMPLES[name])
    path = write(
        tmp_path_factory.mktemp("config"), "".join(f"[{section}]\n{lines}" for section, lines in sections.items())
    )
    configuration = load_configuration(path, overrides, environ)
    heaviest = {"c": OriginKind.COMMAND_LINE, "e": OriginKind.ENVIRONMENT, "f": OriginKind.FILE}
    assert {name: configuration.origin(name).kind for name in SETTINGS} == {
        name: next((heaviest[source] for source in "cef" if source in given_in.get(name, ())), OriginKind.DEFAULT)
        for name in SETTINGS
    }
    # The same value, whichever way it was written.
    again = load_configuration(None, {name: shown(_SAMPLES[name]) for name in given_in}, NO_FILE)
    assert configuration.settings == again.settings
    assert configuration.digest == again.digest


def test_everything_that_is_wrong_is_told_at_once_with_its_place_range_and_an_example(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "tempaltes = {}\n[policy]\nmax_adresses = 1\n# too many\nmax_addresses = 0\n"
        'networks = ["10.0.0.0/8", 7]\n'
        "[queue]\ntotal = true\n[nmap]\ntimeout = nan\n[retry]\n",
    )
    environ = {"TRACEFUSE_RETRY_ATTEMPTS": "99", "TRACEFUSE_RETRY_WIAT": "1"}
    expected = f"""\
{path}:1: tempaltes='{{}}' cannot be used: there is no such setting; did you mean templates?
{path}:3: policy.max_adresses='1' cannot be used: there is no such setting; did you mean policy.max_addresses?
{path}:5: policy.max_addresses='0' cannot be used: it should be from 1 up to 1048576; {EXAMPLE} max_addresses = 1024
{path}:6: policy.networks="['10.0.0.0/8', 7]" cannot be used: 7 is no network as a text; {EXAMPLE} networks = {NETWORKS}
{path}:8: queue.total='true' cannot be used: it should be a number, from 1 up to 1000; {EXAMPLE} total = 8
{path}:10: nmap.timeout='nan' cannot be used: it should be above 0 up to 86400; {EXAMPLE} timeout = 300.0
TRACEFUSE_RETRY_WIAT='1' cannot be used: there is no such setting; did you mean TRACEFUSE_RETRY_WAIT?
TRACEFUSE_RETRY_ATTEMPTS='99' cannot be used: it should be from 1 up to 10; {EXAMPLE} TRACEFUSE_RETRY_ATTEMPTS=2
--set logging.level='loud' cannot be used: it should be one of debug, info, warning, error; {EXAMPLE} {LEVEL}"""
    assert problems(path, environ=environ, overrides={"logging.level": "loud"}) == expected.splitlines()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy = 3", "it is a section with the settings policy.networks"),
        ("polcy = {}", "did you mean policy?"),
        ("zzz = 1", "there are alerts, breaker, discovery"),
        ("[policy]\nfailure_threshold = 1", "there are policy.networks"),
        ("[nmap]\npath = 3", "valid string"),
        ('[policy]\nnetworks = ["169.254.0.0/16"]', "never scanned"),
        ("[policy]\nnetworks = []", "non-empty"),
        ("[policy]\nnetworks = 3", "valid tuple"),
        ('[policy]\ndomains = ["-x"]', "domains in lower case"),
        ('[policy]\ndomains = [".lab", 3]', "valid string"),
        ('[queue]\ntotal = "many"', "valid integer, unable to parse string as an integer, from 1 up to 1000"),
        ("[queue]\ntotal = inf", "from 1 up to 1000"),
        ("[queue]\ntotal = 2026-01-01", "valid integer"),
        ('[templates]\nweb = ["-sV"]', "templates.web="),
        ('[schedules.lab]\nevery = "6h"', "schedules.lab.targets="),
        ('[schedules.lab]\ntargets = ["10.0.0.1"]\nevery = "6h"\nevry = 1', "there is no such setting"),
    ],
)
def test_a_mistake_in_a_file_is_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    found = problems(write(tmp_path, text))
    assert len(found) == 1
    assert said in found[0]
    assert "\n" not in found[0]


def test_a_mistake_in_a_table_of_names_has_its_own_line(tmp_path: Path) -> None:
    path = write(
        tmp_path, '[schedules.a]\ntargets = ["10.0.0.1"]\nevery = "6h"\n[schedules.b]\ntargets = []\nevery = "6h"'
    )
    assert problems(path)[0].startswith(f"{path}:5: schedules.b.targets='[]'")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"queue.totl": "1"},
            "--set queue.totl='1' cannot be used: there is no such setting; did you mean queue.total?",
        ),
        ({"nothing.here": "1"}, "`tracefuse config example` has them all"),
        ({"templates": "{"}, 'it is JSON; for example --set templates=\'{"web": "-sV -p 80,443"}\''),
        ({"queue.total": True}, "it should be a number"),
        ({"queue": "1"}, "there is no such setting"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_in_its_form(overrides: dict[str, object], said: str) -> None:
    assert said in problems(overrides=overrides)[0]


def test_a_secret_in_a_value_is_not_repeated(tmp_path: Path) -> None:
    path = write(tmp_path, '[telemetry]\ntrace_url = "https://me:hunter2@x/"\nshutdown_deadline = "password=hunter2"\n')
    assert "hunter2" not in "".join(problems(path))
    configuration = load_configuration(None, {"telemetry.trace_url": "https://me:hunter2@x/"}, NO_FILE)
    assert "hunter2" not in json.dumps(configuration_view(configuration))
    assert settings_view(configuration.settings)["telemetry"]["trace_url"] == "https://me:[redacted]@x/"


def test_a_path_in_a_file_is_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    path = write(
        tmp_path, 'state_dir = "~/state"\n[serve]\ntokens_file = "tokens.json"\ntls_key = "/k"\ntls_cert = ""\n'
    )
    settings = load_settings(path, {"cache_dir": "cache"}, {})
    assert settings.state_dir == Path("/home/ann/state")
    assert settings.serve.tokens_file == tmp_path / "tokens.json"
    assert (settings.serve.tls_key, settings.serve.tls_cert) == (Path("/k"), None)
    assert settings.cache_dir == Path("cache")
    assert load_settings(overrides={"cache_dir": "~no-such-user/x"}, environ=NO_FILE).cache_dir == Path(
        "~no-such-user/x"
    )


def test_folders_follow_the_environment_that_is_given() -> None:
    environ = {**NO_FILE, "XDG_CACHE_HOME": "/c", "XDG_STATE_HOME": "/s"}
    settings = load_settings(environ=environ)
    assert (settings.cache_dir, settings.state_dir) == (Path("/c/tracefuse"), Path("/s/tracefuse"))


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert "for example TRACEFUSE_CACHE_DIR=/tmp/tracefuse" in problems()[0]
    given = {"cache_dir": "/c", "state_dir": "/s"}
    assert load_settings(overrides=given, environ=NO_FILE).cache_dir == Path("/c")


def test_a_variable_that_is_nearly_a_setting_is_a_warning_and_others_are_nobodys_business() -> None:
    environ = {**NO_FILE, "TRACEFUSE_POLCY_NETWORKS": "10.0.0.0/8", "TRACEFUSE_OTELCOL": "x", "TRACEFUSE_ZZZ": "1"}
    assert load_configuration(environ=environ).warnings == (
        "TRACEFUSE_POLCY_NETWORKS is no setting and has no effect; did you mean TRACEFUSE_POLICY_NETWORKS?",
    )


# Names of the earlier server.


def test_an_old_variable_works_with_a_warning_that_names_the_new_one() -> None:
    environ = {
        **NO_FILE,
        "MCP_SECURITY_ALLOW_INTRUSIVE": "true",
        "MCP_DATABASE_URL": "x",
        "MCP_LOGGING_LEVEL": "WARNING",
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        settings = load_settings(environ=environ)
    assert settings.policy.allow_intrusive
    assert settings.logging.level == "warning"
    assert {str(warning.message) for warning in caught} == {
        "MCP_DATABASE_URL has no effect any more: scans are kept in SQLite below state_dir",
        "MCP_LOGGING_LEVEL is deprecated: use TRACEFUSE_LOGGING_LEVEL",
        "MCP_SECURITY_ALLOW_INTRUSIVE is deprecated: use TRACEFUSE_POLICY_ALLOW_INTRUSIVE",
    }
    assert {warning.category for warning in caught} == {SettingsWarning}


def test_a_new_variable_outweighs_the_old_one_and_that_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[serve]\nport = 1\n")
    old = {"MCP_CONFIG_FILE": str(path), "MCP_SERVER_PORT": "2"}
    configuration = load_configuration(environ=old)
    assert configuration.settings.serve.port == 2
    assert configuration.warnings[0] == "MCP_CONFIG_FILE is deprecated: use TRACEFUSE_CONFIG"
    assert load_configuration(environ={**old, "TRACEFUSE_SERVE_PORT": "3"}).settings.serve.port == 3


def test_a_bad_value_of_an_old_variable_is_told_under_its_name() -> None:
    assert problems(environ={**NO_FILE, "MCP_SERVER_PORT": "70000"}) == [
        "MCP_SERVER_PORT='70000' cannot be used: it should be from 0 up to 65535; for example TRACEFUSE_SERVE_PORT=8080"
    ]


def test_what_the_earlier_server_never_read_still_has_no_effect() -> None:
    configuration = load_configuration(environ={**NO_FILE, "MCP_SECURITY_ALLOWED_TARGETS": "8.8.8.0/24"})
    assert configuration.settings.policy == Settings().policy


def test_every_old_name_has_a_successor_or_a_reason() -> None:
    for name, legacy in (LEGACY_SECTIONS | LEGACY_VARIABLES).items():
        assert bool(legacy.gone) != (legacy.setting in SETTINGS), name


@pytest.mark.parametrize("name", ["config.yaml", "config.json"])
def test_a_file_of_the_earlier_server_loads(tmp_path: Path, name: str) -> None:
    old = {
        "database": {"url": "sqlite:///x.db", "pool_size": 10, "max_overflow": 20, "pool_timeout": 30,
                     "pool_recycle": 3600},
        "security": {
            "allowed_targets": ["RFC1918", ".lab.internal", "fd00::/8"], "max_args_length": 1024,
            "max_output_size": 1_048_576, "timeout_seconds": 120, "concurrency_limit": 3, "allow_intrusive": True,
        },
        "circuit_breaker": {"failure_threshold": 7, "recovery_timeout": 90.0, "expected_exceptions": ["Exception"],
                            "half_open_success_threshold": 2},
        "health": {"check_interval": 30.0, "cpu_threshold": 80.0, "memory_threshold": 80.0, "disk_threshold": 80.0,
                   "dependencies": [], "timeout": 10.0},
        "metrics": {"enabled": True, "prometheus_enabled": True, "prometheus_port": 9090, "collection_interval": 15.0},
        "logging": {"level": "INFO", "format": "%(asctime)s - %(message)s", "file_path": None,
                    "max_file_size": 10_485_760, "backup_count": 5},
        "server": {"host": "0.0.0.0", "port": 9000, "transport": "stdio", "workers": 1, "max_connections": 100,
                   "shutdown_grace_period": 30},
        "tool": {"include_patterns": ["*"], "exclude_patterns": [], "default_timeout": 300, "default_concurrency": 2},
    }  # fmt: skip
    # JSON is YAML.
    path = write(tmp_path, json.dumps(old, indent=2), name)
    configuration = load_configuration(path, environ={})
    settings = configuration.settings
    assert settings.policy.allow_intrusive
    assert [str(network) for network in settings.policy.networks][-1] == "fd00::/8"
    assert settings.policy.domains == (".lab.internal",)
    assert settings.policy.max_argument_length == 1024
    assert (settings.nmap.timeout, settings.queue.total, settings.queue.per_tool) == (300.0, 3, 2)
    assert (settings.breaker.failure_threshold, settings.breaker.recovery_timeout) == (7, 90.0)
    assert settings.breaker.success_threshold == 2
    assert (settings.health.interval, settings.health.timeout) == (30.0, 10.0)
    assert (settings.serve.host, settings.serve.port, settings.serve.max_requests) == ("0.0.0.0", 9000, 100)
    assert settings.serve.mcp == "stdio"
    assert (settings.serve.grace, settings.logging.level, settings.logging.format) == (30, "info", "console")
    # One for each name but the three that are still settings of that name.
    names = [f"{section}.{key}" for section, values in old.items() for key in values]
    assert len(configuration.warnings) == len(names) - len({"health.timeout", "logging.level"})
    place = f"{path}:" if name.endswith("yaml") else f"{path}: "
    assert all(text.startswith(place) for text in configuration.warnings)


def test_an_old_list_of_targets_with_something_else_in_it_is_refused_where_it_stands(tmp_path: Path) -> None:
    path = write(tmp_path, "security:\n  allowed_targets: [RFC1918, 'a b']\n", "old.yaml")
    assert problems(path)[0].startswith(f"{path}:2: policy.networks=")


# Showing.


def test_the_example_changes_nothing_and_is_right_in_every_line(tmp_path: Path) -> None:
    text = example_file()
    path = write(tmp_path, text)
    assert load_settings(path, environ={}) == load_settings(environ=NO_FILE)
    lines = [line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in text.splitlines()]
    configuration = load_configuration(write(tmp_path, "\n".join(lines), "all.toml"), environ={})
    assert set(configuration.origins) == set(SETTINGS)
    assert check_settings(configuration) == ()


def test_the_schema_accepts_the_example_and_refuses_an_unknown_name(tmp_path: Path) -> None:
    import tomllib

    from jsonschema import Draft202012Validator

    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(tomllib.loads(example_file()))
    assert not validator.is_valid({"polcy": {}})
    assert not validator.is_valid({"policy": {"max_adresses": 1}})
    assert not validator.is_valid({"policy": {"max_addresses": 0}})


def test_a_template_that_the_policy_refuses_is_found_by_the_check(tmp_path: Path) -> None:
    path = write(tmp_path, '[templates]\nweb = "-oN x"\n[serve]\nhost = "0.0.0.0"\n')
    found = [str(problem) for problem in check_settings(load_configuration(path, environ={}))]
    assert found[0].startswith(f"{path}:1: templates='web' cannot be used: '-oN'")
    assert found[1].startswith(f"{path}:4: serve.host='0.0.0.0' cannot be used: off loopback")


def test_a_pinned_source_misses_its_file_when_it_goes_away(tmp_path: Path) -> None:
    (tmp_path / "tracefuse").mkdir()
    path = write(tmp_path / "tracefuse", "queue.total = 3")
    source = ConfigSource(environ={"XDG_CONFIG_HOME": str(tmp_path)}).pinned()
    assert source.load().settings.queue.total == 3
    path.unlink()
    with pytest.raises(SettingsError, match="No such file"):
        source.load()


def test_every_value_of_the_settings_can_be_asked_for_by_name() -> None:
    assert {name for name in SETTINGS if value_at(Settings(), name) is ...} == set()


def test_the_page_on_the_migration_has_every_old_name_with_its_successor() -> None:
    page = (ROOT / "docs/migration-server.md").read_text(encoding="utf-8")
    for name, legacy in (LEGACY_SECTIONS | LEGACY_VARIABLES).items():
        new = SETTINGS[legacy.setting].variable if legacy.setting and name.startswith("MCP_") else legacy.setting
        row = f"| `{name}` | `{new}` |" if new else f"| `{name}` | – {legacy.gone} |"
        assert row in page.splitlines()


def test_the_file_of_the_guide_can_be_used(tmp_path: Path) -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    path = write(tmp_path, page.partition("```toml\n")[2].partition("```")[0])
    configuration = load_configuration(path, environ={})
    assert check_settings(configuration) == ()
    assert configuration.settings.schedules["lab"].every == "6h"


@pytest.mark.parametrize("line", ["zzz{} = 1", "[policy]\nzz{} = 1", "[templates]\nz{} = 1"])
def test_a_file_full_of_mistakes_is_refused_soon(tmp_path: Path, line: str) -> None:
    header, _, entry = line.rpartition("\n")
    path = write(tmp_path, header + "\n" + "\n".join(entry.format(number) for number in range(15_000)))
    began = time.monotonic()
    assert 50 < len(problems(path)) <= 101
    assert time.monotonic() - began < 20
