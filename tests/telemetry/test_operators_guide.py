"""The operator's guide: every variable, command, option, file and link in it exists."""

from __future__ import annotations

import re
from pathlib import Path

import click

from tracefuse.tools import Settings
from tracefuse.tools.cli._cli import cli

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/operators.md").read_text(encoding="utf-8")
COLLECTOR = (ROOT / "otel-collector.yaml").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub links to them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_variable_is_one_that_is_read() -> None:
    settings = {
        f"TRACEFUSE_{name}_{part}".upper()
        for name, group in Settings.model_fields.items()
        for part in getattr(type(group.default), "model_fields", ())
    } | {f"TRACEFUSE_{name}".upper() for name in Settings.model_fields}
    assert set(re.findall(r"\bTRACEFUSE_[A-Z_]+[A-Z]\b", GUIDE)) <= settings
    assert [name for name in re.findall(r"\bOTELCOL_[A-Z_]+[A-Z]\b", GUIDE) if f"env:{name}" not in COLLECTOR] == []


def test_every_command_and_option_is_one_that_the_program_has() -> None:
    found = re.findall(r"(?:^|[\s`/&])tracefuse ([a-z][^\n`|#]*)", GUIDE, re.MULTILINE)
    used = 0
    for line in found:
        words = line.split("\\")[0].split()
        command: click.Command = cli
        while isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        if command is cli:
            continue
        used += 1
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options | {"--token"}, line
    assert used > 8


def test_every_file_of_the_checkout_that_it_names_is_there() -> None:
    named = set(re.findall(r"\b(?:deploy|telemetry|docs)/[\w./-]+[\w/]", GUIDE))
    assert "deploy/kubernetes/service-monitor.yaml" in named
    missing = {name for name in named if not (ROOT / name).exists()}
    assert missing <= {"deploy/compose/.env"}, "which the operator writes"


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]*(?:#[^)]*)?)\)", GUIDE):
        path, _, anchor = target.partition("#")
        page = ROOT / "docs" / path if path else ROOT / "docs/operators.md"
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target
