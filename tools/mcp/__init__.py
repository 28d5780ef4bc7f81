"""The MCP server: tools, tasks and resources for agents."""
