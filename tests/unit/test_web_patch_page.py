"""The page of one patch over HTTP: what it says, who sees it, what its buttons do."""

import hashlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest

from bot.domain.approval import ApprovalState, Vote
from bot.domain.chat import Link, Press, Reply
from bot.domain.ci import CIRun, CIState
from bot.domain.draft import Draft, Risk
from bot.domain.evidence import Check, CheckRun
from bot.domain.patches.patch import PatchLimits, parse_patch
from bot.ports.board import PatchPage
from tests.patches.hostile_binary import LOGO, NEW_LOGO, whole
from tests.web_html import Element, read_html
from tests.web_world import (
    APPROVE,
    ASKED,
    DIGEST,
    DRAFT,
    INCIDENT,
    NOW,
    PATCH,
    REJECT,
    RUNS,
    World,
    fill,
    note,
    served,
)

PATH = f"/incidents/INC-12/patches/{DIGEST[:12]}"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}\u202e\u200b\x1b[2J\U000e0041"
VOTE = Vote(person="ada", approve=True, at=NOW, channel="web", event="e1")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with served() as running:
        fill(running.board)
        yield running


def put(world: World, digest: str = DIGEST, **changes: object) -> None:
    """Change what is known of the sample patch."""
    page = replace(PatchPage(incident=INCIDENT, draft=DRAFT, approval=ASKED), **changes)  # type: ignore[arg-type]  # tests name real fields
    world.board.keep_patch(digest, page)


async def read(client: aiohttp.ClientSession, path: str = PATH, status: int = 200) -> Element:
    async with client.get(path) as answer:
        assert answer.status == status
        return read_html(await answer.text())


async def open_patch(world: World, path: str = PATH) -> Element:
    return await read(await world.signed_in(), path)


def form_of(page: Element, button: str) -> Element:
    forms = [f for f in page.all("form") if f.all("button", value=button) or f.fields().get("button") == button]
    assert len(forms) == 1
    return forms[0]


def shown_lines(page: Element, kind: str, side: str) -> list[str]:
    lines = [div for div in page.all("div") if div.attributes.get("class") == f"x x-{side} x-{kind}"]
    return [div.one("code").text for div in lines]


# what it says


async def test_it_says_what_a_person_must_know_before_deciding(world: World) -> None:
    page = await open_patch(world)
    assert page.one("h1").text.strip() == "◆ Patch ready: Revert 4f2c9ab “Let coupons carry their base”"
    card, tested, approval = (page.one(tag, id=name).text for tag, name in PARTS)
    assert "Approving pushes exactly this diff and starts CI. Expires at 04:12 UTC." in card
    assert "failing request red → green" in tested
    assert "tests green · 2.4 s" in " ".join(tested.split())
    assert "214 passed in 2.31s" in tested
    assert "1 approval" in approval
    assert "04:12 UTC" in approval
    seal = page.one("div", id="patch-seal").text
    for fact in (DIGEST, DRAFT.base, "checkout main", "nightshift/INC-12/", ASKED.audit_head):
        assert fact in seal


PARTS = (("article", "patch-card"), ("section", "patch-tested"), ("section", "patch-approval"))


async def test_every_line_of_the_patch_is_shown_and_the_download_is_what_was_hashed(world: World) -> None:
    client = await world.signed_in()
    page = await read(client)
    same = shown_lines(page, "same", "old")
    assert same == shown_lines(page, "same", "new")
    signs = {"removed": "-", "added": "+", "same": " "}
    shown = {signs[kind] + text for kind in signs for side in ("old", "new") for text in shown_lines(page, kind, side)}
    wanted = {line for line in PATCH.split("\n") if line[:1] in signs.values() and line[:3] not in {"---", "+++"}}
    assert shown == wanted
    (link,) = [a for a in page.all("a") if a.text == "Download .diff"]
    async with client.get(link.attributes["href"]) as answer:
        body = await answer.read()
        assert answer.content_type == "text/plain"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="INC-12-{DIGEST[:12]}.diff"'
    assert hashlib.sha256(body).hexdigest() == DIGEST
    assert DIGEST in page.one("div", id="patch-seal").text


async def test_what_changed_in_a_line_is_marked_and_code_has_colours(world: World) -> None:
    page = await open_patch(world)
    assert "".join(mark.text for mark in page.all("ins")) == "100"
    assert "".join(mark.text for mark in page.all("del")).startswith("coupon.base")
    assert "return" in [span.text for span in page.all("span") if span.attributes.get("class") == "s-k"]


async def test_a_risky_patch_that_failed_its_checks_says_so_in_words(world: World) -> None:
    red = (
        replace(RUNS[0], verdict=Check.RED, output="\n".join(f"line {number}" for number in range(300))),
        CheckRun(name="types", at="patched", verdict=Check.UNKNOWN, seconds=0.2, note="no runner"),
    )
    assert DRAFT.verified is not None
    risk = ("changes a CI file: ci.yml", "was not verified in the sandbox")
    draft = replace(DRAFT, verified=replace(DRAFT.verified, after=Check.RED, runs=red), risk=Risk(reasons=risk))
    approval = replace(ASKED, needs=2, risk=risk, excluded=("bo",), requester="bo", votes=(VOTE,))
    put(world, draft=draft, approval=approval)
    page = await open_patch(world)
    tested = " ".join(page.one("section", id="patch-tested").text.split())
    for words in ("✗ failing request red → red not proven", "✗ tests red", "? types unknown · 0.2 s · no runner"):
        assert words in tested
    assert "… 100 lines before line 100" in tested
    told = page.one("section", id="patch-approval").text
    for words in (*risk, "2 approvals, 1 more to come", "Ada Lovelace at 03:12 UTC", "Bo Chen"):
        assert words in told


async def test_a_binary_file_is_shown_by_its_sizes_and_its_sha256(world: World) -> None:
    patch = parse_patch(whole(LOGO, NEW_LOGO), PatchLimits(binary_paths=("assets/",)))
    (change,) = patch.files
    put(world, patch.digest, draft=replace(DRAFT, patch=patch), approval=replace(ASKED, digest=patch.digest))
    page = await open_patch(world, PATH.replace(DIGEST[:12], patch.digest[:12]))
    shown = page.one("details", id="file-1").text
    assert "assets/logo.png" in shown
    assert str(change.binary) in shown
    assert "Nobody can read this file here" in shown


async def test_a_draft_that_never_ran_and_was_never_asked_for_says_so(world: World) -> None:
    put(world, draft=replace(DRAFT, verified=None), approval=None)
    page = await open_patch(world)
    assert "It was never run in the sandbox." in page.text
    assert "This draft was not put up for approval." in page.text
    assert not page.all("form", action=f"{PATH}/press")


async def test_the_run_and_what_the_card_links_to_can_be_followed_and_the_page_itself_not(world: World) -> None:
    own = Link(label="Whole diff", url=f"https://ops.example{PATH}")
    pull = Link(label="Pull request", url="https://forge.example/pull/7")
    run = CIRun(id="1", sha="a" * 40, state=CIState.PASSED, url="https://ci.example/runs/1")
    put(world, runs=(run,))
    world.board.cards[DIGEST] = note("patch", "Patch pushed", blocks=(own, pull))
    page = await open_patch(world)
    links = {a.text: a.attributes["href"] for a in page.all("a", target="_blank")}
    assert links == {"CI run: passed": run.url, "Pull request": pull.url}


# standing


@pytest.mark.parametrize(
    ("state", "headline", "buttons"),
    [
        (ApprovalState.PENDING, "Patch ready", ["Approve", "Reject"]),
        (ApprovalState.EXPIRED, "Approval expired", ["Renew"]),
        (ApprovalState.APPROVED, "Patch approved", []),
        (ApprovalState.EXECUTED, "Patch pushed", []),
        (ApprovalState.SUPERSEDED, "Patch superseded", []),
    ],
)
async def test_the_page_offers_what_the_card_offers(
    world: World, state: ApprovalState, headline: str, buttons: list[str]
) -> None:
    put(world, approval=replace(ASKED, state=state, votes=(VOTE,)))
    page = await open_patch(world)
    assert headline in page.one("h1").text
    card = page.one("article", id="patch-card")
    assert [button.text for button in card.all("button") if button.text != "Cancel"] == buttons


async def test_an_approval_past_its_time_offers_to_renew_whatever_the_timer_did(world: World) -> None:
    world.clock.time += timedelta(hours=2)
    page = await open_patch(world)
    assert "Approval expired" in page.one("h1").text
    assert form_of(page, f"renew:INC-12:{DIGEST[:12]}").attributes["action"] == f"{PATH}/press"


async def test_the_statement_can_be_had_once_the_patch_is_approved(world: World) -> None:
    client = await world.signed_in()
    assert "no statement before the patch is approved" in (await read(client, f"{PATH}/statement", 404)).text
    put(world, approval=replace(ASKED, state=ApprovalState.EXECUTED, votes=(VOTE,)))
    page = await read(client)
    (link,) = [a for a in page.all("a") if a.text == "Download the statement"]
    async with client.get(link.attributes["href"]) as answer:
        body = await answer.read()
        assert answer.content_type == "application/vnd.in-toto+json"
        assert answer.headers["Content-Disposition"].startswith("attachment")
    assert json.loads(body)["subject"][0]["digest"]["sha256"] == DIGEST
    assert hashlib.sha256(body).hexdigest() in page.one("div", id="patch-seal").text


# pressing


async def test_a_press_is_the_same_event_as_on_the_thread_and_the_answer_stands_on_this_page(world: World) -> None:
    client = await world.signed_in()
    form = form_of(await read(client, f"{PATH}?view=split"), APPROVE.id)
    world.inbox.reply = Reply(text="Approved. The push follows.")
    data = {**form.fields(), "button": APPROVE.id}
    async with client.post(form.attributes["action"], data=data, headers={"Origin": world.url}) as answer:
        page = read_html(await answer.text())
    assert page.one("div", id="notice-text").text == "Approved. The push follows."
    assert page.one("a", **{"aria-current": "true"}).text == "Side by side"
    (press,) = world.inbox.events
    assert isinstance(press, Press)
    assert (press.button, press.account) == (APPROVE.id, "ada@web")
    async with client.get(form.attributes["action"], allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, f"{PATH}?view=split")


async def test_a_press_without_the_token_or_from_elsewhere_reaches_nobody(world: World) -> None:
    client = await world.signed_in()
    form = form_of(await read(client), REJECT.id).fields()
    for origin, change in ((world.url, {"csrf": "x"}), ("https://evil.example", {})):
        async with client.post(f"{PATH}/press", data={**form, **change}, headers={"Origin": origin}) as answer:
            assert answer.status == 403
    assert world.inbox.events == []


# ways to look


@pytest.mark.parametrize(
    ("query", "shape", "label"),
    [
        ("", "auto", "Fit the screen"),
        ("?view=unified", "unified", "Unified"),
        ("?view=split", "split", "Side by side"),
        ("?view=%3Cscript%3E", "auto", "Fit the screen"),
    ],
)
async def test_the_address_remembers_how_the_diff_is_shown(world: World, query: str, shape: str, label: str) -> None:
    page = await open_patch(world, PATH + query)
    assert page.one("a", **{"aria-current": "true"}).text == label
    grids = [e.attributes["class"] for e in page.all("div") if "grid" in e.attributes.get("class", "").split()]
    assert grids == [f"lines grid digits-3 view-{shape}"] * 2


async def test_the_fragment_is_what_may_change_and_leaves_the_diff_alone(world: World) -> None:
    client = await world.signed_in()
    whole, part = await read(client), await read(client, f"{PATH}/fragment")
    assert part.one("div", **{"data-part": ""}).attributes["data-title"].startswith("Patch ready")
    assert not part.all("details", id="file-1")
    for tag, name in (*PARTS, ("div", "patch-seal")):
        seen = [page.one(tag, id=name).attributes["data-v"] for page in (whole, part)]
        assert seen[0] == seen[1]
    put(world, approval=replace(ASKED, votes=(VOTE,), needs=2))
    later = await read(client, f"{PATH}/fragment")
    assert later.one("article", id="patch-card").attributes["data-v"] != seen[0]


# who sees it, and what hostile text does


async def test_a_stranger_sees_nothing_of_it(world: World) -> None:
    for path in (PATH, f"{PATH}/fragment", f"{PATH}/statement"):
        page = await read(world.client(), path, 403)
        assert "nightshift connect web --person NAME" in page.text
        assert "coupon" not in page.text


async def test_what_is_not_there_is_said_calmly(world: World) -> None:
    client = await world.signed_in()
    for digest in ("0" * 12, "abc", DIGEST, "%" * 12):
        await read(client, f"/incidents/INC-12/patches/{digest}", 404)


async def test_a_stored_patch_that_is_not_what_its_digest_names_is_not_shown(world: World) -> None:
    world.board.pages["f" * 64] = world.board.pages[DIGEST]
    page = await read(await world.signed_in(), f"/incidents/INC-12/patches/{'f' * 12}", 500)
    assert "Do not apply it" in page.text
    assert "coupon" not in page.text


def hostile_draft() -> Draft:
    text = f"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-{HOSTILE}\n+{HOSTILE} more\n"
    patch = parse_patch(text.encode(), allowed_existing=lambda _path, _character: True)
    run = CheckRun(name=HOSTILE, at="patched", verdict=Check.RED, seconds=1, output=HOSTILE, note=HOSTILE)
    assert DRAFT.verified is not None
    verified = replace(DRAFT.verified, runs=(run,), rung=HOSTILE)
    return replace(
        DRAFT,
        patch=patch,
        title=HOSTILE,
        branch=HOSTILE,
        verified=verified,
        risk=Risk(reasons=(HOSTILE,)),
        notes=(HOSTILE,),
    )


async def test_hostile_text_anywhere_makes_no_markup_and_hides_nothing(world: World) -> None:
    draft = hostile_draft()
    vote = replace(VOTE, approve=False, reason=HOSTILE, person=HOSTILE)
    approval = replace(ASKED, digest=draft.digest, target=HOSTILE, risk=(HOSTILE,), votes=(vote,), audit_head=HOSTILE)
    put(world, draft.digest, draft=draft, approval=approval, incident=replace(INCIDENT, title=HOSTILE))
    client = await world.signed_in()
    async with client.get(f"/incidents/INC-12/patches/{draft.digest[:12]}") as answer:
        assert "style-src 'self'" in answer.headers["Content-Security-Policy"]
        text = await answer.text()
    page = read_html(text)
    assert not page.all("img")
    assert not page.all("style")
    assert [script.attributes["src"][:15] for script in page.all("script")] == ["/static/live.js"]
    names = {name for element in page.walk() for name in element.attributes}
    assert not [name for name in names if name == "style" or name.startswith("on")]
    assert not re.search("[\u202e\u200b\x1b\U000e0041]", text)
    assert "\\u202e\\u200b\\x1b[2J\\U000e0041" in page.text
    assert "{{ 7*7 }}" in page.text


async def test_the_page_has_the_frame_that_assistive_programs_walk(world: World) -> None:
    page = await open_patch(world)
    assert len(page.all("main")) == len(page.all("h1")) == 1
    assert [h.text.split()[0] for h in page.all("h2") if h.text] == ["Tested", "Approval", "2"]
    assert page.one("nav").attributes["aria-label"] == "How to show the diff"
    names = [e.attributes["id"] for e in page.walk() if "id" in e.attributes]
    assert len(names) == len(set(names))
    labels = {e.attributes["aria-labelledby"] for e in page.walk() if "aria-labelledby" in e.attributes}
    assert labels <= set(names)
    copies = [e for e in page.all("div", **{"aria-hidden": "true"}) if "x-same" in e.attributes["class"]]
    assert len(copies) == len(shown_lines(page, "same", "new"))


async def test_the_thread_leads_to_the_page_of_its_patch(world: World) -> None:
    page = await read(await world.signed_in(), "/incidents/INC-12")
    assert PATH in [link.attributes["href"] for link in page.all("a")]
