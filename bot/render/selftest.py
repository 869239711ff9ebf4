"""What `selftest` prints: a table of at most 80 columns, then what failed with the call that shows it again."""

from collections.abc import Iterator
from dataclasses import asdict
from textwrap import wrap
from typing import Any, Final

from bot.domain.models.selftest import UNCALLED, ModelLine, SelfTest, find_percentile
from bot.domain.text.unseen import make_harmless
from bot.render.words import write_count, write_list

JSON_VERSION: Final = 1
COLUMNS: Final = 80
_ROW: Final = "{:<20}{:>8}{:>10}{:>12}{:>12}"


def show_selftest(test: SelfTest) -> str:
    """Return the whole report."""
    lines = [_ROW.format("tool", "calls", "failures", "p50 ms", "p95 ms")]
    lines += [
        _ROW.format(each.tool, each.calls, each.failures, _time(each.p50, each.calls), _time(each.p95, each.calls))
        for each in test.tools
    ]
    lines += [
        "",
        *_fold(f"Not called: {write_list(UNCALLED)}. They speak to people, or to a model."),
        "",
        *_show_model(test),
        "",
        *_show_failures(test),
    ]
    return "\n".join(lines) + "\n"


def _time(value: float, calls: int) -> str:
    return f"{value:,.1f}" if calls else "–"


def _fold(text: str) -> list[str]:
    return wrap(make_harmless(text), COLUMNS, break_on_hyphens=False)


def _show_model(test: SelfTest) -> Iterator[str]:
    if test.model is None:
        yield (
            "No model was asked."
            if test.has_model
            else "No model is configured (NIGHTSHIFT_MODEL_URL): none was asked."
        )
        return
    model = test.model
    runs, answers, calls = (
        write_count(model.runs, "run"), write_count(model.answers, "answer"), write_count(model.calls, "tool call")
    )  # fmt: skip
    yield from _fold(f"Model: {runs}, {answers}, {calls}, {write_count(model.failures, 'failure')}.")
    if model.answers:
        first, whole = _span(model.first), _span(model.whole)
        yield f"  first token {first}, whole answer {whole} (p50, p95)"
        yield f"  replayed: {model.same} of {model.requests} requests are the very bytes that were sent"
        yield from _fold(f"  cached tokens: {_list_cached(model)}")
    for note in model.notes:
        yield from _fold(f"  note: {note}")


def _span(values: tuple[float, ...]) -> str:
    return f"{find_percentile(values, 50):,.0f}, {find_percentile(values, 95):,.0f} ms"


def _list_cached(model: ModelLine) -> str:
    shown = ["not told" if count is None else f"{count:,}" for count in model.cached[:12]]
    return ", ".join(shown) + (", …" if len(model.cached) > len(shown) else "")


def _show_failures(test: SelfTest) -> Iterator[str]:
    where = f"{write_list(test.services)}, {test.seconds:.1f} s"
    if test.is_well:
        yield from _fold(f"Nothing failed ({where}).")
        return
    yield from _fold(f"{write_count(len(test.failures), 'failure')} ({where}):")
    for failure in test.failures:
        call = f"{failure.tool} {failure.arguments}".strip()
        yield ""
        yield from _fold(f"{failure.service}: {failure.fault.value}: {failure.why}")
        yield f"  {make_harmless(call)}"


def selftest_as_json(test: SelfTest) -> dict[str, Any]:
    """Return the same for machines; docs/selftest.md says what each field is."""
    model = None
    if test.model is not None:
        model = asdict(test.model) | {
            name: {"p50_ms": find_percentile(values, 50), "p95_ms": find_percentile(values, 95)}
            for name, values in (("first", test.model.first), ("whole", test.model.whole))
        }
    return {
        "version": JSON_VERSION,
        "ok": test.is_well,
        "services": list(test.services),
        "seconds": round(test.seconds, 3),
        "tools": [
            {
                "tool": each.tool,
                "calls": each.calls,
                "failures": each.failures,
                "p50_ms": round(each.p50, 3),
                "p95_ms": round(each.p95, 3),
            }
            for each in test.tools
        ],
        "not_called": list(UNCALLED),
        "failures": [asdict(failure) for failure in test.failures],
        "has_model": test.has_model,
        "model": model,
    }
