"""Limits: no client gets more than its rate, and none is kept out by another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools.http._limits import Bucket, Gate, Rate, RateLimiter, client_key, has_room, take


@given(st.integers(1, 100), st.lists(st.floats(0, 30), max_size=200))
def test_never_more_than_the_rate_and_one_burst(requests: int, waits: list[float]) -> None:
    rate, bucket, now, allowed = Rate(requests), None, 0.0, 0
    for wait in waits:
        now += wait
        taken = take(bucket, rate, now)
        bucket = taken.bucket
        allowed += taken.allowed
    assert allowed <= requests + now * requests / 60.0 + 1e-6


@given(st.integers(1, 1000), st.floats(0, 1), st.floats(0, 1e9))
def test_who_waits_as_told_is_let_in(requests: int, left: float, now: float) -> None:
    refused = take(Bucket(left * 0.99, now), Rate(requests), now)
    assert not refused.allowed
    assert refused.retry_after > 0
    assert take(refused.bucket, Rate(requests), now + refused.retry_after + 1e-3).allowed


def test_a_clock_that_goes_back_gives_nothing() -> None:
    first = take(None, Rate(1), 100.0)
    assert not take(first.bucket, Rate(1), 50.0).allowed


def test_a_lower_rate_counts_at_once() -> None:
    assert take(Bucket(1000.0, 0.0), Rate(2), 0.0).remaining == 1


@given(st.integers(1, 1000), st.integers(0, 1000))
def test_a_newcomer_always_finds_room_while_one_client_floods(limit: int, flood: int) -> None:
    held = 0
    for _ in range(flood):
        held += has_room(held, held, limit)
    assert held <= limit
    assert limit < 5 or has_room(0, held, limit)


def test_the_gate_is_empty_when_all_have_left() -> None:
    gate = Gate(lambda: 3)
    assert gate.enter("ann")
    assert gate.enter("ann")
    assert gate.enter("bob")
    assert not gate.enter("eve")
    for client in ("ann", "bob", "ann"):
        gate.leave(client)
    assert gate.total == 0
    assert gate.enter("eve")


def test_clients_do_not_spend_each_others_requests() -> None:
    limiter = RateLimiter(lambda: Rate(1), clock=lambda: 0.0)
    assert limiter.take("ann", "nmap").allowed
    assert not limiter.take("ann", "nmap").allowed
    assert limiter.take("ann", "other").allowed
    assert limiter.take("bob", "nmap").allowed


def test_the_limiter_forgets_the_least_recently_seen() -> None:
    limiter = RateLimiter(lambda: Rate(1), clock=lambda: 0.0)
    for number in range(10_001):
        assert limiter.take(str(number), "nmap").allowed
    assert not limiter.take("10000", "nmap").allowed
    assert limiter.take("0", "nmap").allowed


def test_many_addresses_of_one_customer_are_one_client() -> None:
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:1") != client_key("2001:db8:1::1")
    assert client_key("::ffff:10.0.0.7") == client_key("10.0.0.7")
    assert client_key("fe80::1%eth0") == client_key("fe80::2")
    assert client_key("/run/socket") == "/run/socket"
