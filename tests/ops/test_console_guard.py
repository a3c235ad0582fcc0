"""Who may use the console, and what it shows of hostile data."""

import re
from urllib.parse import urlencode

import pytest

from tests.ops.consoles import PORT, TOKEN, browser, form, signed_in
from tests.ops.desks import HOSTILE, REPORT, FakeDesk, processed, story, waiting

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


@pytest.mark.parametrize("body", [b"a" * (2 * 1024 * 1024 + 1), b"a&" * 100_000], ids=["too long", "too many fields"])
async def test_a_form_that_is_too_large_is_refused_with_a_page(body: bytes) -> None:
    async with signed_in(FakeDesk([waiting(1)])) as client:
        answer = await client.post("/parked/carry-out", content=body)
        assert (answer.status_code, "The form " in answer.text) == (413, True)


@pytest.mark.parametrize("act", ["", "both"])
async def test_a_form_that_does_not_say_what_to_do_does_nothing(act: str) -> None:
    desk = FakeDesk([waiting(1)])
    async with signed_in(desk) as client:
        answer = await client.post("/parked/carry-out", data=form(number="1", act=act))
        assert (answer.status_code, "what to do" in answer.text) == (400, True)
    assert (desk.sent, desk.discarded) == ([], [])


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


async def test_what_does_not_exist_is_a_page_that_says_so() -> None:
    async with signed_in(FakeDesk()) as client:
        for path in ("/nowhere", "/parked/77", "/static/../app.py"):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert "Traceback" not in answer.text
