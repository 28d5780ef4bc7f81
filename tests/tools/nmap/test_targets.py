from __future__ import annotations

import re
import shutil
import subprocess
import time
from ipaddress import IPv4Address, IPv6Network, ip_address, ip_network
from itertools import product

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from support.components import nmap_needed
from tracefuse.tools._policy import Policy, PolicyViolation, Rule
from tracefuse.tools.nmap._addresses import V4Set, V6Set, from_network, subtract
from tracefuse.tools.nmap._scope import MAX_EXCLUSIONS, MAX_TARGETS, Scope, plan_scope
from tracefuse.tools.nmap._targets import HostName, parse_target

POLICY = Policy()
NMAP = shutil.which("nmap")


def scope_of(*targets: object, exclude: tuple[object, ...] = (), policy: Policy = POLICY, **names: list[str]) -> Scope:
    answers = {name.replace("_", "."): addresses for name, addresses in names.items()}
    return plan_scope(targets, exclude, policy, lambda name: answers.get(name, []))


def refused(
    *targets: object, exclude: tuple[object, ...] = (), policy: Policy = POLICY, **names: list[str]
) -> PolicyViolation:
    with pytest.raises(PolicyViolation) as caught:
        scope_of(*targets, exclude=exclude, policy=policy, **names)
    return caught.value


@pytest.mark.parametrize(
    ("text", "canonical", "count"),
    [
        ("10.0.0.1", "10.0.0.1", 1),
        ("10.0.0.1/32", "10.0.0.1", 1),
        ("192.168.1.77/24", "192.168.1.0/24", 256),
        ("10.0.0.0-255", "10.0.0.0/24", 256),
        ("10.0.0.*", "10.0.0.0/24", 256),
        ("10.0.0.-", "10.0.0.0/24", 256),
        ("10.0.0.-3", "10.0.0.0/30", 4),
        ("10.0.0.250-", "10.0.0.250-255", 6),
        ("10.0-3.0.1,5,7", "10.0-3.0.1,5,7", 12),
        ("10.0.0.3,1,2,2", "10.0.0.1-3", 3),
        ("10.0.0.1,9/31", "10.0.0.0-1,8-9", 4),
        ("10.0-1.0.0/30", "10.0-1.0.0-3", 8),
        ("10.0.0-3.0-255", "10.0.0.0/22", 1024),
        ("10.0.1-2.0-255", "10.0.1-2.0-255", 512),
        ("::1", "::1", 1),
        ("FD00:0:0::1", "fd00::1", 1),
        ("fd00::ffff/118", "fd00::fc00/118", 1024),
        ("fd00::1/128", "fd00::1", 1),
    ],
)
def test_every_form_is_rewritten_canonically_and_counted(text: str, canonical: str, count: int) -> None:
    scope = scope_of(text)
    assert scope.targets == (canonical,)
    assert scope.address_count == count
    assert scope_of(canonical) == scope


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "10.0.0", "10.0.0.0.1", "10.0.0.01", "010.0.0.1", "0x7f.0.0.1", "127.1", "2130706433", "10..0.1"),
        *(
            "10.0.0.256",
            "10.0.0.9-1",
            "10.0.0.1,",
            "10.0.0.,1",
            "10.0.0.1--3",
            "10.0.0.1-3-5",
            "10.0.0.**",
            "10.0.0.*,1",
        ),
        *("10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/255.0.0.0", "10.0.0.0/-1", "10.0.0.0/24/24"),
        *("10.0.0.1:80", "[::1]", "::1%lo", "fe80::1%1", "::1/129", "::1/", "fd00::1-5", ":::", "12345::", "1::2::3"),
        *("http://10.0.0.1", "10.0.0.1/x", "user@10.0.0.1", "-n", "web.lab.internal/24", "web.lab.internal."),
        *("a..lab.internal", "-a.lab.internal", "a-.lab.internal", f"{'a' * 64}.lab.internal", "a_b.lab.internal"),
    ],
)
def test_what_two_parsers_could_read_differently_is_no_target(text: str) -> None:
    assert refused(text).rule in {Rule.TARGET_SYNTAX, Rule.TARGET_NAME}


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1\n", "10.0.0.1\x00", "\t10.0.0.1", "\uff11\uff10.0.0.1", "10.0.0.1\u200b", "w\u0435b.lab.internal"],
)
def test_control_characters_and_unicode_are_refused_as_such(text: str) -> None:
    assert refused(text).rule is Rule.CHARACTERS


@pytest.mark.parametrize("target", [None, 12, 1.5, b"10.0.0.1", ["10.0.0.1"], {"a": 1}, True])
def test_what_is_not_text_is_refused(target: object) -> None:
    assert refused(target).rule is Rule.TYPE


def test_a_target_of_any_length_is_refused_quickly() -> None:
    started = time.perf_counter()
    assert refused("10.0.0." + "1," * 500_000).rule is Rule.LENGTH
    assert refused("a." * 510 + "lab").rule is Rule.TARGET_SYNTAX
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    "text",
    [
        *("8.8.8.8", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.169.0.0", "126.255.255.255"),
        *("10.0.0.0/7", "172.16.0.0/11", "192.168.0.0/15", "9-10.0.0.1", "10,11.0.0.1", "172.15-16.0.1", "0.0.0.0/0"),
        *("203.0.113.9", "198.18.0.1", "100.64.0.1", "2001:db8::1", "2606:4700::1", "::/0", "fc00::/6"),
    ],
)
def test_outside_the_allowed_networks_is_refused_whatever_the_form(text: str) -> None:
    violation = refused(text)
    assert violation.rule is Rule.TARGET_NETWORK
    assert scope_of(violation.example).address_count == 1


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "169.254.169.254", "169.254.1-2.3", "192.0.0.170", "192.88.99.1", "224.0.0.1", "255.255.255.255"),
        *("::", "::10.0.0.5", "::ffff:10.0.0.5", "64:ff9b::a00:5", "2002:a00:5::", "fe80::1", "ff02::1"),
        *("fd00:ec2::254", "fd00:ec2::/120", "fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::40/122"),
    ],
)
def test_some_addresses_stay_out_even_when_everything_is_allowed(text: str) -> None:
    everything = Policy(networks=(ip_network("0.0.0.0/0"), ip_network("::/0")), max_addresses=1_048_576)
    violation = refused(text, policy=everything)
    assert violation.rule is Rule.TARGET_NETWORK
    assert "never scanned" in violation.problem
    assert scope_of("8.8.8.8", policy=everything).address_count == 1


def test_adjoining_networks_count_as_one() -> None:
    policy = Policy(networks=(ip_network("198.18.0.0/24"), ip_network("198.18.1.0/24"), ip_network("198.18.0.0/23")))
    assert scope_of("198.18.0-1.7", policy=policy).address_count == 2
    assert refused("198.18.0-2.7", policy=policy).rule is Rule.TARGET_NETWORK


def test_the_limit_counts_addresses_not_expressions() -> None:
    assert scope_of("10.0.0.0/22").address_count == 1024
    assert scope_of("10.0.0.0/23", "10.0.2.0/23").address_count == 1024
    violation = refused("10.0.0.0/22", "10.0.4.0")
    assert violation.rule is Rule.TARGET_COUNT
    assert "1,025" in violation.problem and "1,024" in violation.problem
    assert scope_of(refused("10.0.0.0/8").example).address_count == 1024
    assert scope_of(refused("fd00::/64").example).address_count == 1024


@pytest.mark.parametrize("text", ["10.0.0.0/8", "fc00::/7", "10.-.-.-", "fd00::/65"])
def test_counting_costs_the_same_for_every_size(text: str) -> None:
    refused(text)
    started = time.perf_counter()
    for _ in range(50):
        refused(text)
    assert (time.perf_counter() - started) / 50 < 0.005


def test_overlapping_targets_are_scanned_and_counted_once() -> None:
    assert scope_of("10.0.0.1", "10.0.0.1", "10.0.0.1/32").targets == ("10.0.0.1",)
    assert scope_of("10.0.0.2", "10.0.0.0/30").targets == ("10.0.0.0/30",)
    assert scope_of("10.0.0.0/30", "10.0.0.2-5").address_count == 6
    assert scope_of("fd00::/126", "fd00::2/127", "fd00::4").address_count == 5


def test_exclusions_are_taken_out_of_the_targets() -> None:
    scope = scope_of("10.0.0.0/24", exclude=("10.0.0.5", "10.0.0.128/25"))
    assert scope.targets == ("10.0.0.0-4,6-127",)
    assert scope.exclusions == ("10.0.0.5", "10.0.0.128/25")
    assert scope.address_count == 127
    assert scope_of("10.0.0.0/21", exclude=("10.0.4.0/22",)).address_count == 1024
    assert scope_of("fd00::/126", exclude=("fd00::1",)).targets == ("fd00::", "fd00::2/127")
    assert scope_of("10.0.0.1", exclude=("8.8.8.8",)).address_count == 1


def test_a_bad_exclusion_is_refused_as_one() -> None:
    for exclude in ("web.lab.internal", "10.0.0", "-n", ""):
        violation = refused("10.0.0.0/24", exclude=(exclude,))
        assert (violation.rule, violation.field) == (Rule.TARGET_SYNTAX, "exclude")
    assert refused("10.0.0.1", exclude=("10.0.0.0/24",)).rule is Rule.TARGET_COUNT


def test_too_many_expressions_are_refused() -> None:
    assert scope_of(*(f"10.0.{n // 256}.{n % 256}" for n in range(1024))).address_count == 1024
    assert refused(*["10.0.0.1"] * (MAX_TARGETS + 1)).rule is Rule.TARGET_COUNT
    assert refused("10.0.0.1", exclude=("10.0.0.2",) * (MAX_EXCLUSIONS + 1)).field == "exclude"
    assert refused().rule is Rule.TARGET_SYNTAX


def test_both_families_at_once_are_refused() -> None:
    assert refused("10.0.0.1", "::1").rule is Rule.TARGET_FAMILY
    with pytest.raises(PolicyViolation, match="IPv4"):
        plan_scope(["10.0.0.1"], [], POLICY, lambda name: [], family=6)
    assert plan_scope(["::1"], [], POLICY, lambda name: [], family=6).family == 6


# --- names ---


def test_all_addresses_of_a_name_are_handed_over() -> None:
    scope = scope_of("web.lab.internal", web_lab_internal=["10.0.0.5", "10.0.0.6", "10.0.0.5"])
    assert scope.targets == ("10.0.0.5", "10.0.0.6")
    assert scope.names == (("web.lab.internal", ("10.0.0.5", "10.0.0.6")),)


@pytest.mark.parametrize(
    "answer",
    [
        *("8.8.8.8", "169.254.169.254", "0.0.0.0", "255.255.255.255", "224.0.0.1", "::ffff:10.0.0.5", "::ffff:8.8.8.8"),
        *(
            "64:ff9b::808:808",
            "64:ff9b::a00:5",
            "2002:a00:5::1",
            "fe80::1%eth0",
            "fd00:ec2::254",
            "2001:4860:4860::8888",
        ),
    ],
)
def test_every_address_of_the_answer_must_be_allowed(answer: str) -> None:
    for answers in ([answer], ["10.0.0.5", answer], [answer, "10.0.0.5"]):
        violation = refused("web.lab.internal", web_lab_internal=answers)
        assert violation.rule is Rule.TARGET_NETWORK
        assert str(ip_address(answer)) in violation.problem


@pytest.mark.parametrize(
    "name", ["evillab.internal", "lab.internal", "web.lab.internal.evil.com", "example.com", "web"]
)
def test_a_name_outside_the_domains_is_refused_without_asking(name: str) -> None:
    asked: list[str] = []
    with pytest.raises(PolicyViolation) as caught:
        plan_scope([name], [], POLICY, lambda name: asked.append(name) or [])  # type: ignore[func-returns-value]
    assert caught.value.rule is Rule.TARGET_NAME
    assert not asked


def test_a_name_is_asked_once_and_only_when_nothing_else_is_wrong() -> None:
    asked: list[str] = []

    def answer(name: str) -> list[str]:
        asked.append(name)
        return ["10.0.0.5"]

    plan_scope(["Web.Lab.Internal", "a.b.lab.internal"], [], POLICY, answer)
    assert asked == ["Web.Lab.Internal", "a.b.lab.internal"]
    with pytest.raises(PolicyViolation):
        plan_scope(["web.lab.internal", "8.8.8.8"], [], POLICY, answer)
    with pytest.raises(PolicyViolation):
        plan_scope(["web.lab.internal"], ["x"], POLICY, answer)
    assert len(asked) == 2


@pytest.mark.parametrize("error", [OSError("no such name"), TimeoutError(), KeyError("web"), UnicodeError("idna")])
def test_a_resolver_that_fails_is_a_refusal(error: Exception) -> None:
    def fail(name: str) -> list[str]:
        raise error

    with pytest.raises(PolicyViolation) as caught:
        plan_scope(["web.lab.internal"], [], POLICY, fail)
    assert caught.value.rule is Rule.TARGET_RESOLUTION


def test_no_answer_and_a_senseless_answer_are_refusals() -> None:
    assert refused("web.lab.internal").rule is Rule.TARGET_RESOLUTION
    assert refused("web.lab.internal", web_lab_internal=["-oX"]).rule is Rule.TARGET_RESOLUTION


def test_localhost_is_a_name_for_loopback_only() -> None:
    assert scope_of("localhost", localhost=["127.0.0.1", "::1"]).targets == ("127.0.0.1",)
    assert scope_of("LOCALHOST", LOCALHOST=["::1"]).targets == ("::1",)
    assert refused("localhost", localhost=["10.0.0.5"]).rule is Rule.TARGET_NETWORK
    lan_only = Policy(networks=(ip_network("10.0.0.0/8"),))
    assert refused("localhost", localhost=["127.0.0.1"], policy=lan_only).rule is Rule.TARGET_NETWORK


def test_a_name_follows_the_family_of_the_rest() -> None:
    both = ["10.0.0.5", "fd00::5"]
    assert scope_of("web.lab.internal", web_lab_internal=both).targets == ("10.0.0.5",)
    assert scope_of("web.lab.internal", "fd00::1", web_lab_internal=both).targets == ("fd00::5", "fd00::1")
    assert scope_of("web.lab.internal", web_lab_internal=["fd00::5"]).family == 6
    assert refused("web.lab.internal", "10.0.0.1", web_lab_internal=["fd00::5"]).rule is Rule.TARGET_FAMILY
    assert (
        refused("a.lab.internal", "b.lab.internal", a_lab_internal=["10.0.0.1"], b_lab_internal=["fd00::1"]).rule
        is Rule.TARGET_FAMILY
    )


def test_an_exact_domain_allows_that_name_only() -> None:
    policy = Policy(domains=("gw.example",))
    assert scope_of("gw.example", policy=policy, gw_example=["10.0.0.1"]).targets == ("10.0.0.1",)
    assert refused("x.gw.example", policy=policy).rule is Rule.TARGET_NAME
    assert isinstance(parse_target("gw.example", 0, policy), HostName)


# --- arithmetic against plain expansion ---

octet_elements = st.one_of(
    st.integers(0, 255).map(lambda n: (str(n), {n})),
    st.tuples(st.integers(0, 255), st.integers(0, 40)).map(
        lambda t: (f"{t[0]}-{min(255, t[0] + t[1])}", set(range(t[0], min(255, t[0] + t[1]) + 1)))
    ),
    st.integers(250, 255).map(lambda n: (f"{n}-", set(range(n, 256)))),
    st.integers(0, 5).map(lambda n: (f"-{n}", set(range(n + 1)))),
)
octets = st.lists(octet_elements, min_size=1, max_size=3).map(
    lambda parts: (",".join(text for text, _ in parts), set().union(*(values for _, values in parts)))
)


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, set[int]]:
    """An octet expression inside 10/8 and, by plain expansion, its addresses."""
    parts = [("10", {10}), *(draw(octets) for _ in range(3))]
    size = 1
    for _, values in parts:
        size *= len(values)
    assume(size <= 400)
    text = ".".join(text for text, _ in parts)
    addresses = {a << 24 | b << 16 | c << 8 | d for a, b, c, d in product(*(sorted(values) for _, values in parts))}
    prefix = draw(st.none() | st.integers(28, 32))
    if prefix is not None:
        text, host = f"{text}/{prefix}", (1 << (32 - prefix)) - 1
        addresses = {address & ~host | low for address in addresses for low in range(host + 1)}
    return text, addresses


def expanded(part: V4Set) -> set[int]:
    values = [[n for n in range(256) if mask >> n & 1] for mask in part.octets]
    return {a << 24 | b << 16 | c << 8 | d for a, b, c, d in product(*values)}


@given(expressions())
def test_counting_agrees_with_expanding(expression: tuple[str, set[int]]) -> None:
    text, addresses = expression
    part = parse_target(text, 0, POLICY)
    assert isinstance(part, V4Set)
    assert part.count == len(addresses)
    assert (int(part.first), int(part.last)) == (min(addresses), max(addresses))
    assert expanded(part) == addresses
    (literal,) = part.literals()
    assert parse_target(literal, 0, POLICY) == part


@given(expressions(), expressions())
def test_a_difference_is_disjoint_and_complete(one: tuple[str, set[int]], two: tuple[str, set[int]]) -> None:
    first, second = (parse_target(text, 0, POLICY) for text, _ in (one, two))
    assert isinstance(first, V4Set) and isinstance(second, V4Set)
    left = [expanded(part) for part in first.minus(second)]
    assert sum(map(len, left)) == len(one[1] - two[1])
    assert set().union(*left) == one[1] - two[1]
    assert first.shared(second) == len(one[1] & two[1])


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_intervals_of_ipv6_subtract_like_sets(a: int, b: int, c: int, d: int) -> None:
    one, two = V6Set(min(a, b), max(a, b)), V6Set(min(c, d), max(c, d))
    plain = set(range(one.low, one.high + 1)) - set(range(two.low, two.high + 1))
    left = [set(range(part.low, part.high + 1)) for part in one.minus(two)]
    assert set().union(*left) == plain and sum(map(len, left)) == len(plain)
    written = [IPv6Network(text) for text in one.literals()]
    assert sum(network.num_addresses for network in written) == one.count


def test_families_never_mix() -> None:
    v4, v6 = from_network(ip_network("10.0.0.0/24")), from_network(ip_network("fd00::/120"))
    assert v4.shared(v6) == v6.shared(v4) == 0
    assert subtract([v4, v6], [v6]) == [v4]
    assert subtract([v6], [v4]) == [v6]


@given(
    st.text(max_size=40)
    | st.from_regex(r"[0-9.,*/-]{1,30}", fullmatch=True)
    | st.from_regex(r"[0-9a-f:./%]{1,30}", fullmatch=True)
)
def test_any_text_is_a_target_or_a_refusal_whose_example_passes(text: str) -> None:
    try:
        scope = scope_of(text)
    except PolicyViolation as violation:
        line, scope = str(violation), scope_of(violation.example)
        assert line.isprintable()
    assert 1 <= scope.address_count <= POLICY.max_addresses
    assert all(re.fullmatch(r"[0-9a-f.:,/-]+", literal) for literal in scope.targets)


@nmap_needed
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.lists(expressions(), min_size=1, max_size=3), st.lists(expressions(), max_size=2))
def test_nmap_lists_exactly_the_addresses_that_were_counted(
    targets: list[tuple[str, set[int]]], exclude: list[tuple[str, set[int]]]
) -> None:
    wanted = set().union(*(values for _, values in targets)) - set().union(*(values for _, values in exclude))
    assume(0 < len(wanted) <= POLICY.max_addresses)
    scope = scope_of(*(text for text, _ in targets), exclude=tuple(text for text, _ in exclude))
    listed = nmap_list(*scope.targets)
    assert len(listed) == scope.address_count == len(wanted)
    assert {int(IPv4Address(address)) for address in listed} == wanted


@nmap_needed
@pytest.mark.parametrize("text", ["fd00::/118", "fd00::5", "::1"])
def test_nmap_lists_exactly_the_ipv6_addresses_that_were_counted(text: str) -> None:
    scope = scope_of(text, exclude=("fd00::3",))
    assert len(nmap_list("-6", *scope.targets)) == scope.address_count


def nmap_list(*arguments: str) -> list[str]:
    assert NMAP
    done = subprocess.run([NMAP, "-sL", "-n", *arguments], capture_output=True, text=True, timeout=30, check=True)
    assert not done.stderr
    return re.findall(r"^Nmap scan report for (\S+)$", done.stdout, re.MULTILINE)
