"""Letters of logs that are not written in UTF-8."""

import codecs

import pytest

from bot.domain.text.letters import decode_text, to_utf8


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20 ERROR Zahlung für Bestellung 7 abgelehnt: Größe ungültig\r",
        "le serveur a été arrêté à 14:00",
        "Preis “12,00 €” — ungültig",
        "\x1b[31mErreur\x1b[0m : créée",
    ],
)
def test_a_line_in_windows_1252_shows_its_letters(text: str) -> None:
    assert to_utf8(text.encode("cp1252")).decode() == text


def test_lines_in_utf_8_stay_beside_lines_that_are_in_latin_1() -> None:
    assert to_utf8("größer\n".encode() + "größer\n".encode("latin-1")) == "größer\n".encode() * 2


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff\xff binary junk after the header",
        b"\x00\x01caf\xe9 and more",
        "платёж отклонён".encode("cp1251"),
        "支付失败 payment failed for this order".encode("gbk"),
        "größer, cut in the middle of ü".encode()[:-1],
        b"\xe9",
        b"price \xd7",
    ],
)
def test_what_may_be_something_else_is_left_as_it_is(raw: bytes) -> None:
    assert to_utf8(raw) == raw
    assert decode_text(raw) == raw.decode("utf-8", "backslashreplace")


@pytest.mark.parametrize(("mark", "encoding"), [(codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")])
def test_utf_16_is_known_by_its_mark(mark: bytes, encoding: str) -> None:
    assert decode_text(mark + "größer\n支付失败\n".encode(encoding)) == "größer\n支付失败\n"
