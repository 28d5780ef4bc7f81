"""The account of a signal: what it owes, when it gives up, and how little it says about it."""

from __future__ import annotations

import logging

import pytest

from tracefuse.telemetry._delivery import Delivery, failure_reason, quieten_exporters

SDK = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")


def queue(delivery: Delivery, count: int) -> None:
    for _ in range(count):
        delivery.accept(lambda: None)


def fail(message: str = "Connection refused") -> bool:
    SDK.error("Failed to export: %s", message)
    return False


@pytest.fixture(autouse=True)
def _quiet() -> None:
    quieten_exporters()


def test_lost_is_what_no_export_confirmed() -> None:
    delivery = Delivery("spans", "http://c:4317")
    queue(delivery, 5)
    assert delivery.attempt(3, lambda: True)
    assert not delivery.attempt(2, fail)
    assert (delivery.lost, delivery.reason, delivery.failing) == (2, "connection refused", True)


def test_one_line_when_it_begins_to_fail_and_one_when_it_works_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    delivery = Delivery("spans", "http://c:4317")
    for works in (True, False, False, False, True, True):
        delivery.attempt(1, (lambda: True) if works else fail)
    assert caplog.messages == [
        "telemetry: spans cannot be delivered to http://c:4317 (connection refused)",
        "telemetry: spans are delivered to http://c:4317 again",
    ]


def test_an_exporter_that_raises_is_a_failed_export() -> None:
    def broken() -> bool:
        raise RuntimeError("timed out")

    delivery = Delivery("metrics", "x")
    assert not delivery.attempt(0, broken)
    assert delivery.reason == "timed out"


def test_when_closing_the_first_failure_is_the_last_attempt() -> None:
    delivery = Delivery("spans", "x")
    attempts: list[int] = []

    def export() -> bool:
        attempts.append(1)
        return False

    delivery.attempt(1, export)
    delivery.begin_closing()
    delivery.attempt(1, export)
    delivery.attempt(1, export)
    assert len(attempts) == 2


def overflow(delivery: Delivery, count: int) -> None:
    full = logging.getLogger("opentelemetry.sdk._shared_internal")
    for number in range(count):
        delivery.accept(lambda number=number: full.warning("Queue full, dropping Span %d.", number))


def test_a_full_queue_is_told_once_and_once_that_it_has_room_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    delivery = Delivery("spans", "x")
    for _ in range(3):
        overflow(delivery, 5)
        delivery.attempt(2, lambda: True)
    assert caplog.messages == ["telemetry: the queue of spans for x is full; the oldest are dropped"]
    delivery.attempt(2, lambda: True)
    assert caplog.messages[1:] == ["telemetry: the queue of spans for x has room again; 15 were dropped"]
    overflow(delivery, 1)
    assert len(caplog.messages) == 3


def test_what_was_dropped_or_given_up_does_not_wait_any_more() -> None:
    delivery = Delivery("spans", "x")
    queue(delivery, 10)
    overflow(delivery, 4)
    delivery.attempt(3, lambda: True)
    delivery.attempt(2, fail)
    assert (delivery.lost, delivery.waiting) == (11, 5)


def test_what_a_host_application_exports_is_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    quieten_exporters()
    SDK.error("the host's own exporter fails: %s", object())
    assert len(caplog.messages) == 1


def test_the_child_of_a_fork_owes_nothing() -> None:
    delivery = Delivery("spans", "x")
    queue(delivery, 3)
    delivery.reset()
    assert delivery.lost == 0


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("error code: StatusCode.DEADLINE_EXCEEDED, error details: Deadline Exceeded", "timed out"),
        ("Transient error HTTPConnectionPool(...): Read timed out.", "timed out"),
        ("StatusCode.UNAVAILABLE failed to connect to all addresses; Connection refused (111)", "connection refused"),
        ("StatusCode.UNAVAILABLE data refused due to high memory usage", "receiver short of memory"),
        ("StatusCode.UNAVAILABLE DNS resolution failed for nowhere", "host not found"),
        ("Failed to resolve 'nowhere' ([Errno -2] Name or service not known)", "host not found"),
        ("StatusCode.UNAUTHENTICATED", "not authenticated"),
        ("Failed to export spans batch code: 404, reason: Not Found", "not an OTLP receiver of this protocol"),
        ("Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", "certificate not accepted"),
        ("StatusCode.UNAVAILABLE not now", "receiver unavailable"),
        ("Error details: errors resolving nowhere:4317: Domain name not found", "host not found"),
        ("('Connection aborted.', BadStatusLine('')) retrying", "not an OTLP receiver of this protocol"),
        ("UNAVAILABLE Failed parsing HTTP/2 (Expected SETTINGS frame)", "not an OTLP receiver of this protocol"),
        ("SSL_ERROR_SSL: WRONG_VERSION_NUMBER: Invalid certificate verification context", "not a TLS endpoint"),
        ("Failed to export spans batch due to timeout, max retries or shutdown.", "timed out"),
        ("Transient error Service Unavailable ... due to timeout, max retries or shutdown.", "receiver unavailable"),
        ("something new", "export failed"),
    ],
)
def test_reasons_are_a_few_words(said: str, reason: str) -> None:
    assert failure_reason([said]) == reason
