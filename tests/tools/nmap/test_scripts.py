from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.components import nmap_needed
from tracefuse.tools._policy import Policy, PolicyViolation, Rule
from tracefuse.tools.nmap._script_db import ScriptDatabase, ScriptDatabaseError, load_script_database
from tracefuse.tools.nmap._scripts import ScriptSelection, clear_script_cache, select_scripts

SCRIPTS = {
    "http-title": {"default", "discovery", "safe"},
    "http-headers": {"discovery", "safe"},
    "http-robots.txt": {"default", "discovery", "safe"},
    "http-open-proxy": {"default", "discovery", "external", "safe"},
    "http-git": {"default", "safe", "vuln"},
    "http-sql-injection": {"intrusive", "vuln"},
    "ssl-cert": {"default", "discovery", "safe"},
    "ssh-brute": {"brute", "intrusive"},
    "banner": {"discovery", "safe"},
    "broadcast-ping": {"broadcast", "discovery", "safe"},
    "smb-flood": {"dos", "intrusive"},
    "targets-xml": {"safe"},
    "snmp-sysdescr": {"discovery"},
    "http-fuzz": {"fuzzer", "intrusive"},
    "http-malware": {"malware", "safe"},
    "xmlrpc-shell": {"exploit", "intrusive"},
}
ENTRY = 'Entry {{ filename = "{}.nse", categories = {{ "{}", }} }}'
TEXT = "\n".join(ENTRY.format(name, '", "'.join(sorted(words))) for name, words in SCRIPTS.items())
DATABASE = ScriptDatabase(TEXT)
INTRUSIVE = Policy(allow_intrusive=True)
INSTALLED = Path("/usr/share/nmap/scripts/script.db")
NMAP = shutil.which("nmap")


def chosen(rules: str, policy: Policy | None = None) -> set[str]:
    return set(select_scripts(rules, policy or Policy(), DATABASE).scripts)


def refused(rules: str, policy: Policy | None = None) -> PolicyViolation:
    with pytest.raises(PolicyViolation) as caught:
        select_scripts(rules, policy or Policy(), DATABASE, 3)
    assert caught.value.position == 3
    return caught.value


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("http-title", {"http-title"}),
        ("http-title.nse", {"http-title"}),
        ("http-robots.txt", {"http-robots.txt"}),
        ("http-title,ssl-cert", {"http-title", "ssl-cert"}),
        (" http-title , ssl-cert ", {"http-title", "ssl-cert"}),
        ("ssl-*", {"ssl-cert"}),
        ("h*t*tle*", {"http-title"}),
        ("banner or http-h*", {"banner", "http-headers"}),
        ("http-title and safe", {"http-title"}),
        ("safe AND (http-title OR ssl-cert)", {"http-title", "ssl-cert"}),
        ("not (not ssl-cert)", {"ssl-cert"}),
        ("SAFE and ssl-cert", {"ssl-cert"}),
        ("all and ssl-cert", {"ssl-cert"}),
        ("true and ssl-cert or false", None),
        ("(ssl-cert) or false", {"ssl-cert"}),
        ("ssl-cert or ssl-cert or banner", {"ssl-cert", "banner"}),
    ],
)
def test_an_expression_is_expanded_against_the_database(rules: str, expected: set[str] | None) -> None:
    if expected is None:
        assert refused(rules).rule is Rule.SCRIPT_UNKNOWN
    else:
        assert chosen(rules) == expected


def test_names_are_passed_as_names_and_wider_rules_behind_a_guard() -> None:
    assert select_scripts("http-title.nse,ssl-cert", Policy(), DATABASE).expression == "http-title,ssl-cert"
    guarded = select_scripts("ssl-* or banner", Policy(), DATABASE).expression
    assert guarded == (
        "(ssl-* or banner) and (default or safe) and not "
        "(broadcast or brute or dos or exploit or external or fuzzer or intrusive or malware or targets-* or vuln)"
    )


@pytest.mark.parametrize("rules", ["default", "DEFAULT", "default,default"])
def test_default_scripts_run_without_those_the_policy_refuses(rules: str) -> None:
    selection = select_scripts(rules, Policy(), DATABASE)
    assert set(selection.scripts) == {"http-title", "http-robots.txt", "ssl-cert"}
    assert set(selection.left_out) == {"http-open-proxy", "http-git"}
    assert selection.digest == DATABASE.digest


@pytest.mark.parametrize(
    ("rules", "offending"),
    [
        ("vuln", {"http-git", "http-sql-injection"}),
        ("VULN", {"http-git", "http-sql-injection"}),
        ("safe", {"http-open-proxy", "http-git", "broadcast-ping", "targets-xml", "http-malware"}),
        ("http-*", {"http-open-proxy", "http-git", "http-sql-injection", "http-fuzz", "http-malware"}),
        ("ssh-brute", {"ssh-brute"}),
        ("smb-flood,http-title", {"smb-flood"}),
        ("default,ssh-brute", {"ssh-brute"}),
        ("targets-xml", {"targets-xml"}),
        ("snmp-sysdescr", {"snmp-sysdescr"}),
        ("default and safe", {"http-open-proxy", "http-git"}),
    ],
)
def test_scripts_are_refused_by_name_not_filtered(rules: str, offending: set[str]) -> None:
    violation = refused(rules)
    assert violation.rule is Rule.SCRIPT_REFUSED
    assert set(violation.details) == offending
    assert any(name in violation.problem for name in offending)


@pytest.mark.parametrize("rules", ["true", "all", "not ssl-cert", "*"])
def test_everything_is_too_much(rules: str) -> None:
    assert refused(rules).rule is Rule.SCRIPT_REFUSED
    assert refused(rules, INTRUSIVE).rule is Rule.SCRIPT_REFUSED


def test_intrusive_scripts_need_leave_and_third_parties_never_get_it() -> None:
    assert chosen("ssh-brute,smb-flood,xmlrpc-shell,snmp-sysdescr", INTRUSIVE) >= {"ssh-brute", "smb-flood"}
    assert "http-git" in chosen("default", INTRUSIVE)
    for rules in ("http-open-proxy", "broadcast-ping", "external", "targets-xml"):
        assert refused(rules, INTRUSIVE).rule is Rule.SCRIPT_REFUSED


def test_the_categories_of_the_policy_decide() -> None:
    assert chosen("snmp-sysdescr", Policy(script_categories=("discovery",))) == {"snmp-sysdescr"}
    assert refused("default", Policy(script_categories=("version",))).rule is Rule.SCRIPT_REFUSED


@pytest.mark.parametrize(
    "rules",
    [
        *(
            "",
            " ",
            ",",
            "http-title,",
            "http-title,,ssl-cert",
            "evil",
            "./evil.nse",
            "../x",
            "/tmp/",
            "/tmp/x.nse",
            "~/x",
        ),
        *(
            "HTTP-TITLE",
            "http-title.NSE",
            "http-titl?",
            "[a-z]*",
            "+http-title",
            "+ssh-brute",
            "file:///x",
            "http-title\\x",
        ),
        *(
            "http-title banner",
            "http-title;banner",
            "$(id)",
            "(http-title",
            "http-title)",
            "()",
            "and",
            "not",
            "or banner",
        ),
        *(
            "banner and",
            "banner and or ssl-cert",
            "false",
            "safe and vuln and brute",
            "http-title --oX",
            "-oX",
            "a" * 500,
        ),
        "safe and http-title or banner",
        "(" * 60 + "banner" + ")" * 60,
        "not " * 60 + "banner",
    ],
)
def test_what_is_not_understood_is_refused(rules: str) -> None:
    assert refused(rules).rule is Rule.SCRIPT_UNKNOWN


def test_an_example_that_would_be_too_long_gives_way_to_a_short_one() -> None:
    assert "and not" in refused("safe").example
    assert refused("safe", Policy(max_argument_length=64)).example == "--script default"


def test_without_a_database_only_the_default_scripts_can_be_asked_for() -> None:
    selection = select_scripts("default", Policy(), None)
    assert selection.expression.startswith("default and (default or safe) and not (")
    assert selection.scripts == () and selection.digest == ""
    assert select_scripts("DEFAULT", Policy(), None) == selection
    with pytest.raises(PolicyViolation, match="database"):
        select_scripts("http-title", Policy(), None)


def test_a_verdict_is_remembered_per_policy_and_database() -> None:
    clear_script_cache()
    assert select_scripts("ssl-*", Policy(), DATABASE) is select_scripts("ssl-*", Policy(), DATABASE)
    assert refused("ssh-brute").rule is Rule.SCRIPT_REFUSED
    assert chosen("ssh-brute", INTRUSIVE) == {"ssh-brute"}
    assert refused("ssh-brute").rule is Rule.SCRIPT_REFUSED


atoms = st.sampled_from([*SCRIPTS, "safe", "default", "vuln", "discovery", "http-*", "*-brute", "all"])
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        inner.map(lambda text: f"not ({text})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]}) {t[1]} ({t[2]})"),
    ),
    max_leaves=6,
)


def meaning(text: str) -> set[str]:
    """The same expression through Python's own parser."""

    def atom(found: re.Match[str]) -> str:
        word = found[0]
        if word in {"and", "or", "not"}:
            return word
        pattern = re.compile(re.escape(word).replace(r"\*", ".*"))
        members = {name for name, words in SCRIPTS.items() if word == "all" or word in words or pattern.fullmatch(name)}
        return f"(name in {members or '()'})"

    condition = compile(re.sub(r"[a-z*][a-z*.-]*", atom, text), "<expression>", "eval")
    return {name for name in SCRIPTS if eval(condition, {"name": name})}


@given(expressions)
def test_expressions_mean_what_python_says_they_mean(text: str) -> None:
    expected = meaning(text)
    try:
        selection = select_scripts(text, INTRUSIVE, DATABASE)
    except PolicyViolation as violation:
        bad = {"http-open-proxy", "broadcast-ping", "targets-xml"}
        refused_for = set(violation.details)
        assert refused_for == expected & bad
        assert refused_for or not expected
    else:
        assert isinstance(selection, ScriptSelection)
        if text != "default":
            assert set(selection.scripts) == expected


@given(st.text(max_size=40) | st.from_regex(r"[a-z*() .,-]{0,40}", fullmatch=True))
def test_any_text_is_a_selection_or_a_refusal_whose_example_passes(text: str) -> None:
    try:
        selection = select_scripts(text, Policy(), DATABASE)
    except PolicyViolation as violation:
        rules = violation.example.removeprefix("--script ").strip('"')
        selection = select_scripts(rules, Policy(), DATABASE)
    assert selection.scripts
    for name in selection.scripts:
        assert SCRIPTS[name] & {"safe", "default"}
        assert not SCRIPTS[name] & {"intrusive", "external", "broadcast", "brute", "dos", "exploit", "vuln", "malware"}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 0),
        ("-- comment only", 0),
        ('Entry { filename = "a.nse", categories = { "safe", } }\nos.execute("x")', 2),
        ('Entry { filename = "../a.nse", categories = { "safe", } }', 1),
        ('Entry { filename = "a", categories = { "safe", } }', 1),
        ("x" * 4_194_305, 0),
    ],
)
def test_a_database_of_another_form_is_refused_by_line(text: str, line: int) -> None:
    with pytest.raises(ScriptDatabaseError) as caught:
        ScriptDatabase(text)
    assert caught.value.line == line
    assert "script.db" in str(caught.value)


def test_a_database_is_read_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "script.db"
    path.write_text(TEXT, encoding="ascii")
    database = load_script_database(path)
    assert database.names == tuple(SCRIPTS)
    assert database.digest == DATABASE.digest
    with pytest.raises(FileNotFoundError):
        load_script_database(tmp_path / "none")


@nmap_needed
@pytest.mark.parametrize(
    ("rules", "intrusive"),
    [
        ("default", False),
        ("default", True),
        ("http-title,ssl-cert", False),
        ("safe and not (broadcast or external or vuln or intrusive or malware or targets-*)", False),
        ("vuln and not (broadcast or external)", True),
        ("ssl-* and safe and not (vuln or external or intrusive)", False),
    ],
)
def test_nmap_selects_exactly_the_scripts_that_were_checked(rules: str, intrusive: bool) -> None:
    assert NMAP
    selection = select_scripts(rules, Policy(allow_intrusive=intrusive), load_script_database(INSTALLED))
    # --script-help reads the expression as --script does, and sends nothing.
    command = [NMAP, f"--script-help={selection.expression}"]
    help_text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert set(re.findall(r"^(\S+)\nCategories:", help_text, re.MULTILINE)) == set(selection.scripts)
