"""A real MCP server made with the official SDK; as a program it speaks over stdin and stdout."""

import os

from mcp import types
from mcp.server.mcpserver import Image, MCPServer

READS = types.ToolAnnotations(read_only_hint=True)
PIXEL = b"\x89PNG\r\n\x1a\n" + b"\0" * 60


def build() -> MCPServer:
    server = MCPServer("shop")

    @server.tool(annotations=READS)
    def orders(city: str, limit: int = 2) -> str:
        """Newest orders of a city."""
        return "\n".join(f"{city} {number}" for number in range(limit))

    @server.tool(annotations=READS)
    def surroundings() -> str:
        """What the server sees of its surroundings."""
        return " ".join(f"{name}={value}" for name, value in sorted(os.environ.items()) if name != "LC_CTYPE")

    @server.tool(annotations=READS)
    def graph() -> list[Image | str]:
        """A picture, with words."""
        return ["the graph of today", Image(data=PIXEL, format="png")]

    @server.tool(annotations=READS)
    def counts() -> dict[str, int]:
        """Numbers."""
        return {"orders": 3}

    @server.tool(annotations=READS)
    def fails() -> str:
        """Breaks."""
        raise ValueError("the warehouse is closed")

    @server.tool(annotations=types.ToolAnnotations(read_only_hint=False, destructive_hint=True))
    def drop(name: str) -> str:
        """Drop a table."""
        return f"dropped {name}"

    return server


if __name__ == "__main__":
    build().run("stdio")
