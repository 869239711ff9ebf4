"""Asks a server for its tools and calls them: one session per question, nothing kept, nothing left running.

The server may ask us for nothing: no roots, no sampling, no questions to people are offered to it.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from mcp import Client, ClientSession, MCPError, types
from mcp.client.streamable_http import streamable_http_client
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from bot.domain.runs.far_tool import Listed, ToolPolicy
from bot.errors import NightshiftError, Reason, Refused, Rejected, Unavailable
from bot.ports.tool_server import FarAnswer
from connectors.tools.mcp.bounds import MAX_MESSAGE, Meter
from connectors.tools.mcp.stdio import Said, open_program
from connectors.tools.mcp.web import Web

#: What the SDK logs of a session is what the server said, line for line. What went wrong is raised.
logging.getLogger("mcp").setLevel(logging.CRITICAL)
logging.getLogger("httpx2").setLevel(logging.WARNING)
MAX_LISTED: Final = 500
MAX_PAGES: Final = 20
MAX_TEXT: Final = 512 * 1024
MAX_LEFT_OUT: Final = 20


class Settings(BaseModel):
    """A program (`command`, with the variables of ours that `env` names), or an address (`url`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    url: str = ""
    token: SecretStr | None = None
    proxy: str = ""
    ca_file: str = ""
    seconds: float = Field(default=20.0, gt=0, le=25)


class Connector:
    """`bot.ports.tool_server.ToolServer` over MCP."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._settings = settings

    @property
    def name(self) -> str:
        return self._name

    async def list_tools(self) -> tuple[Listed, ...]:
        async with self._open() as session:
            return await _list_tools(session)

    async def call(self, tool: str, arguments: str, policy: ToolPolicy) -> FarAnswer:
        async with self._open() as session:
            listed = next((each for each in await _list_tools(session) if each.name == tool), None)
            if listed is None:
                raise Refused(f"{self._name} has no tool {tool} any more: it is gone", Reason.NOT_FOUND)
            fault = policy.fault_of(listed)
            if fault:
                raise Refused(f"{tool} of {self._name} {fault}", Reason.NOT_ALLOWED)
            asked = types.CallToolRequestParams(name=tool, arguments=json.loads(arguments))
            # not session.call_tool: it checks the answer with a schema of the server's, which may take forever
            answer = await session.send_request(types.CallToolRequest(params=asked), types.CallToolResult)
        return _read_answer(answer)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ClientSession]:
        """Open a session. Raises `Unavailable` or `Rejected` for whatever goes wrong in it."""
        meter, said = Meter(), Said()
        web: Web | None = None
        try:
            async with asyncio.timeout(self._settings.seconds), AsyncExitStack() as stack:
                if self._settings.url:
                    web = Web(self._name, proxy=self._settings.proxy, ca_file=self._settings.ca_file, meter=meter)
                    token = self._settings.token.get_secret_value() if self._settings.token else ""
                    http = await stack.enter_async_context(web.open(token, self._settings.seconds))
                    transport = streamable_http_client(
                        self._settings.url, http_client=http, max_sse_event_size=MAX_MESSAGE
                    )
                    client = Client(transport, cache=None, input_required_max_rounds=1)
                else:
                    env = {name: os.environ[name] for name in self._settings.env if name in os.environ}
                    program = open_program(self._settings.command, env, meter=meter, said=said)
                    client = Client(program, cache=None, input_required_max_rounds=1)
                yield (await stack.enter_async_context(client)).session
        except TimeoutError:
            meter.check(self._name)
            raise Unavailable(f"{self._name} did not answer in {self._settings.seconds:g} s", Reason.TIMEOUT) from None
        except (OSError, RuntimeError, ValueError, MCPError, ExceptionGroup) as error:
            raise self._explain(error, meter, said, web) from error

    def _explain(self, error: BaseException, meter: Meter, said: Said, web: Web | None) -> NightshiftError:
        meter.check(self._name)
        cause = _first_cause(error)
        if isinstance(cause, NightshiftError):
            return cause
        if web is not None and (web.status or web.error):
            return _explain_web(self._name, web)
        if isinstance(cause, OSError):
            return Rejected(f"{self._name} cannot be started ({type(cause).__name__})", Reason.NOT_FOUND)
        if isinstance(cause, ValidationError | ValueError):
            return Rejected(f"{self._name} gave an answer that MCP does not know", Reason.SERVER_ERROR)
        if isinstance(cause, MCPError) and not _is_end(cause):
            return Rejected(f"{self._name} refused: {_one_line(cause.message)}", Reason.BAD_INPUT)
        words = f": {said.text}" if said.text else ""
        return Unavailable(f"{self._name} ended before it answered{words}", Reason.SERVER_ERROR)


def _explain_web(name: str, web: Web) -> NightshiftError:
    if not web.status:
        return Unavailable(f"{name} cannot be reached ({type(web.error).__name__})", Reason.UNREACHABLE)
    text = f"{name} answered with status {web.status}"
    if web.status in {401, 403}:
        return Rejected(f"{text}: look at its token", Reason.NOT_ALLOWED)
    if web.status == 429 or web.status >= 500:
        return Unavailable(text, Reason.SERVER_ERROR)
    return Rejected(text, Reason.BAD_INPUT)


def _is_end(error: MCPError) -> bool:
    """Say whether the SDK made this error itself because the session ended; servers use its code for other things."""
    return error.code == types.CONNECTION_CLOSED and error.message.startswith(("Connection closed", "SSE stream"))


def _first_cause(error: BaseException) -> BaseException:
    """Return the first error of a group; one of ours, if there is one."""
    if not isinstance(error, ExceptionGroup):
        return error
    causes = [_first_cause(each) for each in error.exceptions]
    return next((each for each in causes if isinstance(each, NightshiftError)), causes[0])


async def _list_tools(session: ClientSession) -> tuple[Listed, ...]:
    """Return all pages of the list, up to a bound."""
    found = list[Listed]()
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
        found += [_read_tool(tool) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None or len(found) >= MAX_LISTED:
            break
    return tuple(found[:MAX_LISTED])


def _read_tool(tool: types.Tool) -> Listed:
    hints = tool.annotations or types.ToolAnnotations()
    return Listed(
        name=tool.name,
        about=tool.description or "",
        schema=json.dumps(tool.input_schema),
        reads_only=hints.read_only_hint,
        destroys=hints.destructive_hint,
    )


def _read_answer(answer: types.CallToolResult) -> FarAnswer:
    texts, left_out = list[str](), list[str]()
    for block in answer.content:
        if isinstance(block, types.TextContent):
            texts.append(block.text)
        elif isinstance(block, types.EmbeddedResource) and isinstance(block.resource, types.TextResourceContents):
            texts.append(block.resource.text)
        else:
            left_out.append(_name_block(block))
    if not texts and answer.structured_content is not None:
        texts.append(json.dumps(answer.structured_content, ensure_ascii=False, indent=1))
    text = "\n".join(texts)
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}\n… the rest, {len(text) - MAX_TEXT:,} characters, was left out"
    return FarAnswer(text=text, left_out=tuple(left_out[:MAX_LEFT_OUT]), is_fault=answer.is_error)


def _name_block(block: types.ContentBlock) -> str:
    """Name what is no text, with its kind and its size."""
    if isinstance(block, types.ResourceLink):
        return _one_line(f"a link to {block.uri}")
    if isinstance(block, types.EmbeddedResource):
        return _one_line(f"a file ({block.resource.mime_type or 'of unknown kind'})")
    if isinstance(block, types.ImageContent | types.AudioContent):
        size = len(block.data) * 3 // 4 - block.data[-2:].count("=")
        return _one_line(f"{block.type} ({block.mime_type}, {size:,} bytes)")
    return "something that is no text"


def _one_line(text: str) -> str:
    return "".join(each for each in " ".join(text.split())[:300] if each.isprintable())
