"""Writes the pages of this folder that are made from the code: `python docs/generate.py`.

A test compares them with what this makes, so that they cannot tell another story than the code.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracefuse.tools import Policy, PolicyViolation, Rule, ScanRequest
from tracefuse.tools.nmap import OPTION_TABLE, TEMPLATES, Option, ScriptDatabase, Verdict, plan
from tracefuse.tools.nmap._options import Raw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER: Final = Path(__file__).parent
MADE: Final = "<!-- Made by docs/generate.py from the code; change that, not this. -->"

DATABASE: Final = ScriptDatabase(
    'Entry { filename = "http-title.nse", categories = { "default", "discovery", "safe", } }\n'
    'Entry { filename = "ssh-brute.nse", categories = { "brute", "intrusive", } }'
)
"""Two scripts as they stand in nmap's database, so that the page does not depend on the installed nmap."""

REFUSED: Final = (
    ScanRequest("8.8.8.8"),
    ScanRequest("169.254.169.254"),
    ScanRequest("trap.lab.internal"),
    ScanRequest("10.0.0.0/8"),
    ScanRequest("http://10.0.0.5/"),
    ScanRequest("-oN"),
    ScanRequest("www.example.org"),
    ScanRequest("gone.lab.internal"),
    ScanRequest(targets=("10.0.0.5", "fd00::5")),
    ScanRequest("10.0.0.5", '"-p=80 2130706433"'),
    ScanRequest("10.0.0.5", "-p 80 10.0.0.6"),
    ScanRequest("10.0.0.5", "-PS 22"),
    ScanRequest("10.0.0.5", "-p '80"),
    ScanRequest("10.0.0.5", "\u2010sV"),
    ScanRequest("10.0.0.5", "-p " + "80," * 1000),
    ScanRequest("10.0.0.5", "--ports 80"),
    ScanRequest("10.0.0.5", "-oN /tmp/result"),
    ScanRequest("10.0.0.5", "-iL targets.txt"),
    ScanRequest("10.0.0.5", "-A"),
    ScanRequest("10.0.0.5", "-sU -p 53"),
    ScanRequest("10.0.0.5", "-T9"),
    ScanRequest("10.0.0.5", "-sn -p 80"),
    ScanRequest("10.0.0.5", "-p 70000"),
    ScanRequest("10.0.0.5", "--script ./mine"),
    ScanRequest("10.0.0.5", "--script ssh-brute"),
    ScanRequest("10.0.0.5", template="fast"),
    ScanRequest("10.0.0.5", timeout=86400),
)
"""Requests as people write them; together they break every rule that a text can break."""

NAMES: Final = {"trap.lab.internal": ("10.0.0.5", "169.254.169.254")}


def pages() -> dict[Path, str]:
    """Each page with its text."""
    return {
        FOLDER / "nmap-options.md": _page(_options()),
        FOLDER / "nmap-refusals.md": _page(_refusals()),
        FOLDER / "nmap-templates.md": _page(_templates()),
    }


def _page(lines: Iterator[str]) -> str:
    return "\n".join((*lines, ""))


def _options() -> Iterator[str]:
    yield from ("# Every option of nmap and what the policy says to it", "", MADE, "")
    yield "Names are exact: no abbreviation, no other spelling. What is not here does not exist for Tracefuse."
    yield "How the policy decides is told in [nmap.md](nmap.md)."
    for heading, verdict, said in (
        ("Allowed", Verdict.ALLOWED, "By every policy, with a value of the form shown."),
        ("Only with `allow_intrusive`", Verdict.INTRUSIVE, "They may disturb or attack what they are sent to."),
    ):
        yield from (
            "",
            f"## {heading}",
            "",
            said,
            "",
            *_table(("option", "meaning", "example", "note"), _usable(verdict)),
        )
    for heading, verdict, said in (
        ("Set by Tracefuse", Verdict.MANAGED, "You need not give them, and cannot."),
        ("Refused", Verdict.REFUSED, "By every policy."),
    ):
        yield from ("", f"## {heading}", "", said)
        rows = sorted(
            (option for option in OPTION_TABLE if option.verdict is verdict), key=lambda option: option.reason
        )
        for reason, options in groupby(rows, key=lambda option: option.reason):
            yield from ("", f"**{_sentence(reason)}**", "")
            yield from _table(("option", "meaning", "write instead"), (_unusable(option) for option in options))


def _usable(verdict: Verdict) -> Iterator[tuple[str, ...]]:
    for option in OPTION_TABLE:
        if option.verdict is verdict:
            yield _names(option), option.meaning, _code(option.example), _note(option)


def _note(option: Option) -> str:
    root = {
        Raw.NEEDED: "needs root",
        Raw.WEAKER: "without root a TCP connect probe is sent instead",
        Raw.NOT_NEEDED: "",
    }[option.raw]
    return "; ".join(note for note in (option.reason, root, "IPv4 only" if option.ipv4_only else "") if note)


def _unusable(option: Option) -> tuple[str, ...]:
    return _names(option), option.meaning, _code(option.instead)


def _refusals() -> Iterator[str]:
    yield from ("# What a refusal says", "", MADE, "")
    yield "A refused request starts nothing, opens no circuit and is counted by its rule. The example in each message"
    yield "would have been accepted by the same policy; here it is the default one, without root."
    rows = sorted(map(_refused, REFUSED), key=lambda row: list(Rule).index(row[0]))
    for rule, group in groupby(rows, key=lambda row: row[0]):
        yield from ("", f"## `{rule.value}`", "", *_table(("asked", "answer"), ((row[1], row[2]) for row in group)))


def _refused(request: ScanRequest) -> tuple[Rule, str, str]:
    try:
        plan(request, Policy(), lambda name: NAMES.get(name, ()), DATABASE, privileged=False)
    except PolicyViolation as violation:
        return violation.rule, _code(_asked(request)), _escaped(str(violation))
    raise ValueError(f"{request} is not refused")


def _asked(request: ScanRequest) -> str:
    arguments = request.extra_args if len(request.extra_args) < 60 else f"{request.extra_args[:20]}..."
    template = f"-t {request.template}" if request.template else ""
    timeout = f"--timeout {request.timeout:g}" if request.timeout else ""
    return " ".join(part for part in (request.target, *request.targets, template, timeout, arguments) if part)


def _templates() -> Iterator[str]:
    yield from ("# The templates", "", MADE, "")
    yield "Times are rough, for a local network. Own templates come from the configuration: [nmap.md](nmap.md)."
    rows = ((_code(t.name), _code(t.arguments), t.sends, t.takes) for t in TEMPLATES.values())
    yield from ("", *_table(("template", "arguments", "what it sends", "how long it takes"), rows))


def _table(columns: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _names(option: Option) -> str:
    return ", ".join(map(_code, option.names))


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
