"""Inputs and outputs in their known shapes."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tracefuse.tools import ErrorContext, Policy, ToolErrorType, ToolInput, ToolOutput
from tracefuse.tools.nmap import Address, Host, Report, parse_nmap_output

ALLOWED = ("127.0.0.1", "10.0.0.0/8", "192.168.1.1-20", "fd00::1", "web.lab.internal", "localhost", "10.0.0.1,3")
REFUSED = (
    *("8.8.8.8", "0.0.0.0/0", "169.254.169.254", "::ffff:8.8.8.8", "192.0.2.1", "255.255.255.255", "www.example.org"),
    *("", " 127.0.0.1", "127.0.0.1\n", "127.0.0.1 10.0.0.1", "-oN", "--script", "2130706433", "127.1", "0x7f000001"),
    *("web\n.lab.internal", "http://10.0.0.1", "10.0.0.1:80", "10.0.0.0/255.0.0.0", "١٢٧.0.0.1", "10.0.0.1;id"),
)


@pytest.mark.parametrize("target", ALLOWED)
def test_a_target_inside_the_policy_is_taken_as_it_is(target: str) -> None:
    assert ToolInput(target=target).target == target


@pytest.mark.parametrize("target", REFUSED)
def test_a_target_outside_is_refused_at_once_with_an_example(target: str) -> None:
    with pytest.raises(ValidationError, match="Example: ") as caught:
        ToolInput(target=target)
    assert [error["loc"] for error in caught.value.errors()] == [("target",)]


@pytest.mark.parametrize("character", [*";&|`$<>\n\r\t\0\x1b", "\u2010", "é"])
def test_arguments_have_nothing_that_only_a_shell_reads(character: str) -> None:
    with pytest.raises(ValidationError, match="Example: '-sV -p 80'"):
        ToolInput(target="127.0.0.1", extra_args=f"-sV {character} id")


def test_arguments_may_not_be_too_long() -> None:
    with pytest.raises(ValidationError, match="2,049 characters, and extra_args may have 2,048"):
        ToolInput(target="127.0.0.1", extra_args=" " * 2049)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "soon"])
def test_a_time_limit_is_a_positive_number(seconds: object) -> None:
    with pytest.raises(ValidationError):
        ToolInput.model_validate({"target": "127.0.0.1", "timeout_sec": seconds})


def test_a_misspelt_field_is_refused_and_an_assignment_is_checked_as_well() -> None:
    with pytest.raises(ValidationError):
        ToolInput.model_validate({"target": "127.0.0.1", "extra_arg": "-sV"})
    given_input = ToolInput(target="127.0.0.1", timeout_sec=5)
    with pytest.raises(ValidationError):
        given_input.target = "8.8.8.8"
    assert (given_input.target, given_input.extra_args, given_input.timeout_sec) == ("127.0.0.1", "", 5.0)


def test_another_policy_comes_by_the_context_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    public = Policy(networks=(ip_network("198.51.100.0/24"),), domains=("example.org",))
    taken = ToolInput.model_validate({"target": "198.51.100.7"}, context={"policy": public})
    assert taken.target == "198.51.100.7"
    assert ToolInput.model_validate({"target": "example.org"}, context={"policy": public}).target == "example.org"
    with pytest.raises(ValidationError):
        ToolInput.model_validate({"target": "10.0.0.1"}, context={"policy": public})
    with pytest.raises(ValidationError):
        ToolInput(target="198.51.100.7")
    monkeypatch.setenv("TRACEFUSE_POLICY_NETWORKS", "198.51.100.0/24")
    assert ToolInput(target="198.51.100.7").target == "198.51.100.7"


@given(st.text(max_size=30))
def test_whatever_is_given_as_a_target_either_passes_or_is_a_validation_error(text: str) -> None:
    try:
        said = ToolInput(target=text).target
    except ValidationError as error:
        said = str(error)
    assert said == text or "Example: " in said


KNOWN_FIELDS = {
    *("stdout", "stderr", "returncode", "truncated_stdout", "truncated_stderr", "timed_out", "error", "error_type"),
    *("execution_time", "correlation_id", "metadata"),
}


def test_an_output_has_the_known_fields_and_is_json() -> None:
    output = ToolOutput(stdout="x", returncode=0, error_type=ToolErrorType.TIMEOUT, report=Report())
    assert output.model_dump().keys() == KNOWN_FIELDS
    assert json.loads(output.model_dump_json())["error_type"] == "timeout"
    assert output.report == Report()


def test_both_have_a_json_schema_with_the_known_fields() -> None:
    asked, answered = ToolInput.model_json_schema(), ToolOutput.model_json_schema()
    assert set(asked["properties"]) == {"target", "extra_args", "timeout_sec", "correlation_id"}
    assert asked["required"] == ["target"] and asked["description"] == "One request to a tool."
    assert all(field["description"] for field in asked["properties"].values())
    assert set(answered["properties"]) == KNOWN_FIELDS


def test_the_report_of_an_output_is_there_as_xml_too() -> None:
    report = Report(hosts=(Host("up", (Address("10.0.0.7"),)),))
    assert parse_nmap_output(ToolOutput(returncode=0, report=report).xml).hosts[0].address == "10.0.0.7"
    assert ToolOutput(returncode=0).xml == ""


@pytest.mark.parametrize(
    ("fields", "success"),
    [
        ({"returncode": 0}, True),
        ({"returncode": 1}, False),
        ({"returncode": 0, "timed_out": True}, False),
        ({"returncode": 0, "error": "said so"}, False),
    ],
)
def test_success_is_a_clean_end(fields: dict[str, object], success: bool) -> None:
    assert ToolOutput.model_validate(fields).is_success() is success


def test_metadata_can_be_relied_on() -> None:
    output = ToolOutput(returncode=0, metadata=None)
    output.ensure_metadata()["seen"] = True
    assert output.metadata == {"seen": True}
    assert ToolOutput(returncode=0).metadata == {}


def test_an_error_context_becomes_a_dictionary() -> None:
    context = ErrorContext(
        error_type=ToolErrorType.NOT_FOUND, message="gone", recovery_suggestion="install it", tool_name="nmap",
        target="10.0.0.1", metadata={"path": "nmap"},
    )  # fmt: skip
    found = context.to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found.pop("timestamp").endswith("+00:00")
    assert found == {
        "error_type": "not_found",
        "message": "gone",
        "recovery_suggestion": "install it",
        "tool_name": "nmap",
        "target": "10.0.0.1",
        "metadata": {"path": "nmap"},
    }
