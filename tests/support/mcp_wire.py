"""One call of an MCP tool as it goes over the wire, without a client."""

from __future__ import annotations

from typing import Any

__all__ = ["mcp_call", "mcp_headers"]


def mcp_headers(tool: str) -> dict[str, str]:
    """The headers of a call of `tool`."""
    accept = "application/json, text/event-stream"
    return {"accept": accept, "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": tool}


def mcp_call(tool: str, **arguments: Any) -> dict[str, Any]:
    """The body of a call of `tool`."""
    meta = {"protocolVersion": "2026-07-28", "clientInfo": {"name": "raw", "version": "1"}, "clientCapabilities": {}}
    known = {f"io.modelcontextprotocol/{key}": value for key, value in meta.items()}
    params = {"name": tool, "arguments": arguments, "_meta": known}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
