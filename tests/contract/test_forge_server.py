"""The forge that other tests are run against: what it must get right for them to mean anything."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.git_origin import ENV
from tests.forge.openapi import Description
from tests.forge.repository import Hosted
from tests.forge.server import serve_forge
from tests.forge.state import Forge


@pytest.fixture
async def forge(tmp_path: Path) -> AsyncIterator[Forge]:
    async with serve_forge(tmp_path) as forge:
        yield forge


@pytest.fixture
def shop(forge: Forge) -> Hosted:
    shop = forge.host("octo/shop")
    shop.origin.commit("start", {"README.md": "shop\n"})
    forge.notice_pushes()
    forge.runner.runs.clear()
    return shop


async def git(shop: Hosted, *args: str, header: str = "") -> subprocess.CompletedProcess[str]:
    env = {**ENV, "GIT_TERMINAL_PROMPT": "0"}
    options = ["-c", f"http.extraHeader={header}"] if header else []
    command = ["git", *options, *args]
    return await asyncio.to_thread(
        subprocess.run, command, cwd=shop.origin.work, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("how", ["password", "bearer"])
async def test_a_push_over_http_is_a_push_and_begins_a_run(forge: Forge, shop: Hosted, how: str):
    shop.origin.git("commit", "-q", "--allow-empty", "-m", "change")
    sha, url = shop.origin.git("rev-parse", "HEAD"), forge.url_of(shop)
    address = url.replace("://", f"://x-access-token:{forge.token}@") if how == "password" else url
    header = f"Authorization: Bearer {forge.token}" if how == "bearer" else ""
    done = await git(shop, "push", "-q", address, "HEAD:refs/heads/nightshift/x", header=header)
    assert done.returncode == 0, done.stderr
    assert shop.head("nightshift/x") == sha
    assert [(run.sha, run.branch, run.event) for run in forge.runner.runs] == [(sha, "nightshift/x", "push")]
    assert next(delivery.event for delivery in forge.deliveries if sha.encode() in delivery.body) == "push"


async def test_strangers_neither_read_nor_push(forge: Forge, shop: Hosted):
    url = forge.url_of(shop)
    for args in (("ls-remote", url), ("push", url, "HEAD:refs/heads/x")):
        assert (await git(shop, *args, header="Authorization: Bearer wrong")).returncode != 0
    assert shop.head("x") == ""
    async with aiohttp.ClientSession() as session, session.get(f"{forge.api_url}/repos/octo/shop") as answer:
        assert answer.status == 401


async def test_a_run_s_state_follows_from_the_clock(forge: Forge, shop: Hosted):
    sha = shop.origin.commit("slow it", {"outcome": "slow"})
    forge.notice_pushes()
    (run,) = forge.runner.runs
    now = run.created_at
    assert run.sha == sha
    assert [run.status(now + after) for after in (0, 1, 59, 61)] == [
        "queued",
        "in_progress",
        "in_progress",
        "completed",
    ]
    assert (run.conclusion(now + 59), run.conclusion(now + 61)) == (None, "success")
    run.cancel(now + 5)
    assert (run.status(now + 6), run.conclusion(now + 6)) == ("completed", "cancelled")


DOCUMENT: dict[str, Any] = {
    "paths": {
        "/things/{id}": {
            "get": {
                "parameters": [
                    {"name": "id", "in": "path", "required": True},
                    {"$ref": "#/components/parameters/size"},
                    {"name": "kind", "in": "query", "required": True, "schema": {"type": "string", "enum": ["a", "b"]}},
                ],
                "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/thing"}}}}},
            },
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "required": ["ref"],
                                "properties": {
                                    "ref": {"type": "string"},
                                    "inputs": {"type": "object", "maxProperties": 1},
                                },
                            }
                        }
                    },
                },
                "responses": {"204": {}},
            },
        }
    },
    "components": {
        "parameters": {"size": {"name": "size", "in": "query", "schema": {"type": "integer"}}},
        "thing": {
            "type": "object",
            "required": ["name", "when"],
            "properties": {
                "name": {"type": "string"},
                "when": {"type": "string", "nullable": True},
                "parts": {"type": "array", "items": {"oneOf": [{"type": "integer"}, {"type": "boolean"}]}},
            },
        },
    },
}


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (("GET", "/things/1", {"kind": "a", "size": "3"}, None), ""),
        (("GET", "/other", {}, None), "no such call"),
        (("PUT", "/things/1", {}, None), "no such call"),
        (("GET", "/things/1/more", {}, None), "no such call"),
        (("GET", "/things/1", {}, None), "kind is missing"),
        (("GET", "/things/1", {"kind": "c"}, None), "is none of"),
        (("GET", "/things/1", {"kind": "a", "size": "x"}, None), "is no integer"),
        (("GET", "/things/1", {"kind": "a", "page": "1"}, None), "unknown parameter page"),
        (("GET", "/things/1", {"kind": "a"}, {}), "takes no body"),
        (("POST", "/things/1", {}, None), "needs a body"),
        (("POST", "/things/1", {}, {"ref": "x", "inputs": {"a": 1}}), ""),
        (("POST", "/things/1", {}, {"inputs": {}}), "ref is missing"),
        (("POST", "/things/1", {}, {"ref": 1}), "is no string"),
        (("POST", "/things/1", {}, {"ref": "x", "more": 1}), "unknown more"),
        (("POST", "/things/1", {}, {"ref": "x", "inputs": {"a": 1, "b": 2}}), "more than 1"),
    ],
)
def test_a_call_is_held_to_the_description(call: tuple[str, str, dict[str, str], object], fault: str):
    method, path, query, body = call
    found = Description(DOCUMENT).check_request(method, path, query=query, body=body)
    assert fault in " ".join(found) if fault else list(found) == []


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, {"name": "x", "when": None, "parts": [1, True], "more": 1}, ""),
        (404, {"message": "no"}, ""),
        (201, {}, "201 is none of 200"),
        (200, [], "is no object"),
        (200, {"name": "x"}, "when is missing"),
        (200, {"name": True, "when": "x"}, "name: true is no string"),
        (200, {"name": "x", "when": "x", "parts": ["y"]}, "parts[0]: fits none of 2 forms"),
    ],
)
def test_an_answer_is_held_to_the_description(status: int, body: object, fault: str):
    found = Description(DOCUMENT).check_answer("GET", "/things/1", status=status, body=body)
    assert fault in " ".join(found) if fault else list(found) == []
