"""What the reconciliation remembers between runs, as small texts beside the ledger.

Records that are pending lie in numbered texts under a generation; one text names the generation that counts. So they
change all at once, and a run that dies leaves the old ones in force.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from shared.domain.link import Identity
from shared.flows.ports.engine import State
from shared.flows.reconcile.report import PastRun

_CHECKPOINT: Final = "reconcile/checkpoint"
_BRAKE: Final = "reconcile/brake"
_CHUNK: Final = 20_000
_RUNS: Final = 48
_IDENTITIES: Final = TypeAdapter(list[Identity])


class Marks(BaseModel):
    """Where the next run begins, by entity, and how the last runs ended.

    `full` is when the last full pass began; `ledger_rows` is what it, or since then a brake, counted.
    `mappings` are the fingerprints of the mappings under which the last full passes were made.
    """

    model_config = ConfigDict(frozen=True)

    full: dict[str, datetime] = {}
    links: dict[str, str | None] = {}
    watermarks: dict[str, datetime] = {}
    ledger_rows: dict[str, int] = {}
    mappings: dict[str, str] = {}
    generation: str = ""
    chunks: dict[str, int] = {}
    runs: tuple[PastRun, ...] = ()


class BrakeState(BaseModel):
    """The brake as it stands: `allowance` is how many of the held repairs an operator let go."""

    model_config = ConfigDict(frozen=True)

    held: int
    ledger_rows: int
    since: datetime
    allowance: int = 0
    released_by: str | None = None


@dataclass
class Checkpoint:
    """What one run begins with: read at its start, stored at its end. Without a state nothing is remembered."""

    state: State | None
    marks: Marks = field(default_factory=Marks)
    brake: BrakeState | None = None
    pending: dict[str, list[Identity]] = field(default_factory=dict)

    @classmethod
    async def load(cls, state: State | None) -> "Checkpoint":
        """Read what the last run left. What cannot be read counts as nothing: the next run is then a full one."""
        checkpoint = cls(state)
        if state is None:
            return checkpoint
        texts = await state.get_state([_CHECKPOINT, _BRAKE])
        try:
            checkpoint.marks = Marks.model_validate_json(texts.get(_CHECKPOINT, "{}"))
        except ValidationError:
            return checkpoint
        checkpoint.brake = _brake(texts)
        names = {
            entity: [_name(checkpoint.marks.generation, entity, number) for number in range(count)]
            for entity, count in checkpoint.marks.chunks.items()
        }
        for entity, chunks in names.items():
            found = await state.get_state(chunks)
            checkpoint.pending[entity] = [
                identity for name in chunks if name in found for identity in _identities(found[name])
            ]
        return checkpoint

    async def store(self, marks: Marks, brake: BrakeState | None, pending: Mapping[str, Sequence[Identity]]) -> None:
        """Store pending records first, then everything that counts on them. An entity left out keeps none."""
        if self.state is None:
            return
        generation = uuid4().hex[:12]
        chunks: dict[str, int] = {}
        for entity, identities in pending.items():
            texts = list(_chunks(identities))
            chunks[entity] = len(texts)
            await self.state.put_state({_name(generation, entity, n): text for n, text in enumerate(texts)})
        runs = marks.runs[-_RUNS:]
        new = marks.model_copy(update={"generation": generation, "chunks": chunks, "runs": runs})
        await self.state.put_state(
            {
                _BRAKE: brake.model_dump_json() if brake else None,
                _CHECKPOINT: new.model_dump_json(exclude_defaults=True),
            }
        )
        old = self.marks
        self.marks = new
        for entity, count in old.chunks.items():
            await self.state.put_state(dict.fromkeys(_name(old.generation, entity, n) for n in range(count)))


async def brake_of(state: State) -> BrakeState | None:
    """The brake, if it is on or was released and not yet used up."""
    return _brake(await state.get_state([_BRAKE]))


async def release_brake(state: State, by: str) -> BrakeState | None:
    """Let the repairs that the brake holds go, at the next runs' pace. Answers None where nothing is held.

    `by` names the operator in the report. Only as many repairs are let go as were held: a further flood is held again.
    """
    brake = await brake_of(state)
    if brake is None:
        return None
    released = brake.model_copy(update={"allowance": brake.held, "released_by": by})
    await state.put_state({_BRAKE: released.model_dump_json()})
    return released


def _brake(texts: Mapping[str, str]) -> BrakeState | None:
    try:
        return BrakeState.model_validate_json(texts[_BRAKE]) if _BRAKE in texts else None
    except ValidationError:
        return None


def _name(generation: str, entity: str, number: int) -> str:
    return f"reconcile/pending/{generation}/{entity}/{number}"


def _identities(text: str) -> list[Identity]:
    try:
        return _IDENTITIES.validate_json(text)
    except ValidationError:
        return []


def _chunks(identities: Sequence[Identity]) -> Iterator[str]:
    chunk: list[Identity] = []
    size = 0
    for identity in identities:
        cost = len(json.dumps(identity)) + 2
        if chunk and size + cost > _CHUNK:
            yield json.dumps(chunk)
            chunk, size = [], 0
        chunk.append(identity)
        size += cost
    if chunk:
        yield json.dumps(chunk)
