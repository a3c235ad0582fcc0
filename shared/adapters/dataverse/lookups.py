"""Lookups as codes: a row refers to another one by its GUID, the CMMS by a code, and the flows see only codes.

Both directions are resolved in bulk, 500 in a request, and remembered for ten minutes in a bounded cache: what is
remembered of a table is thrown away where Dynamics says that a row is gone. A code finds a row only if it is the same
letter for letter and no second row has it.

Of the mapping's own tables nothing is remembered: their codes are business keys, which any host may give to another row
at any moment. A row of theirs has the key that the CMMS gives its record by now: in Dynamics it may still have an older
one, which is another row's in the CMMS already. Only a row without a record is called as Dynamics does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from shared.adapters.dataverse.answers import json_of, of_all_rows
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.query import in_filters
from shared.adapters.dataverse.references import NO_REFERENCES, References, problem
from shared.adapters.dataverse.wire import Binding, Codes
from shared.domain.model import Values
from shared.domain.schema.fields import Target
from shared.domain.schema.mapping import EntityMapping
from shared.errors import SyncError, Unavailable
from shared.flows.ports.engine import Clock, RecordKeys

REMEMBERED: Final = timedelta(minutes=10)
MOST: Final = 50_000
"""Rows of one target table that are remembered: some 10 MB."""


class _NoRecords:
    """Where the CMMS cannot be asked, every row is called as Dynamics does."""

    async def of_rows(self, *_: object) -> Mapping[str, str]:
        """None."""
        return {}

    to_rows = of_rows


NO_RECORDS: Final = _NoRecords()


class Lookups:
    """Resolves the lookups of one organization. `keys` tells how the CMMS calls the rows of the mapping's tables."""

    def __init__(self, client: DataverseClient, clock: Clock, keys: RecordKeys = NO_RECORDS) -> None:
        self._client = client
        self._keys = keys
        self._known: dict[tuple[str, str], _Table] = {}
        self._now: Callable[[], float] = clock.monotonic

    async def codes(
        self, entity: EntityMapping, rows: Iterable[Mapping[str, Any]], written: References = NO_REFERENCES
    ) -> Codes:
        """The codes of all rows that some rows refer to; asked for but for those that were written just now.

        Raises:
            TargetTransient: Dynamics could not be asked.
        """
        said = written.codes
        found = dict(said)
        shown = list(rows) if entity.lookups else []
        for rule in entity.lookups:
            column = rule.read_column
            wanted = {raw.lower() for row in shown if isinstance(raw := row.get(column), str)}
            wanted -= {row_id for name, row_id in said if name == rule.name}
            # A lookup of several tables does not say which one a GUID is of: they are asked one after the other.
            for target in rule.targets:
                codes = await self._codes(target, wanted)
                found |= {(rule.name, row_id): code for row_id, code in codes.items()}
                wanted -= {row_id for row_id, code in codes.items() if code is not None}
        return found

    async def references(self, entity: EntityMapping, values: Sequence[Values]) -> References:
        """The rows that the codes of some records refer to; `values` are by field, those of lookups count.

        Raises:
            TargetTransient: Dynamics could not be asked.
        """
        bindings: dict[tuple[str, str], Binding] = {}
        problems: dict[tuple[str, str], SyncError] = {}
        for rule in entity.lookups:
            codes = {code for one in values if (code := one.get(rule.name)) is not None}
            rows: dict[str, list[Binding]] = {code: [] for code in codes}
            for target in rule.targets if codes else ():
                for code, ids in (await self._ids(target, codes)).items():
                    rows[code] += [Binding(target.bind, target.set, row_id) for row_id in ids]
            for code, candidates in rows.items():
                if len(candidates) == 1:
                    bindings[rule.name, code] = candidates[0]
                else:
                    problems[rule.name, code] = problem(rule, code, len(candidates))
        return References(bindings, problems)

    def forget(self, entity: EntityMapping) -> None:
        """Forget the rows that an entity's lookups refer to: one of them is gone."""
        for rule in entity.lookups:
            for target in rule.targets:
                self._known.pop((target.table, target.key), None)

    async def _codes(self, target: Target, ids: Iterable[str]) -> dict[str, str | None]:
        known = self._table(target)
        wanted = set(ids)
        fresh = {row_id: known.codes[row_id] for row_id in wanted if row_id in known.codes}
        fresh |= await self._keys.of_rows(target, wanted)
        asked = sorted(wanted - fresh.keys())
        rows = await self._read(target, target.id, asked, guids=True) if asked else {}
        for row_id in asked:
            fresh[row_id] = known.remember(row_id, rows.get(row_id))
        return fresh

    async def _ids(self, target: Target, codes: Iterable[str]) -> dict[str, list[str]]:
        known = self._table(target)
        wanted = set(codes)
        found = {code: [known.ids[code]] for code in wanted if code in known.ids}
        asked = sorted(wanted - found.keys())
        for row_id, code in (await self._called(target, asked)).items() if asked else ():
            # Dynamics' collation finds other spellings too.
            if code in wanted:
                found.setdefault(code, []).append(row_id)
        for code in asked:
            if len(ids := found.get(code, [])) == 1:
                known.remember(ids[0], code)
        return found

    async def _called(self, target: Target, codes: Sequence[str]) -> dict[str, str | None]:
        """What the rows are called that have one of these codes in Dynamics, or whose records have it in the CMMS."""
        rows = await self._read(target, target.key, codes)
        linked = {row_id: code for code, row_id in (await self._keys.to_rows(target, codes)).items()}
        if elsewhere := sorted(linked.keys() - rows.keys()):
            rows |= await self._read(target, target.id, elsewhere, guids=True)
        others = await self._keys.of_rows(target, rows.keys() - linked.keys())
        return {row_id: linked.get(row_id) or others.get(row_id) or code for row_id, code in rows.items()}

    def _table(self, target: Target) -> "_Table":
        now = self._now()
        if target.mapped:
            return _Table(now)
        known = self._known.get((target.table, target.key))
        if known is None or now - known.since > REMEMBERED.total_seconds() or len(known.codes) > MOST:
            known = self._known[target.table, target.key] = _Table(now)
        return known

    async def _read(
        self, target: Target, column: str, values: Sequence[str], *, guids: bool = False
    ) -> dict[str, str | None]:
        rows: dict[str, str | None] = {}
        for _, condition in in_filters(column, values, guids=guids):
            params: dict[str, str] | None = {"$select": f"{target.id},{target.key}", "$filter": condition}
            path: str | None = target.set
            while path is not None:
                with of_all_rows():
                    answer = json_of(await self._client.send("GET", path, params=params))
                try:
                    rows |= {row[target.id].lower(): row[target.key] or None for row in answer["value"]}
                except (KeyError, TypeError, AttributeError) as error:
                    raise Unavailable(f"Dynamics' list of {target.set} has an unknown form.") from error
                path, params = answer.get("@odata.nextLink"), None
        return rows


@dataclass
class _Table:
    """What is known of one target table since an instant (monotonic seconds)."""

    since: float
    codes: dict[str, str | None] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def remember(self, row_id: str, code: str | None) -> str | None:
        """Remember what code a row has, and give the code back."""
        self.codes[row_id] = code
        if code is not None and self.ids.setdefault(code, row_id) != row_id:
            # A second row with the code: the next question goes to Dynamics.
            del self.ids[code]
        return code
