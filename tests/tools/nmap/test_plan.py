from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from tracefuse.tools._policy import Policy, PolicyViolation, Rule
from tracefuse.tools.nmap._plan import plan
from tracefuse.tools.nmap._request import ScanPlan, ScanRequest
from tracefuse.tools.nmap._script_db import ScriptDatabase

POLICY = Policy()
INTRUSIVE = Policy(allow_intrusive=True)
DATABASE = ScriptDatabase(
    'Entry { filename = "http-title.nse", categories = { "default", "safe", } }\n'
    'Entry { filename = "http-open-proxy.nse", categories = { "default", "external", "safe", } }\n'
)


def planned(
    target: str = "10.0.0.5", extra: str = "", *, policy: Policy = POLICY, privileged: bool = True, **fields: Any
) -> ScanPlan:
    names = {"web.lab.internal": ["10.0.0.7"]}
    request = ScanRequest(target, extra, **fields)
    return plan(request, policy, lambda name: names.get(name, []), DATABASE, privileged=privileged)


def refused(target: object = "10.0.0.5", extra: object = "", **fields: Any) -> PolicyViolation:
    with pytest.raises(PolicyViolation) as caught:
        planned(target, extra, **fields)  # type: ignore[arg-type]
    return caught.value


def test_argv_is_options_then_targets_and_nothing_of_the_users_text() -> None:
    assert planned("192.168.1.77/24", "  -T Aggressive   --top-ports 10 -n").argv == (
        *("-T4", "--top-ports=10", "-n"),
        *("--", "192.168.1.0/24"),
    )


def test_several_targets_are_items() -> None:
    made = planned("10.0.0.1", targets=("10.0.0.8/30", "web.lab.internal"), exclude=("10.0.0.9",))
    assert made.targets == ("10.0.0.1", "10.0.0.8,10-11", "10.0.0.7")
    assert made.exclusions == ("10.0.0.9",)
    assert made.address_count == 5
    assert planned("", targets=("10.0.0.1",)).targets == ("10.0.0.1",)


def test_ipv6_is_asked_for_when_the_targets_are_ipv6() -> None:
    assert planned("fd00::5", "-p 80").argv == ("-6", "-p80", "--", "fd00::5")
    assert planned("fd00::5", "-6 -p 80").argv == ("-6", "-p80", "--", "fd00::5")
    assert planned("10.0.0.5", "-4").argv == ("--", "10.0.0.5")
    assert refused("10.0.0.5", "-6").rule is Rule.TARGET_FAMILY
    assert refused("fd00::5", "-4").rule is Rule.TARGET_FAMILY
    assert refused("fd00::5", "-PP").rule is Rule.OPTION_CONFLICT


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        ("-p U:53", Rule.PORTS),
        ("-sU -p T:53", Rule.PORTS),
        ("-sS -sU -p T:80", Rule.PORTS),
        ("-p S:9", Rule.PORTS),
        ("-p P:6", Rule.PORTS),
        ("--exclude-ports U:53", Rule.PORTS),
        ("--min-rate 100 --max-rate 10", Rule.OPTION_CONFLICT),
        ("--min-parallelism 100 --max-parallelism 10", Rule.OPTION_CONFLICT),
        ("--min-hostgroup 100 --max-hostgroup 10", Rule.OPTION_CONFLICT),
        ("--min-rtt-timeout 1s --max-rtt-timeout 100ms", Rule.OPTION_CONFLICT),
        ("--scan-delay 1s --max-scan-delay 100ms", Rule.OPTION_CONFLICT),
    ],
)
def test_options_that_do_not_fit_together_are_refused(extra: str, rule: Rule) -> None:
    assert refused(extra=extra).rule is rule


@pytest.mark.parametrize(
    ("extra", "argument"),
    [
        ("-p T:80", "-pT:80"),
        ("-sU -p 53", "-p53"),
        ("-sU -p U:53", "-pU:53"),
        ("-sS -sU -p T:80,U:53", "-pT:80,U:53"),
        ("-sU --exclude-ports U:53", "--exclude-ports=U:53"),
        ("--min-rate 10 --max-rate 10", "--max-rate=10"),
    ],
)
def test_options_that_do_fit_pass(extra: str, argument: str) -> None:
    assert argument in planned(extra=extra).argv


def test_protocol_numbers_end_at_255() -> None:
    assert "-p1-255" in planned(extra="-sO -p 1-255", policy=INTRUSIVE).argv
    assert refused(extra="-sO -p 256", policy=INTRUSIVE).rule is Rule.PORTS
    assert refused(extra="-sO -sS", policy=INTRUSIVE).rule is Rule.OPTION_CONFLICT


def test_default_scripts_are_written_out_and_what_is_missing_is_said() -> None:
    made = planned(extra="-sV -sC")
    assert made.argv == ("-sV", "--script=default and (default or safe) and not (external)", "--", "10.0.0.5")
    assert made.scripts and made.scripts.scripts == ("http-title",)
    assert made.notes == ("default scripts that the policy refuses are left out: http-open-proxy",)
    assert planned(extra="-sC --script http-title").scripts == planned(extra="--script default,http-title").scripts
    assert refused(extra="--script http-open-proxy").details == ("http-open-proxy",)
    assert refused(extra="-n --script nonsense").position == 1


def test_a_bundle_is_written_out_so_that_its_scripts_are_checked_too() -> None:
    made = planned(extra="-A", policy=INTRUSIVE)
    assert [option.name for option in made.options] == ["-O", "-sV", "--traceroute"]
    assert made.scripts and made.scripts.scripts == ("http-title",)
    assert made.needs_root
    without = planned(extra="-A", policy=INTRUSIVE, privileged=False)
    assert [option.name for option in without.options] == ["-sV"]
    assert {"-O needs root and is left out", "--traceroute needs root and is left out"} <= set(without.notes)
    assert [option.name for option in planned(extra="-sV -A", policy=INTRUSIVE).options].count("-sV") == 1


def test_without_root_forms_that_work_are_chosen_and_said() -> None:
    made = planned(extra="-sS -p 80", privileged=False)
    assert made.argv == ("--unprivileged", "-sT", "-p80", "--", "10.0.0.5")
    assert made.notes == ("-sS needs root; -sT is used instead",)
    assert "TCP connect" in planned(extra="-PE", privileged=False).notes[0]
    for extra in ("-sU -p 53", "-O", "-PU53"):
        assert refused(extra=extra, privileged=False).rule is Rule.OPTION_PRIVILEGE
    assert planned(extra="-sS").needs_root and not planned(extra="-sT").needs_root


@pytest.mark.parametrize("timeout", [1, 0.5, 300.0, 3600])
def test_a_time_limit_within_the_policy_is_kept(timeout: float) -> None:
    assert planned(timeout=timeout).timeout == timeout


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("timeout", 0, Rule.TIMEOUT),
        ("timeout", -1, Rule.TIMEOUT),
        ("timeout", 3601, Rule.TIMEOUT),
        ("timeout", float("nan"), Rule.TIMEOUT),
        ("timeout", float("inf"), Rule.TIMEOUT),
        ("timeout", True, Rule.TYPE),
        ("timeout", "300", Rule.TYPE),
        ("targets", "10.0.0.1", Rule.TYPE),
        ("targets", None, Rule.TYPE),
        ("targets", (None,), Rule.TYPE),
        ("exclude", "10.0.0.1", Rule.TYPE),
        ("exclude", (1,), Rule.TYPE),
        ("template", 1, Rule.TYPE),
        ("template", "none", Rule.TEMPLATE),
        ("correlation_id", 1, Rule.TYPE),
        ("correlation_id", "a\nb", Rule.TYPE),
        ("correlation_id", "x" * 129, Rule.TYPE),
        ("correlation_id", "", Rule.TYPE),
    ],
)
def test_a_field_of_the_wrong_kind_is_refused(field: str, value: object, rule: Rule) -> None:
    violation = refused(**{field: value})
    assert violation.rule is rule
    assert violation.example


def test_a_request_without_a_target_is_refused() -> None:
    assert refused("").rule is Rule.TARGET_SYNTAX
    assert refused(None).rule is Rule.TYPE
    assert refused(["10.0.0.5"]).rule is Rule.TYPE


def test_no_resolver_is_asked_for_a_request_that_is_refused_anyway() -> None:
    def never(name: str) -> list[str]:
        raise AssertionError(name)

    for request in (
        ScanRequest("web.lab.internal", "-oN /tmp/x"),
        ScanRequest("web.lab.internal", "--script vuln"),
        ScanRequest("web.lab.internal", timeout=0),
        ScanRequest("web.lab.internal", "-p U:53"),
        ScanRequest("web.lab.internal", exclude=("x",)),
    ):
        with pytest.raises(PolicyViolation):
            plan(request, POLICY, never, DATABASE)


def test_a_plan_says_which_rules_were_applied() -> None:
    plain = planned().rules
    assert Rule.TARGET_COUNT in plain and Rule.PORTS not in plain
    full = planned("web.lab.internal", "-p 80 -sC", template="quick", timeout=5).rules
    assert {Rule.TARGET_RESOLUTION, Rule.PORTS, Rule.SCRIPT_REFUSED, Rule.TEMPLATE, Rule.TIMEOUT} <= set(full)


def test_a_plan_is_a_value_in_plain_types_when_asked() -> None:
    made = planned("web.lab.internal", "-sC -p 80", template="quick", correlation_id="nightly-17")
    assert made == planned("web.lab.internal", "-sC -p 80", template="quick", correlation_id="nightly-17")
    assert pickle.loads(pickle.dumps(made)) == made
    fields = json.loads(json.dumps(made.to_dict()))
    assert fields["argv"] == list(made.argv)
    assert fields["names"] == {"web.lab.internal": ["10.0.0.7"]}
    assert fields["script_database"] == DATABASE.digest
    assert made.template == "quick"
