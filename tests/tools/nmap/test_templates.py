from __future__ import annotations

import pytest

from tracefuse.tools._policy import Policy, PolicyViolation, Rule
from tracefuse.tools.nmap._plan import plan
from tracefuse.tools.nmap._request import ScanPlan, ScanRequest
from tracefuse.tools.nmap._templates import TEMPLATES, ScanTemplate, Template

POLICY = Policy()


def planned(template: str, extra: str = "", *, privileged: bool = True, **templates: str) -> ScanPlan:
    own = {name: Template(name, arguments) for name, arguments in templates.items()}
    request = ScanRequest("10.0.0.5", extra, template)
    return plan(request, POLICY, lambda name: [], None, {**TEMPLATES, **own}, privileged=privileged)


def arguments(template: str, extra: str = "", *, privileged: bool = True) -> list[str]:
    return [option.argument for option in planned(template, extra, privileged=privileged).options]


def test_the_known_templates_are_there_under_their_known_values() -> None:
    assert {template.name: template.value for template in ScanTemplate} == {
        "QUICK": "quick",
        "STANDARD": "standard",
        "THOROUGH": "thorough",
        "COMPREHENSIVE": "comprehensive",
        "DISCOVERY": "discovery",
        "VERSION": "version",
        "SCRIPT": "script",
    }
    assert set(TEMPLATES) == set(ScanTemplate)


@pytest.mark.parametrize("template", ScanTemplate)
def test_every_template_passes_the_default_policy_with_and_without_root(template: ScanTemplate) -> None:
    assert planned(template).address_count == 1
    without = planned(template, privileged=False)
    assert not without.needs_root
    assert without.argv[0] == "--unprivileged"
    assert TEMPLATES[template].sends and TEMPLATES[template].takes


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("quick", ["-T4", "-Pn", "--top-ports=100"]),
        ("standard", ["-T4", "-Pn", "--top-ports=1000", "-sV"]),
        ("thorough", ["-T4", "-Pn", "-p1-65535", "-sV"]),
        ("discovery", ["-sn", "-T4"]),
        ("version", ["-sV", "--version-intensity=5", "-T4", "-Pn", "--top-ports=1000"]),
        ("script", ["-T4", "-Pn", "--top-ports=1000"]),
    ],
)
def test_a_template_is_what_users_know(template: str, expected: list[str]) -> None:
    assert arguments(template) == expected
    assert (planned(template).scripts is not None) == (template in {"thorough", "script"})


def test_os_detection_is_left_out_without_root_and_that_is_said() -> None:
    assert "-O" in arguments("comprehensive")
    without = planned("comprehensive", privileged=False)
    assert "-O" not in [option.argument for option in without.options]
    assert "-O needs root and is left out" in without.notes


@pytest.mark.parametrize(
    ("template", "extra", "expected"),
    [
        ("quick", "-p 80", ["-T4", "-Pn", "-p80"]),
        ("quick", "-F", ["-T4", "-Pn", "-F"]),
        ("quick", "-T2", ["-Pn", "--top-ports=100", "-T2"]),
        ("quick", "-PS22", ["-T4", "--top-ports=100", "-PS22"]),
        ("quick", "--open --reason", ["-T4", "-Pn", "--top-ports=100", "--open", "--reason"]),
        ("standard", "-sn", ["-T4", "-Pn", "-sn"]),
        ("standard", "-sT", ["-T4", "-Pn", "--top-ports=1000", "-sV", "-sT"]),
        ("version", "--version-light", ["-sV", "-T4", "-Pn", "--top-ports=1000", "--version-light"]),
        ("version", "-sV", ["--version-intensity=5", "-T4", "-Pn", "--top-ports=1000", "-sV"]),
    ],
)
def test_extra_arguments_replace_what_answers_the_same_question(template: str, extra: str, expected: list[str]) -> None:
    assert arguments(template, extra) == expected


def test_what_gave_way_is_noted() -> None:
    assert planned("quick", "-p 80").notes == ("--top-ports=100 of the template gives way to -p80",)
    assert planned("quick").notes == ()


@pytest.mark.parametrize("extra", ["-p 80", "-sV", "-sS", "-O", "-F"])
def test_discovery_does_not_turn_into_a_port_scan(extra: str) -> None:
    with pytest.raises(PolicyViolation, match="use another template") as caught:
        planned("discovery", extra)
    assert caught.value.rule is Rule.OPTION_CONFLICT


def test_an_unknown_template_is_refused_with_those_there_are() -> None:
    with pytest.raises(PolicyViolation) as caught:
        planned("fast")
    assert caught.value.rule is Rule.TEMPLATE
    assert "quick" in caught.value.suggestion
    assert planned(caught.value.example).address_count == 1


def test_own_templates_stand_beside_the_known_ones_under_the_same_policy() -> None:
    assert planned("web", web="-p 80,443 -sV").argv == ("-p80,443", "-sV", "--", "10.0.0.5")
    for bad, rule in (
        ("-oN /tmp/x", Rule.OPTION_REFUSED),
        ("-A", Rule.OPTION_INTRUSIVE),
        ("--script vuln", Rule.SCRIPT_UNKNOWN),
        ("-sV 8.8.8.8", Rule.ARGUMENT_SYNTAX),
    ):
        with pytest.raises(PolicyViolation) as caught:
            planned("bad", bad=bad)
        assert caught.value.rule is rule


def test_a_refused_template_is_named() -> None:
    with pytest.raises(PolicyViolation, match="in template 'bad'"):
        planned("bad", bad="-D 10.0.0.1")
