"""Recorded scan requests with the verdict they must get."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tracefuse.tools._policy import Policy, PolicyViolation
from tracefuse.tools.nmap._plan import plan
from tracefuse.tools.nmap._request import ScanRequest
from tracefuse.tools.nmap._script_db import ScriptDatabase

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "cases/scan-requests/cases.jsonl").read_text(encoding="utf-8").splitlines()
]
# A small database in nmap's form, so that the verdicts do not depend on an installed nmap.
SCRIPTS = {
    "ftp-brute": ("brute", "intrusive"),
    "http-open-proxy": ("default", "discovery", "external", "safe"),
    "http-shellshock": ("exploit", "intrusive", "vuln"),
    "http-title": ("default", "discovery", "safe"),
    "shodan-api": ("discovery", "external", "safe"),
    "smb-vuln-ms10-054": ("dos", "intrusive", "vuln"),
    "snmp-brute": ("brute", "intrusive"),
    "ssh-brute": ("brute", "intrusive"),
    "targets-sniffer": ("broadcast", "discovery", "safe"),
}
ENTRY = 'Entry {{ filename = "{}.nse", categories = {{ "{}", }} }}'
DATABASE = ScriptDatabase("\n".join(ENTRY.format(name, '", "'.join(words)) for name, words in SCRIPTS.items()))


def lookup(answers: dict[str, list[str]], name: str) -> list[str]:
    return answers.get(name, [])


def verdict(case: dict[str, Any], database: ScriptDatabase | None) -> str:
    request = ScanRequest(case["target"], case["args"])
    try:
        plan(request, Policy(), partial(lookup, case.get("resolve", {})), database)
    except PolicyViolation:
        return "reject"
    return "accept"


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_every_case_gets_its_verdict(case: dict[str, Any]) -> None:
    assert verdict(case, DATABASE) == case["expect"], case["why"]
    assert verdict(case, None) == case["expect"], f"without a script database: {case['why']}"


@pytest.mark.parametrize("case", [case for case in CASES if case["expect"] == "reject"], ids=lambda case: case["id"])
def test_the_example_of_every_refusal_is_accepted(case: dict[str, Any]) -> None:
    with pytest.raises(PolicyViolation) as caught:
        plan(ScanRequest(case["target"], case["args"]), Policy(), partial(lookup, case.get("resolve", {})), DATABASE)
    violation = caught.value
    assert violation.problem and len(str(violation)) < 600 and str(violation).isprintable()
    request = {"target": "127.0.0.1", violation.field: violation.example}
    assert plan(ScanRequest(**request), Policy(), lambda name: (), DATABASE).address_count >= 1
