"""Which tool goes first, against a model that looks at all of them each time."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tracefuse.telemetry._eviction import EvictionOrder


@dataclass
class Tool:
    last_used: float
    active: int = 0


actions = st.lists(st.tuples(st.sampled_from(["use", "begin", "end", "evict"]), st.integers(0, 12)), max_size=120)


@given(actions)
def test_it_is_always_the_least_recently_used_that_is_not_running(done: list[tuple[str, int]]) -> None:
    order, tools = EvictionOrder(), dict[str, Tool]()
    for now, (action, number) in enumerate(done, start=1):
        name = f"t{number}"
        if action == "evict":
            if tools:
                idle = {one: tool for one, tool in tools.items() if not tool.active} or tools
                gone = order.next(tools)
                assert gone == min(idle, key=lambda one: idle[one].last_used)
                del tools[gone]
            continue
        tool = tools.setdefault(name, Tool(now))
        tool.last_used = now
        tool.active = max(0, tool.active + {"begin": 1, "end": -1}.get(action, 0))
