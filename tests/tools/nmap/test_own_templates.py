"""Templates from a configuration."""

from __future__ import annotations

import pickle

import pytest

from tracefuse.tools import Policy, ScanRequest
from tracefuse.tools._policy import Rule
from tracefuse.tools.nmap import TEMPLATES, ScriptDatabase, Template, TemplateError, plan, read_templates

SCRIPTS = ScriptDatabase(
    'Entry { filename = "http-title.nse", categories = { "default", "safe", } }\n'
    'Entry { filename = "ssh-brute.nse", categories = { "brute", "intrusive", } }'
)


def nowhere(name: str) -> tuple[str, ...]:
    return ()


def test_own_templates_stand_beside_the_others() -> None:
    known = read_templates(
        {"web": "-sV -p 80,443", "db-2": {"arguments": "-p 5432 -sV", "sends": "one probe", "takes": "1 s"}}, Policy()
    )
    assert list(known) == [*TEMPLATES, "web", "db-2"]
    assert known["db-2"] == Template("db-2", "-p 5432 -sV", "one probe", "1 s")
    planned = plan(ScanRequest("10.0.0.7", "-n", "web"), Policy(), nowhere, templates=known)
    assert planned.argv == ("-sV", "-p80,443", "-n", "--", "10.0.0.7")


def test_no_templates_are_just_the_others() -> None:
    assert read_templates({}, Policy()) == TEMPLATES


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ("-oN /tmp/x", Rule.OPTION_REFUSED),
        ("-A", Rule.OPTION_INTRUSIVE),
        ("-p 99999", Rule.PORTS),
        ("-p 80 10.0.0.1", Rule.ARGUMENT_SYNTAX),
        ("-sn -p 80", Rule.OPTION_CONFLICT),
        ("--script ssh-brute", Rule.SCRIPT_REFUSED),
        ("--script nosuch", Rule.SCRIPT_UNKNOWN),
        ("--prots 80", Rule.OPTION_UNKNOWN),
        ("-sV 'x", Rule.ARGUMENT_SYNTAX),
        ("-sV\n-p 80\x00", Rule.CHARACTERS),
    ],
)
def test_what_the_policy_refuses_is_refused_when_it_is_read(arguments: str, rule: Rule) -> None:
    with pytest.raises(TemplateError) as caught:
        read_templates({"fine": "-p 80", "bad": arguments}, Policy(), SCRIPTS)
    assert (caught.value.name, caught.value.rule) == ("bad", rule)
    assert "Example: " in str(caught.value)


def test_the_policy_decides_and_so_does_its_network() -> None:
    assert "all" in read_templates({"all": "-A"}, Policy(allow_intrusive=True), SCRIPTS)
    assert "titles" in read_templates({"titles": "--script http-title"}, Policy(), SCRIPTS)


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        *((name, "-p 80") for name in ("", "Web", "9web", "a b", "-p", "web\n", "w" * 33, "quick", 7, "wéb")),
        *(("web", entry) for entry in ("", "  ", None, 80, ["-p", "80"], {}, {"arguments": ""}, {"arguments": 7})),
        *(("web", entry) for entry in ({"args": "-p 80"}, {"arguments": "-p 80", "takes": 7}, {7: "-p 80"})),
    ],
    ids=repr,
)
def test_a_malformed_entry_is_refused_by_name_with_an_example(name: str, entry: object) -> None:
    with pytest.raises(TemplateError, match=r"^template .*Example: \{") as caught:
        read_templates({name: entry}, Policy())
    assert caught.value.name == str(name) and caught.value.rule is None


def test_there_is_a_limit_to_their_number() -> None:
    with pytest.raises(TemplateError, match="101 templates, and there may be 100"):
        read_templates({f"t{number}": "-p 80" for number in range(101)}, Policy())


def test_the_error_survives_pickling() -> None:
    error = TemplateError("web", "it has no arguments", rule=Rule.PORTS)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.rule) == (str(error), Rule.PORTS)
