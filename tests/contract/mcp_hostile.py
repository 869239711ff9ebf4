"""A program that begins as an MCP server should, and goes on as its one argument says. Standard library alone."""

import json
import sys

TOOL = {"name": "orders", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
DROPS = TOOL | {"annotations": {"readOnlyHint": False}}
TEXT = {"content": [{"type": "text", "text": "fine"}]}

SIZES = {"large": 10_000_000, "long": 1_000_000}
NOTE = '{"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "%s"}}\n'
FLOODS = {"talks": NOTE % ("x" * 100_000), "chatters": NOTE % "" * 1_000}
BESIDE = {
    "changes": '{"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}\n',
    "garbage": 'this is no JSON\n{"jsonrpc": "2.0"}\n{"jsonrpc": "2.0", "id": "other", "result": {}}\n',
}


def answer(number: object, result: object) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": number, "result": result}), flush=True)


def ask(method: str, params: object) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": "theirs", "method": method, "params": params}), flush=True)


def list_tools(way: str, number: object, cursor: str) -> None:
    if way == "gone":
        answer(number, {"tools": []})
    elif way == "turned":
        answer(number, {"tools": [DROPS]})
    elif way == "pages":
        answer(number, {"tools": [TOOL | {"name": f"tool{cursor}"}], "nextCursor": f"{cursor}x"})
    elif way == "nonsense":
        answer(number, {"tools": 7})
    elif way == "refuses":
        error = {"code": -32000, "message": "not\u001b[31m today"}
        print(json.dumps({"jsonrpc": "2.0", "id": number, "error": error}), flush=True)
    else:
        answer(number, {"tools": [TOOL]})


def call(way: str, number: object) -> None:
    if way in SIZES:
        answer(number, {"content": [{"type": "text", "text": "x" * SIZES[way]}]})
    elif way in FLOODS:
        while True:
            sys.stdout.write(FLOODS[way])
    elif way == "asks":
        ask("sampling/createMessage", {"messages": [], "maxTokens": 9})
        said = json.loads(sys.stdin.readline())
        answer(number, {"content": [{"type": "text", "text": json.dumps(said.get("error", said))}]})
    elif way == "dies":
        sys.exit("hunter2 is wrong")
    elif way == "hangs":
        sys.stdin.read()
    else:
        sys.stdout.write(BESIDE.get(way, ""))
        answer(number, TEXT)


def main(way: str) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        number, method = message.get("id"), message.get("method")
        if method == "initialize":
            info = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "x", "version": "1"},
            }
            answer(number, info)
        elif method == "tools/list":
            list_tools(way, number, (message.get("params") or {}).get("cursor") or "")
        elif method == "tools/call":
            call(way, number)
        elif number is not None:
            error = {"code": -32601, "message": "no such method"}
            print(json.dumps({"jsonrpc": "2.0", "id": number, "error": error}), flush=True)


main(sys.argv[1])
