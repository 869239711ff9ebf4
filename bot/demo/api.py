"""Reads the demo bot's admin API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, cast

import aiohttp

_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, kw_only=True)
class PatchStatus:
    """One draft's approval."""

    digest: str
    base: str
    state: str


@dataclass(frozen=True, kw_only=True)
class CIStatus:
    sha: str
    state: str


@dataclass(frozen=True, kw_only=True)
class IncidentStatus:
    """What the demo needs to know of its incident; `patches` and `ci` are the oldest first."""

    id: str
    state: str
    run_state: str
    patches: tuple[PatchStatus, ...]
    ci: tuple[CIStatus, ...]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One row of the timeline."""

    at: datetime
    kind: str
    text: str
    data: Mapping[str, str]


class BotApi:
    """The bot's readiness and what it says about one incident; None stands for "no answer yet"."""

    def __init__(self, session: aiohttp.ClientSession, base: str, token_file: Path) -> None:
        self._session = session
        self._base = base
        self._token_file = token_file

    async def is_ready(self) -> bool:
        try:
            async with self._session.get(f"{self._base}/readyz", timeout=_TIMEOUT) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def newest_incident(self) -> str | None:
        body = await self._get("/v1/incidents")
        rows = _rows(body.get("incidents")) if isinstance(body, dict) else []
        return str(rows[0]["id"]) if rows else None

    async def incident(self, incident: str) -> IncidentStatus | None:
        body = await self._get(f"/v1/incidents/{incident}")
        return read_incident(body) if isinstance(body, dict) else None

    async def timeline(self, incident: str) -> tuple[Event, ...]:
        body = await self._get(f"/v1/incidents/{incident}/timeline")
        return read_timeline(body)

    async def _get(self, path: str) -> object:
        try:
            token = self._token_file.read_text(encoding="ascii").strip()
            async with self._session.get(
                self._base + path, headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT
            ) as response:
                return cast("object", json.loads(await response.text())) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


def read_incident(body: Mapping[str, object]) -> IncidentStatus:
    """Read `GET /v1/incidents/{id}`."""
    return IncidentStatus(
        id=str(body["id"]),
        state=str(body["state"]),
        run_state=str(body["run_state"]),
        patches=tuple(
            PatchStatus(digest=str(row["digest"]), base=str(row["base"]), state=str(row["state"]))
            for row in _rows(body.get("approvals"))
        ),
        ci=tuple(CIStatus(sha=str(row["sha"]), state=str(row["state"])) for row in _rows(body.get("ci"))),
    )


def read_timeline(body: object) -> tuple[Event, ...]:
    """Read `GET /v1/incidents/{id}/timeline`."""
    rows = _rows(body.get("events")) if isinstance(body, dict) else []
    return tuple(
        Event(
            at=datetime.fromisoformat(str(row["at"])),
            kind=str(row["kind"]),
            text=str(row.get("text", "")),
            data={str(name): str(value) for name, value in _fields(row.get("data")).items()},
        )
        for row in rows
    )


def _rows(value: object) -> list[Mapping[str, object]]:
    rows = cast("list[object]", value) if isinstance(value, list) else []
    return [_fields(row) for row in rows if isinstance(row, dict)]


def _fields(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}
