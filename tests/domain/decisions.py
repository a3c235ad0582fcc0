"""Records, rows and links to decide about, and a decision in a few words."""

from copy import replace
from datetime import UTC, datetime, timedelta

from shared.domain.base import Base
from shared.domain.decide import Candidate, Context, Decision, Snapshot, Wait
from shared.domain.decide.situation import NO_HOLDER
from shared.domain.link import Link, Seen, Stored
from shared.domain.model import NO_RECORD, NO_ROW, CmmsRecord, DynamicsRecord, Version
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent, Write
from tests.fakes import document_mapping

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(days=1)
ASSET = document_mapping().entities["asset"].model_copy(update={"stamp": "stamp"})
REPORT_ONLY = ASSET.model_copy(update={"on_delete": "report"})
NOT_IN_DYNAMICS = ASSET.model_copy(update={"create_in": frozenset({"cmms"})})
NOT_IN_CMMS = ASSET.model_copy(update={"create_in": frozenset({"dynamics"})})

RECORD = CmmsRecord("A", '"5"', {"nombre": "Pump"}, id="1", version=Version(NOW), operations=("c1",))
PERSONS = replace(RECORD, operations=())
TOMBSTONE = CmmsRecord("A", "", {}, id="1", version=Version(NOW), deleted=True)
ROW = DynamicsRecord(
    "A", 'W/"5"', {"nombre": "Pump"}, id="r", state=0, version=5, operations=("d1",), created=EARLIER, by_us=True
)
INACTIVE = replace(ROW, state=1)
THEIRS = replace(ROW, operations=(), by_us=False)
KEY = ASSET.key.name


def base(value: str, name: str = "nombre") -> Base:
    return Base(cmms=value, dynamics=value, rule=ASSET.rules[name].fingerprint)


SEEN = Seen(row_version=5, stamp="d1", row_made=EARLIER, cmms_version=NOW, operation="c1")
KNOWN = Link(cmms_id="1", row_id="r", key="A", bases={KEY: base("A", KEY), "nombre": base("Pump")}, seen=SEEN)
NEW = Link(cmms_id="1", key="A")
ROW_BORN = Link(row_id="r", key="A")
DELETED = KNOWN.model_copy(update={"deleted_at": EARLIER})
LIVE = Intent(side="dynamics", target="r", etag='W/"5"', id="x", expires_at=NOW + timedelta(seconds=60))
CREATING = Intent(
    side="dynamics",
    target="r",
    etag=None,
    id="x",
    values={KEY: "A", "nombre": "Pipe"},
    sources={KEY: "A", "nombre": "Pipe"},
    expires_at=NOW - timedelta(seconds=1),
)


def snap(
    link: Link,
    cmms: CmmsRecord | None = None,
    row: DynamicsRecord | None = None,
    *candidates: Candidate,
    rival: Link | None = None,
) -> Snapshot:
    return Snapshot(
        Stored(link=link),
        link,
        cmms or NO_RECORD,
        row or NO_ROW,
        candidates,
        Stored(link=rival) if rival else NO_HOLDER,
    )


def context(entity: EntityMapping = ASSET, **said: object) -> Context:
    return Context(entity, NOW, **said)  # type: ignore[arg-type]


def told(decision: Decision) -> str:
    """A decision in a few words: what waits, what is parked, what is written."""
    if isinstance(decision, Wait):
        return f"wait: {decision.error.reason}"
    parts = [f"park {block.field}: {block.error.reason}" for block in decision.blocked]
    parts += [_written(write) for write in decision.writes]
    parts += [f"record {conflict.why}" for conflict in decision.link.conflicts]
    return ", ".join(parts) or "nothing"


def _written(write: Write) -> str:
    where = "Dynamics" if write.side == "dynamics" else "the CMMS"
    if write.creates:
        return f"create in {where}"
    state = "" if write.state is None else f" state {write.state[0]}"
    values = "".join(f" {name}={value}" for name, value in sorted(write.values.items()))
    return f"update {where}:{values}{state}"
