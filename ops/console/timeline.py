"""One record's story as a time line: what came, what was written where, what did not survive, what failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.activity import Processed
from ops.commands.show import lost_values
from shared.flows.operate.parked import Waiting
from shared.flows.operate.show import Story


@dataclass(frozen=True)
class Moment:
    """A line of the time line. `kind` is its class in the style sheet; `link` leads to a page of the console."""

    at: str
    kind: str
    title: str
    text: str = ""
    trace: str = ""
    link: str = ""


def timeline(story: Story, processed: Sequence[Processed]) -> list[Moment]:
    """Everything that is known to have happened to a record, the newest first."""
    found = [
        Moment(_at(one.at), one.told.end.replace(" ", "-"), f"message {one.told.end}", one.told.what, one.told.trace)
        for one in processed
        if (one.told.entity, one.told.key) == (story.entity, story.key)
    ]
    found += [Moment(at, "conflict", "value replaced", sentence) for at, sentence in lost_values(story)]
    for message in story.parked:
        found += _parked(message)
    link = story.link
    if link.last_sync is not None:
        found.append(Moment(_at(link.last_sync), "sync", "last synchronized"))
    if link.deleted_at is not None:
        found.append(Moment(_at(link.deleted_at), "parked", "deleted in the CMMS"))
    return sorted(set(found), key=lambda one: one.at, reverse=True)


def _parked(message: Waiting) -> list[Moment]:
    link = f"/parked/{message.sequence}"
    found = [Moment(_at(message.enqueued_at), "parked", f"parked: {message.reason}", message.text, link=link)]
    for failure in message.history:
        try:
            at = datetime.fromisoformat(str(failure.get("at"))).astimezone(UTC)
        except ValueError:
            continue
        if abs((at - message.enqueued_at).total_seconds()) > 1:
            reason = str(failure.get("reason", "unknown"))
            found.append(Moment(_at(at), "retried", f"failed before: {reason}", link=link))
    return found


def _at(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
