"""The plan that a run has to fit, as a small text beside the ledger: its counts and choices, and no record."""

import json
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.domain.model import Side
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.mapping import Mapping as FieldTable
from shared.flows.operate.first_sync.choices import Choices
from shared.flows.operate.first_sync.classify import Kind
from shared.flows.operate.first_sync.plan import EntityPlan
from shared.flows.ports.engine import State

_NAME: Final = "first-sync/plan"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Counts(_Frozen):
    """What a plan counted of one entity, under the mapping with this fingerprint."""

    mapping: str
    records: int
    rows: int
    linked_records: int
    linked_rows: int
    kinds: dict[Kind, int]
    creates: dict[Side, int]
    updates: dict[Side, int]
    messages: int
    replaced: int
    parked: int

    @classmethod
    def of(cls, entity: EntityMapping, plan: EntityPlan) -> Self:
        """The counts of a plan."""
        return cls(
            mapping=mapping_fingerprint(entity),
            records=plan.records,
            rows=plan.rows,
            linked_records=plan.linked_records,
            linked_rows=plan.linked_rows,
            kinds=dict(plan.kinds),
            creates=dict(plan.creates),
            updates=dict(plan.updates),
            messages=plan.messages,
            replaced=plan.replaced,
            parked=plan.parked,
        )


class StoredPlan(_Frozen):
    """A plan: when, under which choices, and what was counted."""

    at: datetime
    choices: Choices
    entities: dict[str, Counts]


def mapping_fingerprint(entity: EntityMapping) -> str:
    """A short hash of everything that the mapping says of an entity.

    Returns:
        16 hexadecimal digits.
    """
    # Sets have another order in each process.
    said = json.dumps(
        entity.model_dump(), sort_keys=True, default=lambda one: sorted(one) if isinstance(one, frozenset) else str(one)
    )
    return blake2b(said.encode(), digest_size=8).hexdigest()


async def store_plan(
    state: State, at: datetime, choices: Choices, mapping: FieldTable, plans: Iterable[EntityPlan]
) -> StoredPlan:
    """Remember a plan in place of the last one."""
    counts = {one.entity: Counts.of(mapping.entities[one.entity], one) for one in plans}
    plan = StoredPlan(at=at, choices=choices, entities=counts)
    await state.put_state({_NAME: plan.model_dump_json()})
    return plan


async def plan_of(state: State) -> StoredPlan | None:
    """The last plan; None where there is none, or where it cannot be read."""
    texts = await state.get_state([_NAME])
    try:
        return StoredPlan.model_validate_json(texts[_NAME]) if _NAME in texts else None
    except ValidationError:
        return None
