"""What holds for every request, whatever is in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracefuse.tools import Policy, PolicyViolation, ScanRequest
from tracefuse.tools.nmap import OPTION_TABLE, Verdict, plan
from tracefuse.tools.nmap import _plan as planning
from tracefuse.tools.nmap.testing import SCRIPTS

NAMES = [name for option in OPTION_TABLE for name in option.names]
REFUSED = {name for option in OPTION_TABLE if option.verdict is Verdict.REFUSED for name in option.names}
EXAMPLES = [option.example for option in OPTION_TABLE if option.verdict in {Verdict.ALLOWED, Verdict.INTRUSIVE}]
PIECES = st.one_of(
    st.sampled_from(EXAMPLES),
    st.sampled_from(NAMES),
    st.sampled_from(
        ["80", "8.8.8.8", "2130706433", "T:1-10,U:53", "default", "x", "/etc/passwd", "1h", "-", "--", "'", '"']
    ),
    st.sampled_from([";", "|", "$(id)", "`id`", ">x", "&&", "\n", "\0", "=", "*"]),
    st.text(st.characters(codec="ascii"), max_size=6),
)
HOSTILE = st.tuples(st.lists(PIECES, max_size=4), st.sampled_from([" ", "", "="])).map(
    lambda drawn: drawn[1].join(drawn[0])
)
GOOD = st.lists(st.sampled_from(EXAMPLES), max_size=3, unique=True).map(" ".join)
ARGUMENTS = st.one_of(GOOD, GOOD, HOSTILE)
GOOD_TARGETS = st.sampled_from(
    ["10.0.0.1", "192.168.0.0/24", "10.0.0.1-9", "fd00::1", "web.lab.internal", "127.0.0.1,3", "localhost"]
)
BAD_TARGETS = st.sampled_from(["8.8.8.8", "-oN", "10.0.0.1 -oN x", "--", "$(id)", "a;b", "169.254.169.254", "0x7f.1"])
TARGETS = st.one_of(GOOD_TARGETS, GOOD_TARGETS, GOOD_TARGETS, BAD_TARGETS, st.text(max_size=12))
OPTION = re.compile(r"(--?[A-Za-z0-9][A-Za-z-]*)(?:[=]?[!-~][ -~]*)?", re.ASCII)
TARGET = re.compile(r"[0-9,.*-]+(?:/\d+)?|[0-9a-f:]+(?:/\d+)?", re.ASCII)
SHELL = re.compile(r"[;&|`$<>\n\0]")


def addresses(name: str) -> tuple[str, ...]:
    return {"web.lab.internal": ("10.0.0.7",), "localhost": ("127.0.0.1",)}.get(name, ())


@settings(max_examples=400)
@given(TARGETS, ARGUMENTS, st.booleans(), st.booleans())
def test_nothing_reaches_nmap_but_options_of_the_table_and_canonical_targets(
    target: str, arguments: str, intrusive: bool, privileged: bool
) -> None:
    policy = Policy(allow_intrusive=intrusive)
    try:
        planned = plan(ScanRequest(target, arguments), policy, addresses, SCRIPTS, privileged=privileged)
    except PolicyViolation as violation:
        refusal = violation
    else:
        split = planned.argv.index("--")
        for token in planned.argv[:split]:
            assert OPTION.fullmatch(token) and not SHELL.search(token), token
            assert token.partition("=")[0] not in REFUSED
        assert all(TARGET.fullmatch(token) for token in planned.argv[split + 1 :])
        assert 1 <= planned.address_count <= policy.max_addresses
        return
    assert refusal.example and refusal.rule and "Example: " in str(refusal)


@pytest.mark.parametrize("intrusive", [False, True])
@pytest.mark.parametrize("character", [*";&|`$<>\n\r\t\0", "\u2013", "\u0660"])
def test_what_a_shell_or_another_alphabet_would_read_is_refused_everywhere(character: str, intrusive: bool) -> None:
    policy = Policy(allow_intrusive=intrusive)
    for request in (
        ScanRequest(f"10.0.0.1{character}"),
        ScanRequest("10.0.0.1", f"-p 80{character}22"),
        ScanRequest("10.0.0.1", f"--script default{character}x"),
        ScanRequest("10.0.0.1", f"--host-timeout 5{character}m"),
        ScanRequest("10.0.0.1", exclude=(f"10.0.0.1{character}",)),
        ScanRequest("10.0.0.1", template=f"quick{character}"),
    ):
        # A tab or a line's end between two tokens is a blank, and the second token is then refused.
        with pytest.raises(PolicyViolation):
            plan(request, policy, addresses, SCRIPTS)


def test_patterns_of_the_grammars_are_compiled_once() -> None:
    folder = Path(planning.__file__).parent
    grammars = ("_arguments", "_combine", "_options", "_plan", "_scope", "_scripts", "_targets", "_values")
    for name in grammars:
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        used = [
            f"{name}.{function.name}: re.{node.attr}"
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "re"
            and node.attr not in {"Match", "Pattern"}
        ]
        assert not used
