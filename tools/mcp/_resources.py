"""What MCP clients can read: whole results, single hosts, the policy, the templates."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from ..history._records import Query
from ..nmap import report_to_text
from ._about import policy_output, template_output
from ._view import one_line, report_of, scan_output

if TYPE_CHECKING:
    from mcp_types import PaginatedRequestParams, ReadResourceRequestParams

    from ..history._records import StoredScan
    from ..service._service import Service
    from ._call import Context

__all__ = ["Resources"]

_SCAN: Final = re.compile(r"tracefuse://scans/([A-Za-z0-9_-]{1,128})(?:/(text|hosts/([0-9A-Za-z.:%_-]{1,255})))?")
_JSON: Final = "application/json"
_PAGE: Final = 50
_ALL: Final = 1_000_000
"""Rows; no host has as many."""
_LARGEST: Final = 2 << 20
"""Bytes of one resource; a larger result is given as its summary and first page."""

_FIXED: Final = (
    Resource(
        name="policy",
        uri="tracefuse://policy",
        title="Scan policy",
        description="What may be scanned and how: networks, domains, limits.",
        mime_type=_JSON,
    ),
    Resource(
        name="templates",
        uri="tracefuse://templates",
        title="Scan templates",
        description="Named sets of nmap options, what they send and how long they take.",
        mime_type=_JSON,
    ),
)

_TEMPLATES: Final = (
    ResourceTemplate(
        name="scan",
        uri_template="tracefuse://scans/{scan_id}",
        title="Result of a scan",
        description="The whole result of a scan as JSON (schema tracefuse.scan/1). May be large: scan_result pages.",
        mime_type=_JSON,
    ),
    ResourceTemplate(
        name="scan-text",
        uri_template="tracefuse://scans/{scan_id}/text",
        title="Result of a scan as text",
        description="The result in the form of nmap's normal output.",
        mime_type="text/plain",
    ),
    ResourceTemplate(
        name="scan-host",
        uri_template="tracefuse://scans/{scan_id}/hosts/{address}",
        title="One host of a scan",
        description="One host with all its ports, closed ones too, and its scripts.",
        mime_type=_JSON,
    ),
)


class Resources:
    """The handlers of `resources/*`, around one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def list(self, _ctx: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        """Policy and templates, then the results there are, newest first."""
        cursor = params.cursor if params else None
        before = _number(cursor)
        page = await asyncio.to_thread(self._service.history.find, Query(limit=_PAGE, before=before))
        fixed = _FIXED if cursor is None else ()
        return ListResourcesResult(
            resources=[*fixed, *(_listed(scan) for scan in page.scans if scan.size)],
            next_cursor=None if page.next is None else str(page.next),
        )

    async def templates(self, _ctx: Context, _params: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
        """How the addresses of results are made."""
        return ListResourceTemplatesResult(resource_templates=list(_TEMPLATES))

    async def read(self, _ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        """One resource."""
        uri = str(params.uri)
        mime, text = await self._content(uri)
        return ReadResourceResult(contents=[TextResourceContents(uri=uri, mime_type=mime, text=text)])

    async def _content(self, uri: str) -> tuple[str, str]:
        tool = self._service.app.tool
        if uri == "tracefuse://policy":
            return _JSON, policy_output(tool.policy).model_dump_json()
        if uri == "tracefuse://templates":
            return _JSON, json.dumps([template_output(one).model_dump() for one in tool.templates.values()])
        found = _SCAN.fullmatch(uri)
        if found is None:
            raise _missing(uri)
        scan_id, part, address = found.groups()
        job = await self._service.jobs.get(scan_id)
        document = await self._service.jobs.result(scan_id)
        if job is None or document is None:
            raise _missing(uri)
        return await asyncio.to_thread(_rendered, uri, job.state.value, scan_id, document, part, address)


def _rendered(
    uri: str, state: Any, scan_id: str, document: dict[str, Any], part: str | None, address: str | None
) -> tuple[str, str]:
    mime, text = _JSON, ""
    if part == "text":
        mime, text = "text/plain", report_to_text(report_of(document))
    elif address is None:
        text = json.dumps(document, separators=(",", ":"))
    else:
        page = scan_output(scan_id, state, document, rows=_ALL, everything=True, only=address)
        if not page.hosts:
            raise _missing(uri)
        text = page.hosts[0].model_dump_json(exclude_defaults=True)
    if len(text) > _LARGEST:
        mime, text = _JSON, scan_output(scan_id, state, document).model_dump_json(exclude_defaults=True)
    return mime, text


def _listed(scan: StoredScan) -> Resource:
    asked = " ".join(str(scan.request[key]) for key in ("target", "template", "extra_args") if scan.request.get(key))
    return Resource(
        name=scan.scan_id,
        uri=f"tracefuse://scans/{scan.scan_id}",
        title=f"Scan {scan.begun:%Y-%m-%d %H:%M} UTC",
        description=one_line(f"{scan.state}: {asked}"),
        mime_type=_JSON,
    )


def _number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise MCPError(INVALID_PARAMS, "Invalid cursor: leave it out for the first page")
    return int(cursor)


def _missing(uri: str) -> MCPError:
    return MCPError(INVALID_PARAMS, "Resource not found: resources/templates/list tells the forms", {"uri": uri[:300]})
