"""The MCP face: `mcp_asgi` for streamable HTTP, `run_stdio` for a client that starts us as its child."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, cast

from .._errors import MissingExtraError

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from ..http._attempts import ClientLimits
    from ..service._service import Service
    from ._http import McpEndpoint

__all__ = ["mcp_asgi", "run_stdio"]

_FEATURE: Final = "tracefuse serve --mcp"


def mcp_asgi(service: Service, limits: ClientLimits | None = None) -> McpEndpoint:
    """The ASGI application for the path `/mcp`; it stops with the service's lifecycle.

    `limits` are those that its clients have on the other paths, too; by default there are none.

    Call it inside the event loop that serves. Route it with `Route("/mcp", mcp_asgi(service))`: a mount
    would redirect `/mcp` to `/mcp/`.

    Raises:
        MissingExtraError: the extra `mcp` is not installed.
    """
    try:
        from ._http import McpEndpoint
    except ImportError as error:
        raise MissingExtraError(_FEATURE, "mcp") from error
    return McpEndpoint(service, limits)


async def run_stdio(service: Service) -> None:
    """Serve one client over standard input and output until it hangs up; may be cancelled at any time.

    While it runs, whatever is printed goes to standard error: standard output carries messages only.

    Raises:
        MissingExtraError: the extra `mcp` is not installed.
    """
    try:
        from mcp.server.stdio import stdio_server

        from ._server import build_server
        from ._stdin import StdinLines
    except ImportError as error:
        raise MissingExtraError(_FEATURE, "mcp") from error
    server: Server[Any] = build_server(service)
    # The SDK only iterates over its standard input.
    lines = cast("Any", StdinLines(sys.stdin.fileno()))
    async with stdio_server(stdin=lines) as (read, write):
        await server.run(read, write, server.create_initialization_options())
