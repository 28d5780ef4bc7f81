"""Script expressions: read, expanded against the installed database, judged, and written anew.

The grammar is nmap's `--script` without paths and forced scripts: a comma list of boolean expressions of
categories, `all`, names and `*` patterns. nmap reads `a and b or c` as `a and (b or c)`, which nobody
expects, so mixing both without parentheses is refused. What is not in the database is refused too: nmap
would look for a file of that name and run it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from .._policy import Policy, PolicyViolation, Rule

if TYPE_CHECKING:
    from ._script_db import ScriptDatabase

__all__ = ["DEFAULT_RULE", "ScriptSelection", "clear_script_cache", "select_scripts"]

DEFAULT_RULE: Final = "default"
"""The rule that `-sC` stands for."""

_THIRD_PARTY: Final = ("broadcast", "external")
_INTRUSIVE: Final = ("brute", "dos", "exploit", "fuzzer", "intrusive", "malware", "vuln")
_TARGETS: Final = "targets-*"

_TOKEN: Final = re.compile(r" *(?:([()])|([A-Za-z0-9*](?:[A-Za-z0-9._*-]{0,127})))", re.ASCII)
_KEYWORDS: Final = frozenset({"and", "or", "not", "true", "false"})
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class ScriptSelection:
    """The scripts of a scan.

    Attributes:
        expression: what nmap is given.
        scripts: the names it stands for; empty when there was no database to expand it with.
        left_out: default scripts that the policy refuses and that are therefore not run.
        digest: which database it was checked against, "" for none.
    """

    expression: str
    scripts: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    digest: str = ""


def select_scripts(rules: str, policy: Policy, database: ScriptDatabase | None, position: int = -1) -> ScriptSelection:
    """Judge a comma list of script rules. The rule `default` runs without those the policy refuses.

    Raises:
        PolicyViolation: rule script.unknown or script.refused; `details` holds the scripts that broke it.

    >>> from tracefuse.tools.nmap._script_db import ScriptDatabase
    >>> database = ScriptDatabase('Entry { filename = "http-title.nse", categories = { "default", "safe", } }')
    >>> select_scripts("http-title.nse", Policy(), database).expression
    'http-title'
    """
    try:
        return _select(rules, policy.script_categories, policy.allow_intrusive, database)
    except _RefusedError as error:
        fits = 0 < len(error.example) <= policy.max_argument_length
        example = error.example if fits else f"--script {DEFAULT_RULE}"
        raise PolicyViolation(
            error.rule, rules, position, example, error.suggestion, problem=error.problem, details=error.details
        ) from None


class _RefusedError(Exception):
    def __init__(
        self, rule: Rule, problem: str, suggestion: str, example: str = "", details: tuple[str, ...] = ()
    ) -> None:
        super().__init__(problem)
        self.rule = rule
        self.problem = problem
        self.suggestion = suggestion
        self.example = example
        self.details = details


@lru_cache(maxsize=256)
def _select(
    rules: str, categories: tuple[str, ...], allow_intrusive: bool, database: ScriptDatabase | None
) -> ScriptSelection:
    """Cached by everything it depends on, so another policy or database never sees an old verdict."""
    refused = (*_THIRD_PARTY, *(() if allow_intrusive else _INTRUSIVE))
    required = () if allow_intrusive else categories
    guard = _guard(required, refused, database)
    texts = [text.strip() for text in rules.split(",")]
    if database is None:
        if {text.lower() for text in texts} != {DEFAULT_RULE}:
            problem = "the script database of nmap is not at hand, so the scripts cannot be checked"
            raise _RefusedError(Rule.SCRIPT_UNKNOWN, problem, "ask for the default scripts, or install nmap's scripts")
        return ScriptSelection(f"{DEFAULT_RULE}{guard}", ())
    bad = _union(database, refused) | database.named(_TARGETS)
    if required:
        bad |= database.all & ~_union(database, required)
    chosen = left_out = 0
    written: list[str] = []
    for text in dict.fromkeys(texts):
        mask, expression, plain = _Reader(text, database).read()
        if text.lower() == DEFAULT_RULE:
            left_out |= mask & bad
            mask &= ~bad
        elif mask & bad:
            raise _refusal(text, mask, bad, guard, database)
        if not mask:
            raise _RefusedError(Rule.SCRIPT_REFUSED, "the policy allows none of the default scripts", "name others")
        chosen |= mask
        # nmap evaluates names as they are and everything wider behind the guard, whatever its database says.
        written.append(expression if plain else f"{_grouped(expression)}{guard}")
    return ScriptSelection(
        ",".join(written), database.members(chosen), database.members(left_out & ~chosen), database.digest
    )


def _guard(required: tuple[str, ...], refused: tuple[str, ...], database: ScriptDatabase | None) -> str:
    """What nmap itself is told to hold to, in words that its database has."""

    def known(words: tuple[str, ...]) -> str:
        present = [w for w in words if database is None or w in database.categories or database.named(w)]
        return " or ".join(sorted(present))

    within, without = known(required), known((*refused, _TARGETS))
    return (f" and ({within})" if within else "") + (f" and not ({without})" if without else "")


def clear_script_cache() -> None:
    """Forget all verdicts on script expressions, to free memory: they cannot become wrong."""
    _select.cache_clear()


def _refusal(text: str, mask: int, bad: int, guard: str, database: ScriptDatabase) -> _RefusedError:
    offending = database.members(mask & bad)
    shown = ", ".join(offending[:5]) + (f" and {len(offending) - 5} more" if len(offending) > 5 else "")
    problem = f"it reaches scripts that are not allowed: {shown}"
    if not mask & ~bad:
        return _RefusedError(Rule.SCRIPT_REFUSED, problem, "choose others", details=offending)
    example = f'--script "({text}){guard}"'
    return _RefusedError(Rule.SCRIPT_REFUSED, problem, "exclude them in the expression", example, offending)


def _union(database: ScriptDatabase, categories: tuple[str, ...]) -> int:
    mask = 0
    for category in categories:
        mask |= database.categories.get(category, 0)
    return mask


def _grouped(expression: str) -> str:
    return f"({expression})" if " " in expression else expression


class _Reader:
    """Recursive descent over one rule: the set it stands for, and its canonical writing."""

    def __init__(self, text: str, database: ScriptDatabase) -> None:
        self._text = text
        self._database = database
        self._tokens = self._split(text)
        self._at = 0

    def read(self) -> tuple[int, str, bool]:
        """The set, the writing, and whether the rule is just one name."""
        mask, written = self._expression(0)
        if self._at < len(self._tokens):
            raise self._malformed(f"{self._tokens[self._at]!r} was not expected there")
        if not mask:
            raise self._malformed("it matches no script of the installed nmap")
        return mask, written, written in self._database.names

    def _split(self, text: str) -> list[str]:
        tokens: list[str] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                raise self._malformed(
                    f"{text[at : at + 20].strip() or ' '!r} is neither a script, a category nor an operator"
                )
            tokens.append(found[0].strip())
            at = found.end()
        return tokens

    def _expression(self, depth: int) -> tuple[int, str]:
        mask, written = self._value(depth)
        joined = self._next_operator()
        operator = joined
        while joined:
            if joined != operator:
                raise self._malformed("'and' and 'or' are mixed, which nmap reads differently; use parentheses")
            self._at += 1
            other, other_written = self._value(depth)
            mask = mask & other if joined == "and" else mask | other
            written = f"{written} {joined} {other_written}"
            joined = self._next_operator()
        return mask, written

    def _next_operator(self) -> str:
        token = self._tokens[self._at].lower() if self._at < len(self._tokens) else ""
        return token if token in {"and", "or"} else ""

    def _value(self, depth: int) -> tuple[int, str]:
        if depth > _DEEPEST:
            raise self._malformed(f"nested deeper than {_DEEPEST}")
        if self._at >= len(self._tokens):
            raise self._malformed("it ends too early" if self._tokens else "a rule is empty")
        word = self._tokens[self._at]
        self._at += 1
        if word == "(":
            mask, written = self._expression(depth + 1)
            if self._at >= len(self._tokens) or self._tokens[self._at] != ")":
                raise self._malformed("a parenthesis is not closed")
            self._at += 1
            return mask, _grouped(written)
        if word.lower() == "not":
            mask, written = self._value(depth + 1)
            return self._database.all & ~mask, f"not {written}"
        return self._atom(word)

    def _atom(self, word: str) -> tuple[int, str]:
        database, lower = self._database, word.lower()
        if lower in _KEYWORDS - {"true", "false"} or word == ")":
            raise self._malformed(f"{word!r} was not expected there")
        if lower in {"true", "all"}:
            return database.all, lower
        if lower == "false":
            return 0, lower
        if lower in database.categories:
            return database.categories[lower], lower
        mask = database.named(word)
        if not mask:
            raise self._malformed(f"{word!r} is no script or category of the installed nmap")
        return mask, word.removesuffix(".nse")

    def _malformed(self, problem: str) -> _RefusedError:
        return _RefusedError(Rule.SCRIPT_UNKNOWN, problem, "names are those of nmap's script.db, categories words")
