from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.components import nmap_needed
from tracefuse.tools._policy import Policy, PolicyViolation, Rule
from tracefuse.tools.nmap._arguments import EXAMPLE, UNPRIVILEGED_FORMS, ScanOption, parse_arguments
from tracefuse.tools.nmap._options import OPTION_TABLE, OPTIONS, Group, Option, Raw, Verdict
from tracefuse.tools.nmap._plan import plan
from tracefuse.tools.nmap._request import ScanRequest

POLICY = Policy()
INTRUSIVE = Policy(allow_intrusive=True)
NMAP = shutil.which("nmap")
ALLOWED = [row for row in OPTION_TABLE if row.verdict is Verdict.ALLOWED]


def name_of(row: object) -> str:
    return row.name if isinstance(row, Option) else str(row)


def parsed(text: str, policy: Policy = POLICY, *, privileged: bool = True) -> list[str]:
    return [option.argument for option in parse_arguments(text, policy, privileged=privileged)]


def refused(text: object, policy: Policy = POLICY, *, privileged: bool = True) -> PolicyViolation:
    with pytest.raises(PolicyViolation) as caught:
        parse_arguments(text, policy, privileged=privileged)
    return caught.value


def accepted(text: str, policy: Policy = POLICY, *, privileged: bool = True) -> bool:
    request = ScanRequest("127.0.0.1", text)
    return plan(request, policy, lambda name: [], privileged=privileged).address_count == 1


# --- the table ---


def test_every_name_is_in_the_table_once() -> None:
    assert len(OPTIONS) == sum(len(row.names) for row in OPTION_TABLE)
    assert all(row.meaning for row in OPTION_TABLE)
    assert all(row.reason for row in OPTION_TABLE if row.verdict is not Verdict.ALLOWED)


@pytest.mark.parametrize("row", ALLOWED, ids=name_of)
def test_an_allowed_option_passes_as_in_its_example(row: Option) -> None:
    (argument,) = parsed(row.example)
    assert argument.startswith(row.name)
    assert parsed(argument) == [argument], "the canonical writing is read as itself"


@pytest.mark.parametrize("row", [row for row in ALLOWED if row.grammar and not row.tight], ids=name_of)
def test_a_value_may_be_attached_or_follow(row: Option) -> None:
    assert row.grammar
    for name in row.names:
        separator = "=" if name.startswith("--") else ""
        attached, following = f"{name}{separator}{row.grammar.example}", f"{name} {row.grammar.example}"
        assert parsed(attached) == parsed(following) == parsed(row.example)
        assert refused(name).rule in {Rule.OPTION_VALUE, Rule.PORTS}
        assert refused(f"{name} -n").rule in {Rule.OPTION_VALUE, Rule.PORTS}
        with pytest.raises(PolicyViolation):
            accepted(f'{name} ""')


@pytest.mark.parametrize("row", [row for row in ALLOWED if row.grammar is None], ids=name_of)
def test_a_flag_takes_no_value(row: Option) -> None:
    for name in row.names:
        assert refused(f"{name}=yes").rule in {Rule.OPTION_VALUE, Rule.OPTION_UNKNOWN}
        assert refused(f"{name} yes").rule is Rule.ARGUMENT_SYNTAX
        assert refused(f"{name} 9").rule is Rule.ARGUMENT_SYNTAX


@pytest.mark.parametrize("row", [row for row in OPTION_TABLE if row.verdict is Verdict.INTRUSIVE], ids=name_of)
def test_an_intrusive_option_needs_leave(row: Option) -> None:
    violation = refused(row.example)
    assert violation.rule is Rule.OPTION_INTRUSIVE
    assert accepted(violation.example)
    assert accepted(row.example, INTRUSIVE)


@pytest.mark.parametrize(
    "row", [row for row in OPTION_TABLE if row.verdict in {Verdict.REFUSED, Verdict.MANAGED}], ids=name_of
)
def test_a_refused_option_is_refused_in_every_writing_whatever_the_policy(row: Option) -> None:
    for name in row.names:
        forms = [name, f"{name} x", f"{name}=x", f'"{name}"', f"-sV {name} x"]
        forms += [] if name.startswith("--") else [f"{name}/tmp/x", f"{name}8.8.8.8"]
        for form in forms:
            assert refused(form, INTRUSIVE).rule in {Rule.OPTION_REFUSED, Rule.OPTION_UNKNOWN}, form
        violation = refused(name)
        assert violation.rule is Rule.OPTION_REFUSED
        assert accepted(violation.example, privileged=False)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name.startswith("--")])
def test_abbreviations_other_dashes_and_other_cases_are_no_names(name: str) -> None:
    for form in (name[:-1], name[1:], f"{name}x", name.upper(), name.replace("-", "_"), f"-{name}"):
        if form not in OPTIONS:
            assert refused(form, INTRUSIVE).rule in {Rule.OPTION_UNKNOWN, Rule.OPTION_REFUSED, Rule.ARGUMENT_SYNTAX}, (
                form
            )


def test_a_slip_is_answered_with_what_was_probably_meant() -> None:
    assert refused("--top_ports 10").suggestion == "did you mean --top-ports?"
    assert refused("--top-por 10").suggestion == "did you mean --top-ports?"
    assert refused("-top-ports 10").suggestion == "did you mean --top-ports?"
    assert refused("--ports 80").example == "-p 1-1024"


# --- tokens ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("   ", []),
        ("  -sV   -p 80  ", ["-sV", "-p80"]),
        ("-p '80,443'", ["-p80,443"]),
        ('"-sV"', ["-sV"]),
        ("-p80", ["-p80"]),
        ("-p-", ["-p1-65535"]),
        ("-p -", ["-p1-65535"]),
        ("-T4", ["-T4"]),
        ("-T 4", ["-T4"]),
        ("-TAggressive", ["-T4"]),
        ("--timing=paranoid", ["-T0"]),
        ("-sVC", ["-sV", "-sC"]),
        ("-sSU", ["-sS", "-sU"]),
        ("-v", ["-v"]),
        ("-vvv -dd", ["-v3", "-d2"]),
        ("-v2 -d9", ["-v2", "-d9"]),
        ("-PS22,80 -PA -PU53", ["-PS22,80", "-PA", "-PU53"]),
        ("--host-timeout 0.5s", ["--host-timeout=500ms"]),
        ("--host-timeout 90", ["--host-timeout=90s"]),
        ("--max-rate 0.5", ["--max-rate=0.5"]),
        ("-rH", ["--randomize-hosts"]),
    ],
)
def test_what_a_person_would_write_works(text: str, expected: list[str]) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("8.8.8.8", Rule.ARGUMENT_SYNTAX),
        ("-sV 10.0.0.9", Rule.ARGUMENT_SYNTAX),
        ("-- 10.0.0.9", Rule.ARGUMENT_SYNTAX),
        ("-", Rule.ARGUMENT_SYNTAX),
        ('""', Rule.ARGUMENT_SYNTAX),
        ("'-sV", Rule.ARGUMENT_SYNTAX),
        ("-sV\\", Rule.ARGUMENT_SYNTAX),
        ("-sV; id", Rule.OPTION_VALUE),
        ("-sV\n-sC", Rule.CHARACTERS),
        ("-sV\t-sC", Rule.CHARACTERS),
        ("-sV\x00", Rule.CHARACTERS),
        ("\u2013sV", Rule.CHARACTERS),
        ("-p 80 -p 443", Rule.OPTION_CONFLICT),
        ("-p80 -F", Rule.OPTION_CONFLICT),
        ("-F --top-ports 10", Rule.OPTION_CONFLICT),
        ("-sn -p 80", Rule.OPTION_CONFLICT),
        ("-sL -sV", Rule.OPTION_CONFLICT),
        ("-sn -sS", Rule.OPTION_CONFLICT),
        ("-sn -O", Rule.OPTION_CONFLICT),
        ("-sS -sT", Rule.OPTION_CONFLICT),
        ("-sST", Rule.OPTION_CONFLICT),
        ("-sVV", Rule.OPTION_CONFLICT),
        ("-n -R", Rule.OPTION_CONFLICT),
        ("-4 -6", Rule.OPTION_CONFLICT),
        ("-Pn -PS22", Rule.OPTION_CONFLICT),
        ("-T4 --timing 3", Rule.OPTION_CONFLICT),
        ("--version-light --version-all", Rule.OPTION_CONFLICT),
        ("-v -v", Rule.OPTION_CONFLICT),
        ("-v0", Rule.OPTION_VALUE),
        ("-PS 22", Rule.ARGUMENT_SYNTAX),
        ("-PST:22", Rule.PORTS),
        ("-p=80", Rule.PORTS),
        ("-O2", Rule.OPTION_VALUE),
        ("-sVO", Rule.OPTION_VALUE),
        ("-nv", Rule.OPTION_VALUE),
        ("--host-timeout 5d", Rule.OPTION_VALUE),
        ("--host-timeout 0", Rule.OPTION_VALUE),
        ("--host-timeout 5h", Rule.OPTION_VALUE),
        ("--max-retries 5x", Rule.OPTION_VALUE),
        ("--max-retries +5", Rule.OPTION_VALUE),
        ("--max-retries 05", Rule.OPTION_VALUE),
        ("--min-rate 1e3", Rule.OPTION_VALUE),
        ("--min-rate 1000000", Rule.OPTION_VALUE),
        ("--port-ratio 1", Rule.OPTION_VALUE),
    ],
)
def test_what_nmap_would_read_otherwise_or_not_at_all_is_refused(text: str, rule: Rule) -> None:
    violation = refused(text)
    assert violation.rule is rule
    assert accepted(violation.example)


def test_a_refusal_points_at_its_token() -> None:
    assert (refused("-sV -p 80 -oN /tmp/x").token, refused("-sV -p 80 -oN /tmp/x").position) == ("-oN", 3)
    assert (refused("-sV -p 0").token, refused("-sV -p 0").position) == ("0", 2)
    assert (refused("-n -sV -sV").token, refused("-n -sV -sV").position) == ("-sV", 2)
    assert refused("-T4 'x").position is None


def test_length_and_number_of_ranges_are_limited() -> None:
    assert refused("-n " * 700).rule is Rule.LENGTH
    ports = ",".join(str(port) for port in range(1, 201, 2))
    assert parsed(f"-p {ports}") == [f"-p{ports}"]
    violation = refused(f"-p {ports},8080")
    assert violation.rule is Rule.PORTS
    assert "101" in violation.problem and "100" in violation.problem
    assert refused(f"-PS{ports},8080").rule is Rule.PORTS
    assert refused("-p 1,2,3", Policy(max_port_ranges=2)).rule is Rule.PORTS


@pytest.mark.parametrize("value", [None, 1, ["-sV"], {"a": 1}, b"-sV"])
def test_arguments_are_text(value: object) -> None:
    assert refused(value).rule is Rule.TYPE


@pytest.mark.parametrize("row", [row for row in OPTION_TABLE if row.raw is Raw.NEEDED], ids=name_of)
def test_what_needs_root_is_refused_or_replaced_without_it(row: Option) -> None:
    if row.name in UNPRIVILEGED_FORMS:
        assert parsed(row.name, privileged=False) == [row.name]
        return
    violation = refused(row.example, INTRUSIVE, privileged=False)
    assert violation.rule is Rule.OPTION_PRIVILEGE
    assert accepted(violation.example, privileged=False)


# --- properties ---

words = st.sampled_from(
    list(OPTIONS)
    + [row.example for row in OPTION_TABLE]
    + [
        "80",
        "-",
        "--",
        "10.0.0.9",
        "T:80,U:53",
        "99999",
        "abc",
        "'",
        '"a b"',
        "-sVC",
        "-vv",
        "-p80",
        "--top-ports=5",
        "=",
    ]
)


@settings(max_examples=300)
@given(st.lists(words, max_size=6).map(" ".join), st.booleans(), st.booleans())
def test_every_request_is_planned_or_refused_with_an_example_that_passes(
    text: str, privileged: bool, intrusive: bool
) -> None:
    policy = Policy(allow_intrusive=intrusive)
    request = ScanRequest("127.0.0.1", text)
    try:
        made = plan(request, policy, lambda name: [], privileged=privileged)
    except PolicyViolation as violation:
        fields = {"target": "127.0.0.1", violation.field: violation.example}
        made = plan(ScanRequest(**fields), policy, lambda name: [], privileged=privileged)
    assert made.argv[-2:] in {("--", "127.0.0.1"), ("--", "::1")}
    assert privileged or not made.needs_root


@given(st.text(max_size=60))
def test_any_text_is_options_or_a_refusal(text: str) -> None:
    try:
        options = parse_arguments(text, POLICY)
    except PolicyViolation as violation:
        options = parse_arguments(violation.example, POLICY)
    assert all(OPTIONS[option.name].verdict is Verdict.ALLOWED for option in options)


def test_the_common_example_is_accepted_by_any_policy() -> None:
    tight = Policy(max_port_ranges=1, max_argument_length=64, max_host_timeout=60)
    assert accepted(EXAMPLE, tight, privileged=False)
    assert ScanOption("-v", 1).argument == "-v"


# --- the real nmap ---


@nmap_needed
@pytest.mark.parametrize("row", [row for row in ALLOWED if row.name != "--script"], ids=name_of)
def test_nmap_takes_every_allowed_option(row: Option) -> None:
    assert NMAP
    if row.raw is Raw.NEEDED and os.geteuid() != 0:
        pytest.skip("needs root")
    made = plan(ScanRequest("::1" if row.name == "-6" else "127.0.0.1", row.example), POLICY, lambda name: [])
    quick = [] if row.group in {Group.PORTS, Group.NO_PORT_SCAN} else ["-p9"]
    *arguments, end, target = made.argv
    command = [NMAP, "--max-retries=0", *quick, *arguments, "-n", end, target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Bogus" not in done.stderr and "QUITTING" not in done.stderr
