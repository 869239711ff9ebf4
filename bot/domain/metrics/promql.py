"""PromQL as far as Nightshift must understand it: where its strings are, and where an alerting rule compares."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from bot.domain.metrics.metric import Over, Threshold
from bot.errors import Reason, Refused

MAX_QUERY: Final = 4_096
MAX_VALUE: Final = 1_000
MAX_URL: Final = 32_768
MAX_WRAPS: Final = 4
"""Brackets around the whole of an expression: more are no rule of people."""

_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    |(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<sign>=~|!~|!=|==|<=|>=|[<>=])
    |(?P<open>[(\[{])
    |(?P<close>[)\]}])
    |(?P<broken>["'`])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_LABEL: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)
_META: Final = re.compile(r"[\\.+*?()|\[\]{}^$]")
_NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_MATCHERS: Final = frozenset({"=", "!=", "=~", "!~"})
_REGEX: Final = frozenset({"=~", "!~"})
_PAIRS: Final = {")": "(", "]": "[", "}": "{"}
_FLIPPED: Final = {Over.ABOVE: Over.BELOW, Over.FROM: Over.DOWN_TO, Over.BELOW: Over.ABOVE, Over.DOWN_TO: Over.FROM}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    depth: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def _tokens(expr: str) -> list[_Token]:
    """Return the tokens without blanks. A bracket counts to the depth outside of it."""
    found, depth = list[_Token](), 0
    for match in _TOKEN.finditer(expr):
        kind = match.lastgroup or "other"
        depth -= kind == "close"
        if kind != "blank":
            found.append(_Token(kind, match[0], match.start(), depth))
        depth += kind == "open"
    return found


def fault_of_query(expr: str) -> str:
    """Return what is wrong with a query that somebody wrote into a configuration, "" where it can be asked."""
    if not expr.strip():
        return "is empty"
    if len(expr) > MAX_QUERY:
        return f"is longer than {MAX_QUERY:,} characters"
    tokens = _tokens(expr)
    if any(token.kind == "broken" for token in tokens):
        return "has a text whose quote is never closed"
    if not _is_balanced(tokens):
        return "has brackets that do not match"
    is_lost = any("$" in token.text for token in tokens if token.kind != "text") or any(
        _LABEL.search(token.text) for before, token in _pairs(tokens) if not _may_hold_label(token, before)
    )
    return 'has a $label outside of the quotes of a matcher; write {name="$label"}' if is_lost else ""


def _is_balanced(tokens: Sequence[_Token]) -> bool:
    opened: list[str] = []
    for token in tokens:
        if token.kind == "open":
            opened.append(token.text)
        elif token.kind == "close" and (not opened or opened.pop() != _PAIRS[token.text]):
            return False
    return not opened


def _pairs(tokens: Sequence[_Token]) -> Iterator[tuple[_Token | None, _Token]]:
    """Yield each token with the one before it."""
    yield from zip([None, *tokens], tokens, strict=False)


def _may_hold_label(token: _Token, before: _Token | None) -> bool:
    return token.kind == "text" and token.text[0] != "`" and before is not None and before.text in _MATCHERS


def fill_query(expr: str, labels: Mapping[str, str]) -> str:
    """Return the query with each `$label` replaced by the alert's label: as a text, whatever it holds.

    In a regular expression the value stands for itself alone. Raises `Refused` where the alert lacks the label.
    """
    pieces, done = list[str](), 0
    for before, token in _pairs(_tokens(expr)):
        if not _may_hold_label(token, before):
            continue
        is_regex = before is not None and before.text in _REGEX
        filled = _LABEL.sub(lambda match: _write(match, labels, token.text[0], is_regex), token.text)  # noqa: B023 -- called here
        pieces += [expr[done : token.start], filled]
        done = token.end
    return "".join((*pieces, expr[done:]))


def _write(match: re.Match[str], labels: Mapping[str, str], quote: str, is_regex: bool) -> str:
    name = match[1] or match[2]
    value = labels.get(name, "")
    if not value:
        raise Refused(f"the alert has no label {name}", Reason.NOT_FOUND)
    if len(value) > MAX_VALUE:
        raise Refused(f"the alert's label {name} is longer than {MAX_VALUE:,} characters", Reason.TOO_LARGE)
    meant = _META.sub(r"\\\g<0>", value) if is_regex else value
    return "".join(_escape(character, quote) for character in meant)


def _escape(character: str, quote: str) -> str:
    """Write one character so that it stays inside a text of PromQL (Go's rules for quoted strings)."""
    if character in {"\\", quote}:
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        return "\\ufffd"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def find_rule(url: str) -> str:
    """Return the expression that an alert's generatorURL shows (`g0.expr`), "" for none. Nothing else of it counts."""
    if not url or len(url) > MAX_URL:
        return ""
    try:
        parts = urlsplit(url)
        values = parse_qs(parts.query, max_num_fields=64).get("g0.expr", [""])
    except ValueError:
        return ""
    expr = values[0].strip()
    return expr if expr.isprintable() or "\n" in expr or "\t" in expr else ""


def split_rule(expr: str) -> tuple[str, Threshold | None]:
    """Return the side of a rule that has values while nothing fires, and the threshold that it is compared with.

    `rate(errors[5m]) > 0.1 and up == 1` gives `rate(errors[5m])` and "above 0.1". What is not understood stays whole,
    and so does what may fire for two reasons.
    """
    inner = _unwrap(_first_condition(_unwrap(expr)))
    tokens = _tokens(inner)
    signs = [token for token in tokens if token.kind == "sign" and token.depth == 0 and token.text in set(Over)]
    if len(signs) != 1 or any(token.kind == "broken" for token in tokens):
        return expr.strip(), None
    (sign,) = signs
    left, right = inner[: sign.start].strip(), _drop_bool(inner[sign.end :].strip())
    over = Over(sign.text)
    value, flipped = _read_number(right), _read_number(left)
    if not left or not right:
        return expr.strip(), None
    if flipped is not None and value is None:
        return right, Threshold(over=_FLIPPED.get(over, over), value=flipped)
    return left, None if value is None else Threshold(over=over, value=value)


def _first_condition(expr: str) -> str:
    """Return what stands before `and` or `unless`; with an `or` all of it."""
    tokens = [token for token in _tokens(expr) if token.kind == "word" and token.depth == 0]
    joints = [token for token in tokens if token.text.lower() in {"and", "or", "unless"}]
    if not joints or any(token.text.lower() == "or" for token in joints):
        return expr
    return expr[: joints[0].start]


def _drop_bool(text: str) -> str:
    return text[4:].strip() if re.match(r"bool\b", text) else text


def _unwrap(expr: str) -> str:
    """Return an expression without the brackets around all of it."""
    expr = expr.strip()
    for _ in range(MAX_WRAPS):
        tokens = _tokens(expr) if expr.startswith("(") else []
        end = next((token for token in tokens if token.kind == "close" and token.depth <= 0), None)
        if end is None or end.text != ")" or end.end != len(expr):
            break
        expr = expr[1:-1].strip()
    return expr


def _read_number(text: str) -> float | None:
    text = _unwrap(text).replace("_", "")
    return float(text) if _NUMBER.fullmatch(text) and abs(float(text)) < 1e300 else None
