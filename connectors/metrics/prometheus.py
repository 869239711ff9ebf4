"""Prometheus, and what answers as it does (Mimir, Thanos, VictoriaMetrics): `query_range` and `query`."""

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import Field

from bot.domain.metrics.metric import Point, Series
from bot.errors import Reason, Rejected, Unavailable
from bot.ports.metrics import MetricAnswer, MetricQuestion
from connectors.http_reader import HttpReader, HttpSettings

CHECK_SECONDS: Final = 5.0
MAX_SERIES: Final = 2_000
MAX_LABEL: Final = 200
MAX_SAID: Final = 200
MAX_WARNINGS: Final = 3
LARGEST: Final = 1e300
"""Larger values are as good as infinite: nothing can be computed with them."""
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INFINITE: Final = re.compile(r"[+-]?inf(?:inity)?", re.IGNORECASE)
_Answer = TypeVar("_Answer")


class Settings(HttpSettings):
    """`tenant` is sent as `X-Scope-OrgID`."""

    tenant: str = ""
    answer_seconds: float = Field(default=10.0, gt=0, le=10)


class Source:
    """`bot.ports.metrics.MetricSource` over one server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._headers = {"X-Scope-OrgID": settings.tenant} if settings.tenant else {}
        self._server = f"Prometheus at {urlsplit(settings.url).netloc}"

    @property
    def name(self) -> str:
        return "prometheus"

    def read(self, question: MetricQuestion) -> MetricAnswer:
        ends_at = time.monotonic() + question.seconds
        span = (question.until - question.since).total_seconds()
        start = question.until.timestamp() - math.floor(span / question.step) * question.step
        asked = {
            "query": question.expr,
            "start": f"{start:.3f}",
            "end": f"{question.until.timestamp():.3f}",
            "step": f"{question.step:g}",
            "timeout": f"{question.seconds:.1f}",
        }
        since, until = (f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}" for at in (question.since, question.until))
        query = " ".join(question.expr.split())
        query = query if len(query) <= MAX_SAID else query[: MAX_SAID - 1] + "…"
        reader = HttpReader(self._server, self._settings, self._headers, max_bytes=question.max_bytes)
        return _naming(
            f"asked for {query} from {since} to {until} UTC",
            lambda: self._fit(reader.call("api/v1/query_range", asked, None, ends_at=ends_at), question),
        )

    def check(self) -> str:
        reader = HttpReader(self._server, self._settings, self._headers, max_bytes=64 * 1024)
        ends_at = time.monotonic() + CHECK_SECONDS

        def ask() -> str:
            self._open(reader.call("api/v1/query", {"query": "vector(1)"}, None, ends_at=ends_at), "vector")
            return f"{self._server} answers queries"

        return _naming("asked for vector(1)", ask)

    def _open(self, answer: object, kind: str) -> list[Any]:
        """Return the series of an answer. Raises `Rejected` for what is no answer."""
        if isinstance(answer, dict) and answer.get("status") == "error":
            said = answer.get("error")
            told = f": {_line(said)}" if isinstance(said, str) else ""
            raise Rejected(f"{self._server} refuses the query{told}", Reason.BAD_INPUT)
        data = answer.get("data") if isinstance(answer, dict) else None
        result = data.get("result") if isinstance(data, dict) and data.get("resultType") == kind else None
        if not isinstance(result, list):
            raise Rejected(f"{self._server} answers, but not as Prometheus does", Reason.SERVER_ERROR)
        return result

    def _fit(self, answer: object, question: MetricQuestion) -> MetricAnswer:
        result = self._open(answer, "matrix")
        lacks: dict[str, int] = {}
        series = [_read_series(item, question, lacks) for item in result[:MAX_SERIES]]
        notes = [_line(said) for said in _warnings(answer)]
        notes += [f"{count:,} {what}" for what, count in lacks.items()]
        if len(result) > MAX_SERIES:
            notes.append(f"only {MAX_SERIES:,} of {len(result):,} series were read")
        return MetricAnswer(series=tuple(each for each in series if each.points), notes=tuple(notes))


def _naming(asked: str, ask: Callable[[], _Answer]) -> _Answer:
    """Let every error say what was asked for."""
    try:
        return ask()
    except Unavailable as error:
        raise Unavailable(f"{error}, {asked}", error.reason, error.retry_after) from error
    except Rejected as error:
        more = "; let the query give fewer series" if error.reason is Reason.TOO_LARGE else ""
        raise Rejected(f"{error}{more}, {asked}", error.reason) from error


def _warnings(answer: object) -> Iterator[str]:
    if not isinstance(answer, dict):
        return
    said = answer.get("warnings")
    yield from [each for each in said if isinstance(each, str)][:MAX_WARNINGS] if isinstance(said, list) else ()
    if answer.get("isPartial") is True:  # VictoriaMetrics
        yield "the server says that its answer is only a part"


def _line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MAX_SAID]).split())[:MAX_SAID]


def _read_series(item: object, question: MetricQuestion, lacks: dict[str, int]) -> Series:
    """Return a series, empty where it is none; what had to be left out is counted in `lacks`."""
    if not isinstance(item, dict):
        return _count(lacks, "series could not be read", Series())
    if "values" not in item and "histograms" in item:
        return _count(lacks, "series are native histograms, which are not plotted", Series())
    values = item.get("values")
    points: dict[float, float] = {}
    first, last = question.since.timestamp() - question.step, question.until.timestamp() + question.step
    for pair in values if isinstance(values, list) else ():
        point = _read_point(pair, lacks)
        if point is not None and first <= point[0] <= last:
            points[point[0]] = point[1]
    return Series(labels=_read_labels(item.get("metric")), points=tuple(sorted(points.items())))


def _read_labels(metric: object) -> Mapping[str, str]:
    labels = metric.items() if isinstance(metric, dict) else ()
    return {name[:MAX_LABEL]: value[:MAX_LABEL] for name, value in labels if isinstance(value, str)} if labels else {}


def _read_point(pair: object, lacks: dict[str, int]) -> Point | None:
    """Return one point. NaN, staleness markers among them, is no value; neither is what lies beyond all numbers."""
    at, raw = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
    text = str(raw) if type(raw) in {str, int, float} else ""
    if not isinstance(at, int | float) or isinstance(at, bool) or not text:
        return _count(lacks, "values could not be read", None)
    if text.lower() == "nan":
        return None
    value = float(text) if _NUMBER.fullmatch(text[:64]) and len(text) <= 64 else math.inf
    if abs(value) <= LARGEST and abs(at) <= LARGEST:
        return float(at), value
    is_infinite = _INFINITE.fullmatch(text) or _NUMBER.fullmatch(text[:64])
    return _count(lacks, "infinite values are left out" if is_infinite else "values could not be read", None)


_Kept = TypeVar("_Kept")


def _count(lacks: dict[str, int], what: str, kept: _Kept) -> _Kept:
    lacks[what] = lacks.get(what, 0) + 1
    return kept
