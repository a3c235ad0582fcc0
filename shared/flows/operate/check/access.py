"""Webhook registration and privileges against what is needed. Pure, no I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from shared.domain.schema.mapping import EntityMapping
from shared.domain.words import word_for
from shared.flows.operate.check.findings import Finding, error, ok, warning
from shared.flows.operate.required import ENDPOINT, MESSAGES, uses
from shared.flows.operate.secret_fingerprint import is_of
from shared.flows.operate.webhook_steps import HTTP_HEADER, carried, step_problems, steps_of, wanted_step
from shared.flows.ports.platform import ColumnAccess, Endpoint, Step, TableInfo, User

_AREA = "webhook"
_CREATED = "overriddencreatedon"
_OVERRIDE = "prvOverrideCreatedOnCreatedBy"
"""The privilege to fill that column: learn.microsoft.com, "Create message privileges" (gg328108)."""


def compare_endpoint(
    endpoint: Endpoint | None, url: str | None, header: str, secrets: Sequence[str]
) -> Iterator[Finding]:
    """The endpoint's address and secret; `secrets` are the live ones, the current one first."""
    if endpoint is None:
        message = "is not registered: changes in Dynamics are found by reconciliation only"
        yield error(_AREA, ENDPOINT, message, "run provision")
        return
    if url is not None and endpoint.url != url:
        yield error(_AREA, ENDPOINT, f"calls {endpoint.url}, not {url}", "run provision")
    if endpoint.auth_type != HTTP_HEADER:
        yield warning(_AREA, ENDPOINT, "does not authenticate by a header", "run provision to change it")
    elif endpoint.fingerprint is None:
        message = "was not registered by provision: whether it carries the current secret cannot be known"
        yield warning(_AREA, ENDPOINT, message, "run provision, or look for 403 in the functions' log")
    elif is_of(endpoint.fingerprint, carried(header, secrets[0])):
        yield ok(_AREA, ENDPOINT, f"calls {endpoint.url} with the current secret")
    elif any(is_of(endpoint.fingerprint, carried(header, secret)) for secret in secrets[1:]):
        message = "carries the secret before the last rotation"
        yield warning(_AREA, ENDPOINT, message, "run provision; then remove DYNAMICS_365_WEBHOOK_SECRET_PREVIOUS")
    else:
        message = f"carries another secret than the functions expect in {header}: its calls are refused (403)"
        yield error(_AREA, ENDPOINT, message, "run provision with the functions' DYNAMICS_365_WEBHOOK_SECRET")


def compare_steps(entity: EntityMapping, steps: Sequence[Step]) -> Iterator[Finding]:
    """The three steps of one table."""
    for message in MESSAGES:
        subject = f"step {message} of {entity.table}"
        mine = steps_of(steps, entity.table, message)
        if not mine:
            yield error(_AREA, subject, "is not registered: such changes wait for reconciliation", "run provision")
            continue
        step, wanted = mine[0], wanted_step(entity, message)
        if more := mine[1:]:
            yield _superfluous(subject, more)
        grave = list(_grave(step, wanted))
        if grave:
            yield error(_AREA, subject, "; ".join(grave), "run provision")
        elif problems := step_problems(step, wanted):
            yield warning(_AREA, subject, f"is not current: {'; '.join(problems)}", "run provision")
        else:
            yield ok(_AREA, subject, "asynchronous and current")


def _superfluous(subject: str, more: Sequence[Step]) -> Finding:
    message = f"is registered {len(more) + 1} times: each change calls as often"
    foreign = sum(not step.made for step in more)
    if foreign:
        # Provision removes only what it made.
        text = f"{foreign} of them {word_for(foreign, 'was')} not made by provision"
        return warning(_AREA, subject, f"{message}; {text}", "unregister these by hand (Plug-in Registration tool)")
    return warning(_AREA, subject, message, "run provision")


def _grave(step: Step, wanted: Step) -> Iterator[str]:
    """What is wrong with a step so that changes are lost, late, or read too early."""
    if not step.asynchronous:
        yield "is synchronous: it runs inside the transaction, so that the old row is read, and users wait for it"
    if not step.enabled:
        yield "is disabled"
    if step.columns and not wanted.columns <= step.columns:
        yield f"does not watch {', '.join(sorted(wanted.columns - step.columns))}: edits there wait"


def compare_column_access(
    entity: EntityMapping, table: TableInfo, user: User, access: Mapping[UUID, ColumnAccess]
) -> Iterator[Finding]:
    """What the application user may do with the table's secured columns; `access` is by the columns' ids."""
    wanted = uses(entity)
    for column in table.columns.values():
        if not column.secured or column.name not in wanted:
            continue
        held = access.get(column.id) if column.id is not None else None
        lacking = [use for use in wanted[column.name] if held is None or not getattr(held, use)]
        if lacking:
            message = f"is a secured column, and {user.name} may not {' or '.join(lacking)} it"
            action = "add the user to a column security profile that allows it, or take the column out of the mapping"
            yield error(entity.table, column.name, message, action)


def compare_target_privileges(
    entity: EntityMapping, targets: Iterable[TableInfo | None], user: User, held: Mapping[str, str]
) -> Iterator[Finding]:
    """What the application user needs on the tables that lookups refer to."""
    for target in filter(None, targets):
        names = [name for kind in ("Read", "AppendTo") if (name := target.privileges.get(kind)) is not None]
        if missing := [name for name in names if name.lower() not in held]:
            message = f"{user.name} lacks {', '.join(missing)}, and lookups of {entity.table} refer to {target.name}"
            yield error("privileges", target.name, message, "add them to its security role, at organization depth")


def compare_privileges(
    entity: EntityMapping, table: TableInfo, user: User, held: Mapping[str, str]
) -> Iterator[Finding]:
    """What the application user needs on one table; `held` maps lower-case privilege names to depths."""
    kinds = ["Read", "Write", *(["Create"] if "dynamics" in entity.create_in else [])]
    kinds += ["Append"] if entity.lookups else []
    missing = []
    if "Create" in kinds and any(rule.write_column == _CREATED for rule in entity.fields.values()):
        missing += [] if _OVERRIDE.lower() in held else [_OVERRIDE]
    for kind in kinds:
        name = table.privileges.get(kind)
        if name is None:
            continue
        depth = held.get(name.lower())
        if depth is None:
            missing.append(name)
        elif depth != "Global":
            message = f"{user.name} holds {name} at depth {depth}: rows of other owners or units stay out of reach"
            yield warning("privileges", entity.table, message, "give it organization depth in its security role")
    if missing:
        action = "add them to its security role, at organization depth"
        yield error("privileges", entity.table, f"{user.name} lacks {', '.join(missing)}", action)
    else:
        yield ok("privileges", entity.table, f"{user.name} may {', '.join(kinds).lower()}")
