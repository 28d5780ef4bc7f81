"""Who runs, who waits, who is next."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools._queue import FairQueue, Queued, QueueLimits, Ticket, WaitReason


def test_callers_take_turns_and_each_keeps_its_order() -> None:
    queue = FairQueue(QueueLimits(total=1))
    running = Ticket("nmap", "x")
    queue.enter(running)
    ann = [Ticket("nmap", "ann") for _ in range(3)]
    bob = [Ticket("nmap", "bob") for _ in range(2)]
    for ticket in (*ann, *bob):
        queue.enter(ticket)
    order: list[Ticket] = []
    while queue.running:
        (running, *_) = queue.leave(running) or (None,)
        if running is None:
            break
        order.append(running)
    assert order == [ann[0], bob[0], ann[1], bob[1], ann[2]]


def test_a_full_tool_does_not_hold_up_another() -> None:
    queue = FairQueue(QueueLimits(total=2, per_tool=1))
    assert queue.enter(Ticket("nmap", "ann")) is None
    assert queue.enter(Ticket("nmap", "ann")) == Queued(WaitReason.TOOL_LIMIT, 1)
    assert queue.enter(Ticket("other", "ann")) is None
    assert queue.enter(Ticket("third", "ann")) == Queued(WaitReason.TOTAL_LIMIT, 2)


def test_a_request_that_is_given_up_leaves_no_gap() -> None:
    queue = FairQueue(QueueLimits(total=1))
    first, second, third = (Ticket("nmap", "ann") for _ in range(3))
    for ticket in (first, second, third):
        queue.enter(ticket)
    assert queue.leave(second) == ()
    assert queue.waiting == 1
    assert queue.leave(first) == (third,)
    assert queue.leave(second) == ()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from("ab"), st.sampled_from("xyz")),
        st.tuples(st.just("leave"), st.integers(0, 30), st.none()),
    ),
    max_size=60,
)
LIMITS = st.builds(QueueLimits, total=st.integers(1, 4), per_tool=st.integers(1, 3))


@given(LIMITS, STEPS)
def test_limits_hold_nobody_is_lost_and_no_place_stays_empty(limits: QueueLimits, steps: list[tuple]) -> None:
    queue = FairQueue(limits)
    known: list[Ticket] = []
    running: set[Ticket] = set()
    waiting: list[Ticket] = []
    for action, what, caller in steps:
        if action == "enter":
            ticket = Ticket(what, caller)
            known.append(ticket)
            if queue.enter(ticket) is None:
                running.add(ticket)
            else:
                waiting.append(ticket)
        elif known:
            ticket = known[what % len(known)]
            admitted = queue.leave(ticket)
            running.discard(ticket)
            waiting = [other for other in waiting if other is not ticket]
            for other in admitted:
                assert not any(
                    before.caller == other.caller and before.tool == other.tool
                    for before in waiting[: waiting.index(other)]
                )
                waiting.remove(other)
                running.add(other)
        tools = Counter(ticket.tool for ticket in running)
        assert (queue.running, queue.waiting) == (len(running), len(waiting))
        assert len(running) <= limits.total
        assert all(count <= limits.per_tool for count in tools.values())
        if len(running) < limits.total:
            assert all(tools[ticket.tool] >= limits.per_tool for ticket in waiting)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.sampled_from("abc"))
def test_the_position_is_how_many_turns_it_takes(callers: list[str], caller: str) -> None:
    queue = FairQueue(QueueLimits(total=1))
    running = Ticket("nmap", "z")
    queue.enter(running)
    for other in callers:
        queue.enter(Ticket("nmap", other))
    mine = Ticket("nmap", caller)
    queued = queue.enter(mine)
    assert queued is not None
    turns = 0
    while running is not mine:
        (running,) = queue.leave(running)
        turns += 1
    assert queued.position == turns


def test_more_places_go_to_those_who_wait_and_fewer_turn_nobody_out() -> None:
    queue = FairQueue(QueueLimits(total=1, length=5))
    tickets = [Ticket("nmap", caller) for caller in "abcd"]
    for ticket in tickets:
        queue.enter(ticket)
    assert queue.resize(QueueLimits(total=3, length=0)) == (tickets[1], tickets[2])
    assert (queue.running, queue.waiting, queue.is_full) == (3, 1, True)
    assert queue.resize(QueueLimits(total=1)) == ()
    assert (queue.running, queue.waiting) == (3, 1)
    assert [queue.leave(ticket) for ticket in tickets[:3]] == [(), (), (tickets[3],)]
