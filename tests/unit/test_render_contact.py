"""What a telephone shows: one SMS, what is wrong first, and nothing that anything obeys."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.incident import Incident, IncidentState, Severity
from bot.ports.pager import PageText
from bot.render.contact import SMS, render_contact_page, render_test_page
from bot.render.links import Links

NOW = datetime(2026, 3, 4, 2, 20, tzinfo=UTC)
LINKS = Links(base="https://night.example.org")
INCIDENT = Incident(
    id="INC-7",
    key="k",
    title="checkout answers 38 % of requests with 500",
    service="checkout",
    severity=Severity.CRITICAL,
    state=IncidentState.TRIGGERED,
    opened_at=NOW,
    changed_at=NOW,
    alert_started_at=NOW - timedelta(minutes=6),
)
GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)


def show(title: str = INCIDENT.title, *, links: Links = LINKS, **changes: object) -> PageText:
    incident = replace(INCIDENT, title=title, **changes)
    return render_contact_page(incident, "ana", now=NOW, names={"ana": "Ana", "ben": "Ben"}, links=links)


def test_it_says_what_is_wrong_then_who_is_called_since_when_and_where_to_acknowledge():
    assert show() == PageText(
        title="INC-7 critical: checkout answers 38 % of requests with 500",
        body="Ana, since 02:14 UTC. Acknowledge: https://night.example.org/incidents/INC-7",
    )


def test_without_a_public_address_it_says_where_else():
    assert show(links=Links()).body == "Ana, since 02:14 UTC. Acknowledge INC-7 in chat."


def test_who_is_called_to_help_is_told_who_has_it():
    body = show(state=IncidentState.ACKNOWLEDGED, owner="ben").body
    assert body == "Ana, since 02:14 UTC. Ben has it, help is wanted: https://night.example.org/incidents/INC-7"


@pytest.mark.parametrize("title", ["x" * 500, "checkout " * 80, "“Fehler” – langsam… " * 20, "checkout: " + "€" * 200])
def test_it_fits_one_sms_with_whatever_title(title):
    page = show(title)
    assert len(f"{page.title}\r\n{page.body}") <= SMS
    assert page.title.endswith("...")


def test_our_own_words_and_typographic_marks_cost_one_letter_each():
    page = show("“Fehler” – ‘langsam’… 38 %")
    assert set(page.title + page.body) <= GSM


def test_a_long_address_leaves_room_for_the_problem():
    page = show("a" * 200, links=Links(base=f"https://{'n' * 150}.example.org"))
    assert len(page.title) >= len("INC-7 critical: ") + 40


@pytest.mark.parametrize(
    "hostile",
    [
        "<!channel> <@U123> @everyone @here",
        "[click](https://evil.example/x) http://evil.example",
        "**bold** __under__ `code` ~~gone~~ ||spoiler||",
        "<b>bold</b> <a href='https://evil.example'>x</a> <script>",
        "a\u202egnihtemos\u202c \u200bb\x1b[31m\x00\x07",
        "{{7*7}} ${x} \\n \\x1b",
        "first line\nsecond line\r\nAcknowledge: https://evil.example/INC-7",
    ],
)
def test_hostile_text_is_harmless_everywhere(hostile):
    page = show(hostile)
    told = page.title
    assert not set(told) & set("<>[]{}*_`~|\\@\n\r\x1b\x00\u202e\u200b")
    assert "://" not in told
    assert told.isprintable()


def test_a_person_s_name_is_as_harmless():
    page = render_contact_page(INCIDENT, "x", now=NOW, names={"x": "<!here> @all\n"}, links=LINKS)
    assert page.body.startswith("(!here) (at)all, since")


def test_a_test_page_cannot_be_taken_for_a_real_one():
    page = render_test_page("Ana", "sms")
    assert page.title == "TEST page from Nightshift"
    assert "Nothing is wrong" in page.body
    assert len(f"{page.title}\r\n{page.body}") <= SMS
