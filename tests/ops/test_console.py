"""What the console shows of records, drift, a first sync and faults, and what its acts do."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from ops.console.app import create_app
from ops.console.desk import Desk
from ops.session import Session
from shared.flows.operate.first_sync.choices import choose
from shared.flows.operate.first_sync.classify import Kind
from shared.flows.operate.first_sync.memory import Counts, StoredPlan
from shared.flows.operate.first_sync.plan import EntityPlan
from shared.flows.reconcile.checkpoint import BrakeState
from shared.flows.reconcile.first_sync import EntityProgress, Progress
from tests.fakes import document_mapping, make_settings
from tests.ops.consoles import PORT, TOKEN, form, signed_in
from tests.ops.desks import HOSTILE, NOW, FakeDesk, processed, story, waiting


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
