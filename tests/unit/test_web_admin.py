"""The admin API: nothing without its token, JSON for what it knows, calm answers for anything else."""

import asyncio
import base64

import pytest

from tests.served import ADMIN, AS_ADMIN, BEARER, serve
from tests.unit.test_services_rollout import SHA, Rollout
from tests.worldkit import alert, body, diff, group, make_world, quiet  # noqa: F401 -- `quiet` is a fixture

PATHS = [
    ("GET", "/v1/incidents"),
    ("GET", "/v1/incidents/INC-1"),
    ("GET", "/v1/incidents/INC-1/timeline"),
    ("GET", f"/v1/incidents/INC-1/patches/{'a' * 12}"),
    ("POST", "/v1/signin-links"),
    ("POST", "/v1/page-tests"),
    ("GET", "/v1/dead-letters"),
    ("POST", "/v1/dead-letters/1/replay"),
    ("GET", "/v1/deliveries"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/pause"),
    ("PUT", "/v1/pause"),
]


@pytest.fixture
async def served(tmp_path):
    async with serve(make_world(tmp_path)) as served:
        yield served


async def ask(served, path: str, *, method: str = "GET", headers=AS_ADMIN, **options):
    async with served.client.request(method, path, headers=headers, **options) as response:
        kind = response.content_type
        return response.status, await (response.json() if kind == "application/json" else response.text())


class TestTheToken:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer"},
            {"Authorization": f"Bearer {ADMIN}x"},
            {"Authorization": f"Basic {base64.b64encode(ADMIN.encode()).decode()}"},
            BEARER,
        ],
        ids=["none", "empty", "longer", "basic", "a sender's"],
    )
    async def test_guards_every_path(self, served, headers):
        for method, path in PATHS:
            status, text = await ask(served, path, method=method, headers=headers)
            assert status == 401, path
            assert ADMIN not in text

    async def test_bytes_that_are_no_text_are_refused(self, served):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(
            b"GET /v1/audit HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer \xff\xfe\r\n\r\n"
        )
        answer = await reader.read(100)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 401")


class TestIncidents:
    async def test_none_are_an_empty_list(self, served):
        assert await ask(served, "/v1/incidents") == (200, {"incidents": []})

    async def test_are_told_with_their_approvals_and_ci(self, served):
        served.world.receive(group(alert()))
        rolled = Rollout(served.world)
        rolled.pushed()
        status, told = await ask(served, "/v1/incidents/INC-1")
        assert status == 200
        assert (told["id"], told["state"], told["owner"]) == ("INC-1", "acknowledged", "ada")
        assert told["approvals"] == [
            {
                "digest": rolled.digest,
                "subject": "patch",
                "base": "b" * 40,
                "state": "approved",
                "approved_by": ["ada"],
            }
        ]
        assert told["ci"] == [{"sha": SHA, "state": "queued", "attempt": 1, "digest": rolled.digest}]
        assert (await ask(served, "/v1/incidents"))[1] == {"incidents": [told]}

    async def test_the_timeline_shows_the_chain(self, served):
        served.world.receive(group(alert()))
        status, told = await ask(served, "/v1/incidents/INC-1/timeline")
        assert status == 200
        assert [event["kind"] for event in told["events"]] == ["opened", "paged", "triage_queued"]
        _, head = await ask(served, "/v1/audit")
        assert head == {"seq": 3, "head": told["events"][-1]["hash"]}

    async def test_a_patch_is_the_exact_bytes(self, served):
        served.world.receive(group(alert()))
        digest = served.world.propose().digest
        for name in (digest, digest[:12]):
            assert await ask(served, f"/v1/incidents/INC-1/patches/{name}") == (200, diff().decode())

    async def test_what_is_not_there_is_a_404(self, served):
        served.world.receive(group(alert()))
        served.world.propose()
        for path in (
            "INC-2",
            "INC-01",
            "%00",
            "%ff",
            "INC-2/timeline",
            f"INC-1/patches/{'%25' * 12}",
            "INC-1/patches/____________",
            "INC-1/patches/a",
        ):
            status, told = await ask(served, f"/v1/incidents/{path}")
            assert status == 404, path
            assert told


class TestSignInLinks:
    async def test_are_made_for_people_of_the_roster_and_work_once(self, served):
        status, told = await ask(served, "/v1/signin-links", method="POST", json={"person": "ada"})
        assert status == 200
        url = told["url"]
        assert url.startswith("http://nightshift.example/signin/")
        async with served.client.get(url.removeprefix("http://nightshift.example")) as page:
            assert page.status == 200

    async def test_for_strangers_name_who_is_known(self, served):
        status, told = await ask(served, "/v1/signin-links", method="POST", json={"person": "mallory"})
        assert (status, told["error"]) == (404, 'No person "mallory". Known: ada, ben, cleo, vic.')

    async def test_that_cannot_be_read_say_what_to_send(self, served):
        cut = b'{"person": '
        for content in (b"", b"[]", b"{}", b"null", b"\xff", b"[" * 60_000, cut, b"9" * 5000, b'"ada"'):
            status, told = await ask(served, "/v1/signin-links", method="POST", data=content)
            assert (status, told["error"]) == (400, 'Send {"person": "NAME"}.'), content[:20]

    async def test_for_odd_names_are_a_404(self, served):
        for person in ("\ud800", ["ada"], {"a": 1}, None, 7, "x" * 10_000):
            status, told = await ask(served, "/v1/signin-links", method="POST", json={"person": person})
            assert status == 404
            assert len(told["error"]) < 200


class TestPageTests:
    async def test_say_what_each_contact_answered(self, served):
        status, told = await ask(served, "/v1/page-tests", method="POST", json={"person": "ada"})
        assert (status, told) == (200, {"contacts": [{"contact": "ada's push", "ok": True, "text": "taken"}]})

    async def test_are_for_people_of_the_roster(self, served):
        for content, expected in ((b'{"person": "mallory"}', 404), (b"{", 400), (b'{"who": "ada"}', 400)):
            status, told = await ask(served, "/v1/page-tests", method="POST", data=content)
            assert status == expected
            assert told["error"]


class TestDeliveries:
    async def test_the_last_ones_are_shown_shortened(self, served):
        for number in range(12):
            await served.inbox.keep("alertmanager", b"%d " % number + b"\xff" * 100_000)
        status, told = await ask(served, "/v1/deliveries")
        assert status == 200
        assert [item["number"] for item in told["deliveries"]] == list(range(3, 13))
        assert all(len(item["body"]) <= 2000 for item in told["deliveries"])
        assert [item["number"] for item in (await ask(served, "/v1/deliveries?after=11"))[1]["deliveries"]] == [12]

    async def test_a_number_that_is_none_is_refused(self, served):
        for after in ("x", "", "-", "1.5", "9" * 30, "--1", "%00"):
            assert (await ask(served, f"/v1/deliveries?after={after}"))[0] == 400, after

    async def test_a_dead_letter_is_listed_replayed_once_and_then_gone(self, served):
        number = await served.inbox.keep("alertmanager", body(alert()))
        await served.inbox.bury(number, "why")
        _, told = await ask(served, "/v1/dead-letters")
        assert [(item["number"], item["error"]) for item in told["dead_letters"]] == [(number, "why")]
        assert await ask(served, f"/v1/dead-letters/{number}/replay", method="POST") == (200, {"replayed": number})
        status, told = await ask(served, f"/v1/dead-letters/{number}/replay", method="POST")
        assert (status, told["reason"]) == (404, "not_found")

    async def test_a_dead_letter_that_is_none_is_a_404(self, served):
        for number in ("0", "9" * 18, "9" * 19, "-1", "x"):
            assert (await ask(served, f"/v1/dead-letters/{number}/replay", method="POST"))[0] == 404, number


async def test_a_store_that_does_not_answer_is_a_503(served):
    with served.world.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE timeline RENAME TO gone")
    status, text = await ask(served, "/v1/audit")
    assert status == 503
    assert "Traceback" not in str(text)
