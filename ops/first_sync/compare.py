"""Both sides compared for a first sync, with a line on the terminal that says how far the reading has come."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from ops.session import Session, UsageError
from shared.flows.operate.first_sync.choices import Choices
from shared.flows.operate.first_sync.plan import EntityPlan
from shared.flows.operate.first_sync.planner import Planner, Sources
from shared.flows.operate.first_sync.preconditions import preconditions
from shared.flows.operate.first_sync.run import Part
from shared.flows.operate.first_sync.staging import Staging


@dataclass(frozen=True)
class Compared:
    """One entity: what was found, and what a run needs to carry it out."""

    plan: EntityPlan
    part: Part


async def compare(session: Session, choices: Choices, stack: ExitStack, *, since: datetime | None) -> list[Compared]:
    """Compare every chosen entity; what is staged lies open until `stack` ends.

    `since` is when the plan was made that the comparison is held against.

    Raises:
        UsageError: There is nothing to compare with.
        SyncError: A side or the ledger could not be read.
    """
    wiring = session.wiring
    if wiring.cmms is None:
        raise UsageError("There is nothing to compare with: CMMS_BASE_URL is not set (one-way mode).")
    await session.reach()
    planner = Planner(Sources(wiring.ledger, wiring.dynamics, wiring.cmms, wiring.clock))
    found: list[Compared] = []
    for name, chosen in choices.entities.items():
        mapped = session.entity(name)
        counts: dict[str, int] = {}
        with session.err.status(f"{name}: reading both sides") as status:

            def tell(what: str, count: int, name: str = name, counts: dict[str, int] = counts) -> None:
                counts[what] = counts.get(what, 0) + count
                status.update(f"{name}: " + ", ".join(f"{what} {count:,}" for what, count in counts.items()))

            before = await preconditions(mapped, session.platform)
            staging = stack.enter_context(Staging())
            if before.cannot:
                entity_plan = EntityPlan(name, cannot=before.cannot)
            else:
                entity_plan = await planner.plan(staging, before.entity, chosen, since=since, progress=tell)
        found.append(Compared(entity_plan, Part(mapped, chosen, entity_plan.messages, staging)))
    return found
