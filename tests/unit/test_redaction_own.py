import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.agent.redaction import PLACEHOLDER, Redactor, load_redactor
from bot.agent.redaction import RULES as FILE
from bot.agent.redaction_own import OwnSecrets, fold
from bot.agent.redaction_rules import load_rules
from bot.errors import ConfigError

KEY = b"a key of the test"
SECRET = 'Xp7/+q%"\\ zé&<9'
RULES = load_rules(FILE)
REDACTOR = load_redactor([SECRET], KEY)
NAME = REDACTOR.redact(SECRET)

# At least one letter and one digit-like mark, so that a secret is no word of the text around it.
secrets = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_categories=["Cc", "Cf"]), min_size=8, max_size=40
)
around = st.text(st.sampled_from("abcXYZ012 =:,._-/"), max_size=20)


def percent_all(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def unicode_all(text: str) -> str:
    return "".join(f"\\u{ord(letter):04x}" for letter in text)


def noisy(mark: str) -> Callable[[str], str]:
    return mark.join


def shifted(shift: int, encode: Callable[[bytes], bytes]) -> Callable[[str], str]:
    return lambda text: encode(b"\x01" * shift + text.encode() + b"after").decode()


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    **{f"base64 {shift}": shifted(shift, base64.b64encode) for shift in range(3)},
    **{f"base64url {shift}": shifted(shift, base64.urlsafe_b64encode) for shift in range(3)},
    "base64 alone": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 in a url": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "percent": lambda text: quote(text, safe=""),
    "percent, path": quote,
    "percent, lower case": lambda text: quote(text, safe="").replace("%C", "%c").replace("%2F", "%2f"),
    "percent, every letter": percent_all,
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "percent three times": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "json, unescaped": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json, slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "json, every letter": unicode_all,
    "json of percent": lambda text: json.dumps({"url": quote(text, safe="")}),
    "percent of json": lambda text: quote(json.dumps(text)[1:-1], safe=""),
    "python repr": lambda text: repr(text)[1:-1],
    "python bytes": lambda text: repr(text.encode())[2:-1],
    "html": html.escape,
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "hex, colons": lambda text: text.encode().hex(":"),
    "ansi": noisy("\x1b[31;1m"),
    "ansi in json": lambda text: json.dumps("\x1b[0m".join(text)),
    "zero width": noisy("\u200b"),
    "joiners": noisy("\u2060\ufeff"),
    "bidi": noisy("\u202e"),
    "soft hyphen": noisy("\u00ad"),
    "backspace": noisy("\x08"),
    "nul": noisy("\x00"),
    "zero width in percent": lambda text: "\u200b".join(quote(text, safe="")),
    "zero width in base64": lambda text: "\u200d".join(base64.b64encode(text.encode()).decode()),
}  # fmt: skip


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@given(secret=secrets, before=around, after=around)
@settings(max_examples=40, deadline=None)
def test_an_own_secret_is_found_in_every_encoding(
    encode: Callable[[str], str], secret: str, before: str, after: str
) -> None:
    redactor = Redactor(OwnSecrets([secret]), RULES, KEY)
    written = encode(secret)
    redacted = redactor.redact(f"{before} {written} {after}")
    assert "[redacted:own:" in redacted
    assert written not in redacted
    assert secret not in redacted
    assert redactor.redact(redacted) == redacted


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_one_secret_has_one_placeholder_however_it_is_written(encode: Callable[[str], str]) -> None:
    assert PLACEHOLDER.fullmatch(NAME)
    assert NAME in REDACTOR.redact(f"value {encode(SECRET)} end")


@pytest.mark.parametrize("encode", [quote_plus, lambda text: quote_plus(quote_plus(text))])
def test_a_space_written_as_plus_is_understood(encode: Callable[[str], str]) -> None:
    redactor = load_redactor(["correct horse battery"], KEY)
    assert (
        redactor.redact(f"q={encode('correct horse battery')}&x=1")
        == f"q={redactor.redact('correct horse battery')}&x=1"
    )


def test_what_stands_around_a_secret_stays() -> None:
    assert REDACTOR.redact(f'a {SECRET}, b\x1b[0m "{SECRET}"') == f'a {NAME}, b\x1b[0m "{NAME}"'


def test_another_key_gives_other_placeholders() -> None:
    assert load_redactor([SECRET], b"other").redact(SECRET) != NAME


def test_different_secrets_have_different_placeholders() -> None:
    redactor = load_redactor(["first-secret", "second-secret"], KEY)
    first, second = redactor.redact_lines(["first-secret", "second-secret"])
    assert first != second
    assert {first[:14], second[:14]} == {"[redacted:own:"}


def test_a_secret_inside_a_longer_one_is_covered_by_it() -> None:
    redactor = load_redactor(["inner-secret", "outer-inner-secret-outer"], KEY)
    assert PLACEHOLDER.fullmatch(redactor.redact("outer-inner-secret-outer"))


def test_each_line_of_a_secret_of_several_lines_is_found() -> None:
    lines = ["-----BEGIN X KEY-----", "MIIEowIBAAKCAQEA7x", "Zk3h5Jq0bV8mN2xT4w", "-----END X KEY-----"]
    redactor = load_redactor(["\n".join(lines) + "\n"], KEY)
    redacted = redactor.redact_lines([f"12:00 {line}" for line in lines])
    assert redacted[0] == "12:00 -----BEGIN X KEY-----"
    assert redacted[1].startswith("12:00 [redacted:own:")
    assert redacted[2].startswith("12:00 [redacted:own:")


def test_secrets_that_are_unset_are_no_secrets() -> None:
    redactor = load_redactor(["", "  \n"], KEY)
    assert redactor.redact("nothing to hide here") == "nothing to hide here"


def test_a_secret_too_short_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        OwnSecrets(["abc", "long enough"])
    assert "abc" not in str(caught.value)


def test_all_short_lines_are_left_alone_when_nothing_matches() -> None:
    assert REDACTOR.redact_lines(["", "a", " "]) == ["", "a", " "]


@given(st.text(st.characters() | st.sampled_from("AZaz@[`{\u212a\u0130\ud83d\ude00\udfff")))
def test_only_ascii_letters_are_folded_and_every_other_character_stays_in_its_place(text: str) -> None:
    assert fold(text) == "".join(mark.lower() if "A" <= mark <= "Z" else mark for mark in text)
