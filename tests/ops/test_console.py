"""The console without a browser: who may use it, what it shows of hostile data, and what its acts do."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import httpx
import pytest

from ops.console.app import create_app
from ops.console.desk import Desk
from ops.console.guard import form_token
from ops.console.runbook import advice
from ops.session import Session
from shared.errors import reasons
from shared.flows.operate.first_sync.choices import choose
from shared.flows.operate.first_sync.classify import Kind
from shared.flows.operate.first_sync.memory import Counts, StoredPlan
from shared.flows.operate.first_sync.plan import EntityPlan
from shared.flows.reconcile.checkpoint import BrakeState
from shared.flows.reconcile.first_sync import EntityProgress, Progress
from tests.fakes import document_mapping, make_settings
from tests.ops.desks import HOSTILE, NOW, REPORT, FakeDesk, processed, story, waiting

PORT = 7999
TOKEN = "a-token-of-this-test"
BASE = f"http://127.0.0.1:{PORT}"
PAGES = [
    "/",
    "/parked",
    "/parked/1",
    "/record?entity=asset&key=A-00001",
    "/drift",
    f"/drift/{REPORT}",
    "/first-sync",
    "/faults",
]
POSTS = ["/parked/rehearse", "/parked/carry-out", "/record/resync", "/drift/release", "/faults"]


@asynccontextmanager
async def browser(desk: FakeDesk, **options: object) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(desk, token=TOKEN, port=PORT))
    async with httpx.AsyncClient(transport=transport, base_url=BASE, **options) as client:  # type: ignore[arg-type]
        yield client


@asynccontextmanager
async def signed_in(desk: FakeDesk) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(desk) as client:
        opened = await client.get("/", params={"token": TOKEN})
        assert opened.status_code == 200
        yield client


def form(**values: object) -> dict[str, object]:
    return {"token": form_token(TOKEN), **values}


async def test_a_message_and_its_record_lead_to_the_row_in_dynamics() -> None:
    async with signed_in(FakeDesk([waiting(1)])) as client:
        for path in ("/parked/1", "/record?entity=asset&key=A-00001"):
            assert 'href="https://contoso.crm.dynamics.com/asset/5f0c"' in (await client.get(path)).text


@pytest.mark.parametrize(
    ("root", "address"),
    [
        (
            "https://c.crm.dynamics.com",
            "https://c.crm.dynamics.com/main.aspx?etn=salesorder&pagetype=entityrecord&id=5f0c",
        ),
        ("http://127.0.0.1:7000", "http://127.0.0.1:7000/_emulator/tables/salesorder"),
    ],
    ids=["in Azure", "local"],
)
def test_a_row_is_looked_at_where_its_installation_shows_it(root: str, address: str) -> None:
    session = Session()
    session.wiring.settings = make_settings(dynamics_365_resource_url=root)
    assert Desk(session, "").row_address("order", "5f0c") == address


async def test_every_instant_of_a_message_has_one_form() -> None:
    async with signed_in(FakeDesk([waiting(1, parked_at="2026-01-31T11:00:00.255675+00:00")])) as client:
        text = (await client.get("/parked/1")).text
    assert "+00:00" not in text
    assert text.count("2026-01-31T11:00:00Z") == 2, "the failure before, and the property"


@pytest.mark.parametrize("path", [*PAGES, "/events", "/static/console.js", f"/drift/{REPORT}/page", "/?token=wrong"])
async def test_nothing_is_shown_without_the_token(path: str) -> None:
    async with browser(FakeDesk([waiting(1)])) as client:
        answer = await client.get(path)
        assert answer.status_code == 403
        assert "A-00001" not in answer.text


@pytest.mark.parametrize("path", POSTS)
async def test_nothing_is_done_without_the_token_of_the_form(path: str) -> None:
    desk = FakeDesk([waiting(1)])
    body = {"number": "1", "act": "replay", "entity": "asset", "key": "A", "who": "x", "fault": "slow", "because": "x"}
    async with signed_in(desk) as client:
        assert (await client.post(path, data=body)).status_code == 403
        assert (await client.post(path, data=body | {"token": "0" * 64})).status_code == 403
        elsewhere = {"Origin": "http://127.0.0.1:8000"}
        assert (await client.post(path, data=body | form(), headers=elsewhere)).status_code == 403
    async with browser(desk) as client:
        assert (await client.post(path, data=body | form())).status_code == 403
    assert (desk.sent, desk.discarded, desk.resynced, desk.injected) == ([], [], [], [])


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", ""])
async def test_another_host_name_is_refused(host: str) -> None:
    async with browser(FakeDesk()) as client:
        answer = await client.get("/", params={"token": TOKEN}, headers={"Host": host})
        assert (answer.status_code, "set-cookie" in answer.headers) == (421, False)


async def test_the_cookie_is_of_this_site_only_and_out_of_the_reach_of_scripts() -> None:
    async with browser(FakeDesk()) as client:
        cookie = (await client.get("/", params={"token": TOKEN})).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_forbids_foreign_and_inline_content(path: str) -> None:
    async with signed_in(FakeDesk([waiting(1)])) as client:
        answer = await client.get(path)
        policy = answer.headers["content-security-policy"]
        assert answer.status_code == 200
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\bstyle=|\son[a-z]+=", answer.text)


async def test_a_report_runs_in_a_sandbox_of_its_own() -> None:
    async with signed_in(FakeDesk()) as client:
        answer = await client.get(f"/drift/{REPORT}/page")
        assert (await client.get("/drift/..%2f..%2fpyproject.toml/page")).status_code == 404
        assert (await client.get("/drift/other.html")).status_code == 404
    assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
    assert "The report" in answer.text


async def test_hostile_values_are_text_on_every_page() -> None:
    hostile = waiting(1, key=HOSTILE, reason=HOSTILE, message=HOSTILE, field=HOSTILE, body=HOSTILE.encode())
    desk = FakeDesk([hostile])
    desk.processed = processed(60)
    desk.story_of[HOSTILE] = story("asset", HOSTILE, HOSTILE, problems=(HOSTILE,), parked=(hostile,))
    desk.down = ""
    async with signed_in(desk) as client:
        for path in ["/", "/parked", "/parked/1", "/record?" + urlencode({"entity": "asset", "key": HOSTILE})]:
            page = (await client.get(path)).text
            assert "<script>window" not in page
            assert "<img" not in page
            assert "670592745" not in page, "a template in a value is not evaluated"
            assert "&lt;script&gt;window.broken" in page


async def test_a_replay_is_shown_first_and_done_after_a_second_form() -> None:
    desk = FakeDesk([waiting(1), waiting(2), waiting(3, source_queue="../other")])
    async with signed_in(desk) as client:
        asked = await client.post("/parked/rehearse", data=form(act="replay", number=["1", "3"]))
        assert "Replay 1 message?" in asked.text
        assert "cannot be sent again" in asked.text
        assert desk.sent == []
        numbers = re.findall(r'name="number" value="(\d+)"', asked.text)
        done = await client.post("/parked/carry-out", data=form(act="replay", number=numbers))
        assert "1 message replayed" in done.text
    assert desk.sent == [1]
    assert sorted(desk.messages) == [2, 3]


async def test_a_discard_needs_a_reason() -> None:
    desk = FakeDesk([waiting(1), waiting(2)])
    async with signed_in(desk) as client:
        refused = await client.post("/parked/carry-out", data=form(act="discard", number="1", because="  "))
        assert "A discard needs a reason" in refused.text
        assert desk.discarded == []
        await client.post("/parked/carry-out", data=form(act="discard", number="1", because="test data"))
    assert desk.discarded == [(1, "test data")]


async def test_all_that_match_a_filter_are_meant_also_beyond_the_page() -> None:
    desk = FakeDesk([waiting(number, "conflict" if number % 2 else "mapping_error") for number in range(1, 501)])
    async with signed_in(desk) as client:
        page = (await client.get("/parked?reason=conflict&page=2")).text
        assert "201 to 250 of 250" in page
        asked = await client.post("/parked/rehearse", data=form(act="replay", every="1", reason="conflict"))
        assert "Replay 250 messages?" in asked.text
        assert len(re.findall(r'name="number"', asked.text)) == 250


async def test_a_message_offers_first_what_can_help_and_says_why_it_cannot_be_sent_again() -> None:
    parked = [waiting(1), waiting(2, source_queue="../other"), waiting(3, body=b"not json")]
    async with signed_in(FakeDesk(parked)) as client:
        able, unable, hopeless = [(await client.get(f"/parked/{one.sequence}")).text for one in parked]
    assert 'value="replay" class="first"' in able
    assert "It cannot be sent again" not in able
    assert 'value="replay"' not in unable
    assert 'value="discard" class="first"' in unable
    assert "It cannot be sent again: It came from no queue of ours" in unable
    assert 'value="discard" class="first"' in hopeless


@pytest.mark.parametrize("path", ["/parked/1", "/record?entity=asset&key=A-00001"])
async def test_a_message_of_a_record_that_nobody_has_shows_no_table_of_fields(path: str) -> None:
    message = waiting(1)
    nowhere = story("asset", "A-00001", cmms=None, row=None, known=False, parked=(message,))
    desk = FakeDesk([message])
    desk.story_of["A-00001"] = nowhere
    async with signed_in(desk) as client:
        page = (await client.get(path)).text
    assert "Neither side has a record with this key" in page
    assert 'data-label="field"' not in page


async def test_a_record_whose_creation_is_parked_says_which_side_lacks_it() -> None:
    message = waiting(1)
    desk = FakeDesk([message])
    fields = (replace(story("asset", "A-00001").fields[0], dynamics=None, state="differ"),)
    desk.story_of["A-00001"] = story("asset", "A-00001", row=None, parked=(message,), fields=fields)
    async with signed_in(desk) as client:
        for path in ("/parked/1", "/record?entity=asset&key=A-00001"):
            assert "Nothing will be synchronized of nombre: Dynamics has no row of it" in (await client.get(path)).text


async def test_a_choice_of_nothing_is_told() -> None:
    desk = FakeDesk([waiting(1)])
    async with signed_in(desk) as client:
        for values in ({"act": "replay"}, {"act": "erase", "number": "1"}, {"act": "replay", "number": "99"}):
            answer = await client.post("/parked/rehearse", data=form(**values))
            assert (answer.status_code, "No parked message was chosen" in answer.text) == (400, True)


async def test_what_somebody_else_replayed_meanwhile_is_told() -> None:
    desk = FakeDesk([waiting(1), waiting(2)])
    async with signed_in(desk) as client:
        del desk.messages[2]
        done = await client.post("/parked/carry-out", data=form(act="replay", number=["1", "2"]))
    assert "1 message is not parked any more" in done.text


async def test_a_broker_that_went_away_is_told_and_comes_back() -> None:
    desk = FakeDesk([waiting(1)])
    async with signed_in(desk) as client:
        assert "A-00001" in (await client.get("/parked")).text
        desk.down = "The queue parked cannot be used: ServiceBusConnectionError."
        failed = await client.post("/parked/carry-out", data=form(act="replay", number="1"))
        assert "What was not done yet is still parked" in failed.text or "is not parked any more" in failed.text
        for path in ("/", "/parked"):
            page = await client.get(path)
            assert (page.status_code, "ServiceBusConnectionError" in page.text) == (200, True)
        desk.down = ""
        await client.post("/record/resync", data=form(entity="asset", key="A-1"))
        assert "A-00001" in (await client.get("/parked")).text
    assert desk.sent == []


async def test_a_record_is_found_told_and_resynchronized() -> None:
    desk = FakeDesk()
    desk.processed = processed(8)
    async with signed_in(desk) as client:
        page = (await client.get("/record?entity=asset&key=A-00004")).text
        assert "message applied" in page
        assert "gave way to" in page
        assert "4b" * 16 in page
        sent = await client.post("/record/resync", data=form(entity="asset", key="A-00004"))
        assert sent.status_code == 303
        assert "on its way" in (await client.get(sent.headers["location"])).text
    assert desk.resynced == [("asset", "A-00004", False)]


async def test_a_record_that_is_known_nowhere_is_told() -> None:
    desk = FakeDesk()
    desk.story_of["X"] = story("asset", "X", cmms=None, row=None, known=False)
    async with signed_in(desk) as client:
        assert "Nothing is known of asset X" in (await client.get("/record?entity=asset&key=X")).text


async def test_the_brake_is_released_by_somebody_with_a_name() -> None:
    desk = FakeDesk()
    desk.brake = BrakeState(held=750, ledger_rows=2000, since=NOW)
    async with signed_in(desk) as client:
        assert "The brake holds 750 repairs" in (await client.get("/")).text
        assert (await client.post("/drift/release", data=form(who=" "))).status_code == 400
        await client.post("/drift/release", data=form(who="Ana"))
        assert "released by" in (await client.get("/drift")).text
    assert desk.brake.released_by == "Ana"


async def test_faults_are_for_the_local_stack_only() -> None:
    desk = FakeDesk(local=False)
    async with signed_in(desk) as client:
        assert (await client.get("/faults")).status_code == 404
        assert (await client.post("/faults", data=form(fault="slow"))).status_code == 404
        assert "/faults" not in (await client.get("/")).text
        desk.local = True
        await client.post("/faults", data=form(fault="unavailable"))
        assert "Dynamics fails now" in (await client.get("/faults")).text
        await client.post("/faults", data=form(fault=""))
    assert desk.injected == []


async def test_what_does_not_exist_is_a_page_that_says_so() -> None:
    async with signed_in(FakeDesk()) as client:
        for path in ("/nowhere", "/parked/77", "/static/../app.py"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert "Traceback" not in answer.text


async def test_an_open_page_hears_of_a_change_within_seconds() -> None:
    desk = FakeDesk([waiting(1)])
    app = create_app(desk, token=TOKEN, port=PORT)
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    scope = {
        "type": "http", "method": "GET", "path": "/events", "query_string": b"", "http_version": "1.1",
        "headers": [
            (b"host", f"127.0.0.1:{PORT}".encode()), (b"cookie", f"energy_console_{PORT}={TOKEN}".encode()),
        ],
    }  # fmt: skip

    async def receive() -> dict[str, object]:
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message.get("body"):
            heard.put_nowait(bytes(message["body"]))  # type: ignore[call-overload]

    serving = asyncio.ensure_future(app(scope, receive, send))  # type: ignore[arg-type]
    try:
        async with asyncio.timeout(20):
            while not (await heard.get()).startswith(b"data:"):
                pass
            desk.messages[2] = waiting(2)
            assert (await heard.get()).startswith(b"data:")
    finally:
        serving.cancel()


def test_every_reason_of_a_parked_message_has_advice_in_the_runbook() -> None:
    # These are never on a parked message: the root, the two groups, and what a batch raises as a whole.
    abstract = {"sync_error", "permanent", "transient", "routing_failed", "message_transient", "target_transient"}
    missing = {reason for reason in reasons() - abstract if reason not in advice()}
    assert missing == set()


def test_advice_is_markup_of_code_and_steps_only() -> None:
    found = advice()["backlog"]
    assert len(found.steps) == 3
    assert "<code>.venv/bin/python -m ops check</code>" in found.steps[0]
    assert all("](" not in text for one in advice().values() for text in (*one.paragraphs, *one.steps))


def first_sync(age: float, *, ended: bool = False) -> Progress:
    at = datetime.now(UTC) - timedelta(seconds=age)
    entities = {
        "asset": EntityProgress(total=1000, sent=800, waiting=50, retried=7, throttled=3, parked=2),
        HOSTILE: EntityProgress(total=10),
    }
    return Progress(run="r", started=at - timedelta(seconds=75), at=at, entities=entities, ended=at if ended else None)


@pytest.mark.parametrize(
    ("age", "ended", "says"),
    [(5, False, "is under way: 750 of 1,010 records"), (600, False, "was interrupted"), (600, True, "ended at")],
)
async def test_a_first_sync_is_shown_with_how_far_it_has_come(age: float, ended: bool, says: str) -> None:
    desk = FakeDesk()
    desk.first_sync = first_sync(age, ended=ended)
    mapping = document_mapping()
    kinds = {Kind.EQUAL: 700, Kind.KEY_DOUBLED: 4}
    counts = Counts.of(mapping.entities["asset"], EntityPlan("asset", kinds=Counter(kinds)))
    desk.plan = StoredPlan(at=NOW, choices=choose(mapping, prefer=["dynamics"]), entities={"asset": counts})
    async with signed_in(desk) as client:
        page = (await client.get("/first-sync")).text
        assert says in " ".join(page.split())
        assert "nombre: Dynamics" in page
        assert ">700<" in page
        assert 'value="0.7426"' in page
        assert HOSTILE not in page
        tile = "750 of 1,010 records" in (await client.get("/")).text
    assert tile is not ended


async def test_without_a_plan_the_page_says_how_to_make_one() -> None:
    async with signed_in(FakeDesk()) as client:
        assert "first-sync plan" in (await client.get("/first-sync")).text
