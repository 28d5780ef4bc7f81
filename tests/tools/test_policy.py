from __future__ import annotations

import dataclasses
import pickle
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest

from tracefuse.tools._policy import (
    NEVER_SCANNED,
    PRIVATE_NETWORKS,
    Policy,
    PolicyError,
    PolicyViolation,
    Rule,
    is_never_scanned,
)


def test_the_default_allows_loopback_private_and_unique_local_addresses_only() -> None:
    assert {str(network) for network in Policy().networks} == {
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("::1/128", "fc00::/7"),
    }
    assert Policy().domains == (".lab.internal",)
    assert not Policy().allow_intrusive


def test_rules_are_few_enough_for_a_metric_attribute() -> None:
    assert len(Rule) <= 21
    assert all(len(rule) <= 24 and rule.isascii() and rule == rule.lower() for rule in Rule)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("networks", ()),
        ("networks", [ip_network("10.0.0.0/8")]),
        ("networks", ("10.0.0.0/8",)),
        ("networks", (ip_network("169.254.169.254/32"),)),
        ("networks", (ip_network("fe80::/9"),)),
        ("networks", (ip_network("::2/127"),)),
        ("networks", (ip_network("224.0.0.0/3"),)),
        ("domains", ".lab.internal"),
        ("domains", ("Lab.Internal",)),
        ("domains", ("*.lab",)),
        ("domains", ("",)),
        ("domains", (".",)),
        ("max_addresses", 0),
        ("max_addresses", True),
        ("max_addresses", 10.0),
        ("max_addresses", "1024"),
        ("max_port_ranges", 0),
        ("max_argument_length", 1),
        ("max_timeout", float("nan")),
        ("max_timeout", 0.0),
        ("max_timeout", float("inf")),
        ("max_host_timeout", 59),
        ("allow_intrusive", 1),
        ("script_categories", ("Safe",)),
        ("script_categories", "safe"),
    ],
)
def test_a_bad_field_is_refused_by_name_with_an_example(field: str, value: object) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy(**{field: value})  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.expected and caught.value.example
    assert f"for example {caught.value.example}" in str(caught.value)


def test_a_policy_is_a_value() -> None:
    assert Policy() == Policy()
    assert hash(Policy()) == hash(Policy())
    with pytest.raises(dataclasses.FrozenInstanceError):
        Policy().max_addresses = 2  # type: ignore[misc]


def test_the_known_list_of_allowed_targets_becomes_networks_and_domains() -> None:
    policy = Policy().with_allowed_targets(
        ["RFC1918", "198.18.0.0/15", "192.0.2.7", "fd00::/64", ".lab.internal", "gw.example"]
    )
    assert policy.networks == (
        *PRIVATE_NETWORKS,
        IPv4Network("198.18.0.0/15"),
        IPv4Network("192.0.2.7/32"),
        IPv6Network("fd00::/64"),
    )
    assert policy.domains == (".lab.internal", "gw.example")


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "10.0.0", "*.lab", "", "10.0.0.0/33"])
def test_an_entry_that_is_neither_network_nor_domain_is_refused(entry: str) -> None:
    with pytest.raises(PolicyError, match="allowed_targets"):
        Policy().with_allowed_targets([entry])


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.88.99.1"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::2", "::10.0.0.5", "::ffff:10.0.0.5", "64:ff9b::a00:5", "64:ff9b:1::a00:5", "2002:a00:5::1"),
        *("2001::1", "fe80::a9fe:a9fe", "fec0::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254", "fd00:42::42"),
        "fd00:c1::a9fe:a9fe",
    ],
)
def test_some_addresses_no_configuration_can_allow(address: str) -> None:
    network = ip_network(address)
    assert is_never_scanned(network)
    with pytest.raises(PolicyError, match="never scanned"):
        Policy(networks=(network,))


@pytest.mark.parametrize("text", ["10.0.0.0/8", "0.0.0.0/0", "::1", "::/96", "::/0", "fd00::/8", "198.18.0.0/15"])
def test_a_network_with_scannable_addresses_may_be_configured(text: str) -> None:
    assert Policy(networks=(ip_network(text),)).networks == (ip_network(text),)


def test_never_scanned_networks_stay_out_of_the_defaults_but_for_metadata() -> None:
    inside = {str(n) for n in NEVER_SCANNED for p in PRIVATE_NETWORKS if type(n) is type(p) and n.subnet_of(p)}  # type: ignore[arg-type]
    assert inside == {"fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128", "fd00:c1::a9fe:a9fe/128"}


def test_a_violation_says_what_was_wrong_and_what_would_be_right_in_one_line() -> None:
    violation = PolicyViolation(
        Rule.PORTS, "80,,443", 1, "-p 80", "leave the empty one out", problem="an element is empty", details=("x",)
    )
    assert str(violation) == "'80,,443': an element is empty; leave the empty one out. Example: -p 80"
    assert (violation.rule, violation.token, violation.position) == ("ports", "80,,443", 1)
    assert "\n" not in str(PolicyViolation(Rule.CHARACTERS, "a\nb\x1b[31m", 0, "10.0.0.1", "", problem="control"))


def test_a_long_token_is_shortened() -> None:
    assert len(PolicyViolation(Rule.LENGTH, "x" * 5000, None, "", "").token) == 80


def test_a_violation_survives_pickling_with_everything_it_carries() -> None:
    violation = PolicyViolation(
        Rule.SCRIPT_REFUSED, "vuln", 3, "-sC", "others", problem="no", field="extra_args", details=("a", "b")
    )
    again = pickle.loads(pickle.dumps(violation))
    assert str(again) == str(violation)
    assert vars(again) == vars(violation)
    error = PolicyError("max_addresses", 0, "more", "1")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
