"""What the console shows of parked messages, and what replay and discard do."""

import re
from copy import replace

import pytest

from ops.console.runbook import advice
from shared.errors import reasons
from tests.ops.consoles import form, signed_in
from tests.ops.desks import FakeDesk, story, waiting


async def test_a_message_and_its_record_lead_to_the_row_in_dynamics() -> None:
    async with signed_in(FakeDesk([waiting(1)])) as client:
        for path in ("/parked/1", "/record?entity=asset&key=A-00001"):
            assert 'href="https://contoso.crm.dynamics.com/asset/5f0c"' in (await client.get(path)).text


async def test_every_instant_of_a_message_has_one_form() -> None:
    async with signed_in(FakeDesk([waiting(1, parked_at="2026-01-31T11:00:00.255675+00:00")])) as client:
        text = (await client.get("/parked/1")).text
    assert "+00:00" not in text
    assert text.count("2026-01-31T11:00:00Z") == 2, "the failure before, and the property"


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
