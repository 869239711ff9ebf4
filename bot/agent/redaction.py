"""Takes secrets out of text, once, when it comes in: before it is stored, shown, logged or given to a model.

Three layers: Nightshift's own secrets exactly, in every way of writing them (`redaction_own`); the patterns of known
services (`redaction_rules.toml`); values beside telling names (`redaction_shapes`). Each secret becomes
`[redacted:<kind>:<6 hexadecimal digits>]`, the digits being a keyed hash: the same secret reads the same everywhere,
and says nothing. Rules that cannot be read stop the program: there is no mode without them.
"""

import hashlib
import hmac
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

from bot.agent.redaction_own import Hit, OwnSecrets, View, fold, has_noise, replace_lone, strip_noise
from bot.agent.redaction_rules import Rules, load_rules
from bot.agent.redaction_shapes import PEM_BEGIN, PEM_BODY, PEM_END, PEM_LAST
from bot.errors import ConfigError, Problem

RULES: Final = Path(__file__).with_name("redaction_rules.toml")
PLACEHOLDER: Final = re.compile(r"\[redacted:[a-z0-9-]{1,64}:[0-9a-f]{6}\]")
_JSON_KEY: Final = re.compile(r"(\\{0,3}\")\s{0,4}:\s{0,4}$")
_JSON_AFTER: Final = re.compile(r"\s{0,4}(?:[,}\]]|$)")
_MAX_ROUNDS: Final = 8
_MAX_PEM_LINES: Final = 400
_CHUNK: Final = 512


def load_redactor(own_secrets: Sequence[str], key: bytes, *, rules: Path = RULES) -> "Redactor":
    """Build the redactor. Raises `ConfigError` where rules, key or a secret cannot be used; never goes on without."""
    if not key:
        raise ConfigError([Problem(where="redaction", what="the key of the placeholders is empty")])
    return Redactor(OwnSecrets(own_secrets), load_rules(rules), key)


class Redactor:
    """Redacts text. Pure but for what it was built with; redacting twice changes nothing more."""

    def __init__(self, own: OwnSecrets, rules: Rules, key: bytes) -> None:
        self._own = own
        self._rules = rules
        self._key = key

    def redact(self, text: str) -> str:
        """Return the text without secrets; line ends stay."""
        return "\n".join(self.redact_lines(text.split("\n")))

    def redact_lines(self, lines: Sequence[str]) -> list[str]:
        """Return the lines without secrets, as many as came in. Quick on lines that hold nothing suspicious."""
        done = list(lines)
        last_of_key = -1
        for number in self._find_suspicious(lines):
            if number <= last_of_key:
                continue
            if "-----" in done[number] or has_noise(done[number]):
                last_of_key = self._redact_keys(done, number)
            done[number] = self._redact_line(done[number])
        return done

    # Finding ---------------------------------------------------------------------------------------------------------
    def _find_suspicious(self, lines: Sequence[str]) -> list[int]:
        found: list[int] = []
        for first in range(0, len(lines), _CHUNK):
            chunk = lines[first : first + _CHUNK]
            text = "\n".join(chunk)
            lowered = fold(text)
            places = {*self._rules.find_places(replace_lone(text), lowered), *self._own.hit_ends(text, lowered)}
            if not self._own.is_empty:
                places.update(match.start() for match in self._own.escaped.finditer(text))
            numbers = (
                {number for number, line in enumerate(chunk) if has_noise(line)} if has_noise(text) else set[int]()
            )
            if places:
                starts = list(accumulate((len(line) + 1 for line in chunk), initial=0))
                numbers.update(bisect_right(starts, place) - 1 for place in places)
            found += (first + number for number in sorted(numbers))
        return found

    def _find_hits(self, text: str) -> list[Hit]:
        hits = list(self._own.find(text))
        clean = strip_noise(View(text))
        readable = replace_lone(clean.text)
        for rule in self._rules.choose(fold(readable)):
            for start, end, value in rule.find(readable):
                hits.append(Hit(*clean.span(start, end), rule.kind, value, rule.rank))
        return hits

    # Replacing -------------------------------------------------------------------------------------------------------
    def _redact_line(self, line: str) -> str:
        """Redact until nothing more is found, so that doing it again finds nothing either."""
        for _ in range(_MAX_ROUNDS):
            pieces: list[str] = []
            position = 0
            for match in PLACEHOLDER.finditer(line):
                pieces += [self._redact_piece(line[position : match.start()]), match.group()]
                position = match.end()
            pieces.append(self._redact_piece(line[position:]))
            redacted = "".join(pieces)
            if redacted == line:
                break
            line = redacted
        return line

    def _redact_piece(self, text: str) -> str:
        hits = self._find_hits(text) if text else []
        if not hits:
            return text
        pieces: list[str] = []
        position = 0
        for hit in _merge(hits):
            before = text[position : hit.start]
            pieces += [before, self._quote(text, hit, self._name(hit.kind, hit.value))]
            position = hit.end
        return "".join([*pieces, text[position:]])

    @staticmethod
    def _quote(text: str, hit: Hit, placeholder: str) -> str:
        """Keep JSON readable where the secret was a bare number."""
        key = _JSON_KEY.search(text, max(0, hit.start - 16), hit.start)
        if key is None or not _JSON_AFTER.match(text, hit.end):
            return placeholder
        return key.group(1) + placeholder + key.group(1)

    def _name(self, kind: str, value: str) -> str:
        digest = hmac.new(self._key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"[redacted:{kind}:{digest[:6]}]"

    # Private keys over several lines ---------------------------------------------------------------------------------
    def _redact_keys(self, lines: list[str], number: int) -> int:
        """Redact private keys that begin in a line; return the last line of one that goes on, else `number` - 1."""
        position = 0
        while True:
            clean = strip_noise(View(lines[number][position:]))
            begin = PEM_BEGIN.search(clean.text)
            if begin is None:
                return number - 1
            start = position + clean.span(*begin.span())[0]
            end = PEM_END.search(clean.text, begin.end())
            if end is None:
                break
            stop = position + clean.span(*end.span())[1]
            placeholder = self._name("private-key", lines[number][start:stop])
            lines[number] = lines[number][:start] + placeholder + lines[number][stop:]
            position = start + len(placeholder)
        rest = lines[number][start:]
        lines[number] = self._redact_line(lines[number][:start]) + self._name("private-key", rest)
        return self._redact_key_body(lines, number + 1)

    def _redact_key_body(self, lines: list[str], number: int) -> int:
        for place in range(number, min(number + _MAX_PEM_LINES, len(lines))):
            line = lines[place]
            clean = strip_noise(View(line))
            if (end := PEM_END.search(clean.text)) is not None:
                stop = clean.span(*end.span())[1]
                rest = self._redact_line(line[stop:])
                lines[place] = self._name("private-key", line[:stop]) + rest
                return place
            is_last = place + 1 < len(lines) and PEM_END.search(strip_noise(View(lines[place + 1])).text) is not None
            body = (PEM_LAST if is_last else PEM_BODY).search(clean.text)
            if body is not None:
                start = clean.span(*body.span())[0]
                lines[place] = self._redact_line(line[:start]) + self._name("private-key", line[start:])
            elif clean.text.strip():
                return place - 1
        return min(number + _MAX_PEM_LINES, len(lines)) - 1


def _merge(hits: Sequence[Hit]) -> list[Hit]:
    """Join hits that overlap; the surest, then the longest of them names the whole."""
    merged: list[Hit] = []
    for hit in sorted(hits, key=lambda one: (one.start, one.end)):
        if not merged or hit.start >= merged[-1].end:
            merged.append(hit)
            continue
        last = merged[-1]
        best = min(last, hit, key=lambda one: (one.rank, one.start - one.end, one.kind))
        merged[-1] = Hit(last.start, max(last.end, hit.end), best.kind, best.value, best.rank)
    return merged
