"""Setting up Dynamics for the mapping: a plan that shows what would happen, and its steps, each safe to repeat.

Nothing here remembers what was done: every run compares what is there with what the mapping needs, so an
interrupted run is completed by the next one. What was made carries a mark, and only that is ever removed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, Literal

from shared.domain.schema.mapping import EntityMapping, Mapping
from shared.domain.words import plural
from shared.errors import NotReady, RejectedByTarget
from shared.flows.operate.required import ENDPOINT, MESSAGES, mapped_columns, new_column
from shared.flows.operate.secret_fingerprint import fingerprint
from shared.flows.operate.webhook_steps import Webhook, carried, endpoint_problems, step_problems, steps_of, wanted_step
from shared.flows.ports.engine import Clock
from shared.flows.ports.platform import Endpoint, KeyInfo, Platform, Step, TableInfo

type Verb = Literal["create", "change", "keep", "remove", "cannot"]
type Progress = Callable[[str], None]

KEY_PATIENCE: Final = timedelta(minutes=30)
"""Dataverse builds a key's index in a job: seconds for a small table, many minutes for a large one."""
_LOOK_AGAIN: Final = timedelta(seconds=0.05)
_LOOK_AGAIN_AT_MOST: Final = timedelta(seconds=15)


@dataclass(frozen=True)
class Change:
    """One line of the plan; `run` carries it out, and is None for what stays or cannot be done."""

    verb: Verb
    what: str
    detail: str = ""
    run: Callable[[Progress], Awaitable[None]] | None = None


class Provisioner:
    """Plans and carries out. The order of a plan is the order of its carrying out."""

    def __init__(self, platform: Platform, mapping: Mapping, clock: Clock, webhook: Webhook) -> None:
        self._platform = platform
        self._mapping = mapping
        self._clock = clock
        self._webhook = webhook

    async def plan(self, *, columns: bool = False) -> list[Change]:
        """Compare Dynamics with what the mapping needs; `columns` allows to create missing custom columns.

        The operation stamp's column needs no leave: like the alternate key it is the product's own.

        Raises:
            SyncError: Dynamics could not be read.
        """
        changes: list[Change] = []
        usable: list[EntityMapping] = []
        for entity in self._mapping.entities.values():
            table = await self._platform.table(entity.table, mapped_columns(entity))
            if table is None:
                changes.append(Change("cannot", f"table {entity.table}", "does not exist: install its solution first"))
                continue
            usable.append(entity)
            changes.extend(self._columns(entity, table, allowed=columns))
            changes.append(self._key(entity, table, columns=columns))
            tracking = f"change tracking of {entity.table}"
            if table.change_tracking:
                changes.append(Change("keep", tracking))
            else:
                changes.append(Change("change", tracking, "off -> on, and publish", partial(self._track, entity.table)))
        return changes + await self._registration(usable)

    async def removal(self, *, columns: bool = False) -> list[Change]:
        """Plan to take away what provision made, and nothing else; `columns` includes its columns and their data.

        The operation stamp's column goes in any case: it holds nothing of anybody's.

        Raises:
            SyncError: Dynamics could not be read.
        """
        changes: list[Change] = []
        endpoint = await self._platform.endpoint(ENDPOINT)
        if endpoint is not None:
            steps = await self._platform.steps(endpoint.id)
            for step in steps:
                what = f"step {step.message} of {step.table}"
                if step.made and step.id is not None:
                    run = partial(_ignoring_progress, partial(self._platform.delete_step, step.id))
                    changes.append(Change("remove", what, run=run))
                else:
                    changes.append(Change("keep", what, "not made by provision"))
            foreign = sum(not step.made for step in steps)
            what = f"webhook endpoint {ENDPOINT!r}"
            if endpoint.made and not foreign:
                run = partial(_ignoring_progress, partial(self._platform.delete_endpoint, endpoint.id))
                changes.append(Change("remove", what, endpoint.url, run))
            else:
                why = f"in use by {plural(foreign, 'step')} of others" if foreign else "not made by provision"
                changes.append(Change("keep", what, why))
        for entity in self._mapping.entities.values():
            table = await self._platform.table(entity.table, mapped_columns(entity))
            if table is not None:
                changes.extend(self._table_removal(entity, table, columns=columns))
        return changes

    def _table_removal(self, entity: EntityMapping, table: TableInfo, *, columns: bool) -> list[Change]:
        changes: list[Change] = []
        for key in table.keys:
            if key.made and key.columns == (entity.key.column,):
                run = partial(_ignoring_progress, partial(self._platform.delete_key, table.name, key.name))
                detail = "nothing will be created in Dynamics without it"
                changes.append(Change("remove", f"alternate key {key.name} on {table.name}", detail, run))
        for column in table.columns.values():
            if column.made:
                what = f"column {table.name}.{column.name}"
                if columns or column.name == entity.stamp:
                    run = partial(_ignoring_progress, partial(self._platform.delete_column, table.name, column.name))
                    changes.append(Change("remove", what, "with everything that it holds", run))
                else:
                    changes.append(Change("keep", what, "--columns removes it, with everything that it holds"))
        return changes

    def _columns(self, entity: EntityMapping, table: TableInfo, *, allowed: bool) -> list[Change]:
        changes: list[Change] = []
        for name in sorted(mapped_columns(entity)):
            what = f"column {table.name}.{name}"
            if name in table.columns:
                continue
            new = new_column(entity, name)
            if new is None:
                changes.append(
                    Change("cannot", what, "is not a custom column: create it by hand, or change the mapping")
                )
            elif not allowed and name != entity.stamp:
                changes.append(Change("cannot", what, f"is missing: --columns creates it ({new.kind})"))
            else:
                run = partial(
                    self._platform.create_column,
                    table.name,
                    name,
                    new.kind,
                    length=new.length,
                    scale=new.scale,
                    label=new.label,
                )
                detail = f"{new.kind}, for the ids of our writes" if name == entity.stamp else new.kind
                changes.append(Change("create", what, detail, partial(_ignoring_progress, run)))
        return changes

    def _key(self, entity: EntityMapping, table: TableInfo, *, columns: bool) -> Change:
        wanted = (entity.key.column,)
        what = f"alternate key {entity.alternate_key} on {table.name} ({entity.key.column})"
        if entity.key.column not in table.columns and not (columns and new_column(entity, entity.key.column)):
            return Change("cannot", what, "its column is missing")
        found = next((key for key in table.keys if key.columns == wanted), None)
        if found is None:
            namesake = next((key for key in table.keys if key.name == entity.alternate_key), None)
            if namesake is not None:
                detail = f"a key of that name exists on {', '.join(namesake.columns)}: rename it in the mapping"
                return Change("cannot", what, detail)
            return Change("create", what, "and wait until it is Active", partial(self._create_key, entity))
        if found.state == "Active":
            return Change("keep", what, "Active" if found.name == entity.alternate_key else f"Active, as {found.name}")
        if found.state == "Failed":
            detail = "Failed -> build it again; values that are not unique make it fail"
            return Change("change", what, detail, partial(self._reactivate, entity, found))
        return Change("change", what, f"{found.state} -> wait until it is Active", partial(self._wait, entity))

    async def _registration(self, entities: Sequence[EntityMapping]) -> list[Change]:
        endpoint = await self._platform.endpoint(ENDPOINT)
        if endpoint is None and self._webhook.url is None:
            detail = "name the functions' address with --url https://APP.azurewebsites.net/api/dynamics/webhook"
            return [Change("cannot", f"webhook endpoint {ENDPOINT!r}", detail)]
        there = [] if endpoint is None else await self._platform.steps(endpoint.id)
        changes = [self._endpoint(endpoint)]
        for entity in entities:
            for message in MESSAGES:
                wanted = wanted_step(entity, message)
                mine = steps_of(there, wanted.table, message)
                changes.append(self._step(wanted, mine[0] if mine else None))
                changes.extend(self._superfluous(step) for step in mine[1:])
        tables = {entity.table for entity in entities}
        changes.extend(
            self._superfluous(step) for step in there if step.table not in tables or step.message not in MESSAGES
        )
        return changes

    def _superfluous(self, step: Step) -> Change:
        what = f"step {step.message} of {step.table}"
        if step.made and step.id is not None:
            run = partial(_ignoring_progress, partial(self._platform.delete_step, step.id))
            return Change("remove", what, "the mapping does not need it any more", run)
        return Change("keep", what, "not made by provision, and not needed by the mapping")

    def _endpoint(self, endpoint: Endpoint | None) -> Change:
        what = f"webhook endpoint {ENDPOINT!r}"
        if endpoint is None:
            return Change("create", what, f"{self._webhook.url}, secret in {self._webhook.header}", self._put_endpoint)
        problems = endpoint_problems(endpoint, self._webhook)
        if not problems:
            return Change("keep", what, endpoint.url)
        return Change("change", what, "; ".join(problems), self._put_endpoint)

    def _step(self, wanted: Step, found: Step | None) -> Change:
        what = f"step {wanted.message} of {wanted.table}"
        detail = f"asynchronous, {plural(len(wanted.columns), 'column')}" if wanted.columns else "asynchronous"
        if found is None:
            return Change("create", what, detail, partial(self._create_step, wanted))
        problems = step_problems(found, wanted)
        if not problems:
            return Change("keep", what, detail)
        return Change("change", what, "; ".join(problems), partial(self._update_step, found, wanted))

    async def _create_key(self, entity: EntityMapping, progress: Progress) -> None:
        await self._platform.create_key(entity.table, entity.alternate_key, (entity.key.column,))
        await self._wait(entity, progress)

    async def _reactivate(self, entity: EntityMapping, key: KeyInfo, progress: Progress) -> None:
        await self._platform.reactivate_key(entity.table, key.name)
        await self._wait(entity, progress)

    async def _wait(self, entity: EntityMapping, progress: Progress) -> None:
        started = self._clock.monotonic()
        pause = _LOOK_AGAIN
        while True:
            keys = await self._platform.keys(entity.table)
            states = [key.state for key in keys if key.columns == (entity.key.column,)]
            waited = self._clock.monotonic() - started
            if "Active" in states:
                return
            where = f"{entity.table}.{entity.key.column}"
            if "Failed" in states:
                raise RejectedByTarget(
                    f"The alternate key on {where} failed: some of its values are not unique. 'check --data' lists"
                    " doubled keys; correct them, then run provision again."
                )
            if waited > KEY_PATIENCE.total_seconds():
                raise NotReady(
                    f"The alternate key on {where} is still {', '.join(states) or 'missing'} after {waited / 60:.0f}"
                    " minutes. Dataverse goes on building it: run provision again later."
                )
            progress(f"{states[0] if states else 'Pending'} for {waited:.0f} s")
            await asyncio.sleep(pause.total_seconds())
            pause = min(pause * 1.5, _LOOK_AGAIN_AT_MOST)

    async def _track(self, table: str, _progress: Progress) -> None:
        await self._platform.enable_change_tracking(table)

    async def _put_endpoint(self, _progress: Progress) -> None:
        found = await self._platform.endpoint(ENDPOINT)
        url = self._webhook.url or (found.url if found else "")
        mark = await asyncio.to_thread(fingerprint, carried(self._webhook.header, self._webhook.secret))
        if found is None:
            await self._platform.create_endpoint(
                ENDPOINT, url, header=self._webhook.header, secret=self._webhook.secret, fingerprint=mark
            )
        else:
            await self._platform.update_endpoint(
                found.id, url, header=self._webhook.header, secret=self._webhook.secret, fingerprint=mark
            )

    async def _create_step(self, wanted: Step, _progress: Progress) -> None:
        endpoint = await self._platform.endpoint(ENDPOINT)
        if endpoint is None:
            raise NotReady(f"The webhook endpoint {ENDPOINT!r} is gone: run provision again.")
        await self._platform.create_step(endpoint.id, wanted)

    async def _update_step(self, found: Step, wanted: Step, _progress: Progress) -> None:
        await self._platform.update_step(
            Step(wanted.table, wanted.message, wanted.columns, wanted.images, id=found.id, made=True)
        )


async def _ignoring_progress(run: Callable[[], Awaitable[object]], _progress: Progress) -> None:
    await run()
