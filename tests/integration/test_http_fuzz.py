"""The HTTP face against its own OpenAPI document: no request makes it fail, and every answer is as described."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from support.http_thread import serving_in_thread
from support.mcp_service import quick_nmap
from tracefuse.telemetry.testing import InMemoryTelemetry


def wrong_data_is_refused(ctx: Any, response: Any, case: schemathesis.Case) -> bool | None:
    """The fuzzer does not count 413 as a refusal, and some of its wrong bodies are too large."""
    return None if response.status_code == 413 else negative_data_rejection(ctx, response, case)


CHECKS = [
    content_type_conformance,
    wrong_data_is_refused,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]
FEW = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
# The fuzzer's own use of `random` is its own affair.
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
STREAMS = {"/events", "/scans/{scan_id}/events"}
"""They do not end."""
SWITCHES = {"/breakers/{name}/{action}", "/tools/{name}/disable"}
"""After them others answer 503 or 403, as described."""


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with InMemoryTelemetry() as memory, serving_in_thread(folder, quick_nmap(folder), memory) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def fuzz(operation: Any, mode: GenerationMode) -> None:
    """Ask for one operation in many ways."""

    @FEW
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, timeout=30)

    ask()


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_described(schema: Any, mode: GenerationMode) -> None:
    operations = sorted((found.ok() for found in schema.get_all_operations()), key=lambda one: one.path in SWITCHES)
    asked = [operation for operation in operations if operation.path not in STREAMS]
    assert len(asked) >= 20
    for operation in asked:
        # An operation without parameters has nothing that could be wrong.
        with nullcontext() if mode is GenerationMode.POSITIVE else suppress(Unsatisfiable):
            fuzz(operation, mode)
