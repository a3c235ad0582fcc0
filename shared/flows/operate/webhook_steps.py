"""What a webhook's registration must look like, and how a registered one differs from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.schema.mapping import EntityMapping
from shared.flows.operate.required import watched_columns
from shared.flows.operate.secret_fingerprint import is_of
from shared.flows.ports.platform import Endpoint, Image, Step

HTTP_HEADER: Final = 5
"""The authentication type by a header."""
_PRE, _POST = 0, 1


@dataclass(frozen=True)
class Webhook:
    """Where Dynamics is to call: `url` None keeps what is registered; `secret` goes out in `header`."""

    url: str | None
    header: str
    secret: str


def wanted_step(entity: EntityMapping, message: str) -> Step:
    """The step that the mapping needs; updates carry the key after, deletes the key before."""
    key = frozenset({entity.key.column})
    images = {"Update": (Image(_POST, key),), "Delete": (Image(_PRE, key),)}
    columns = watched_columns(entity) if message == "Update" else frozenset[str]()
    return Step(entity.table, message, columns, images.get(message, ()))


def steps_of(steps: Sequence[Step], table: str, message: str) -> list[Step]:
    """The registered steps of one event, those that provision made first: one of others is not ours to change."""
    return sorted((one for one in steps if (one.table, one.message) == (table, message)), key=lambda one: not one.made)


def step_problems(found: Step, wanted: Step) -> list[str]:
    """How a registered step differs from what is needed."""
    problems: list[str] = []
    if not found.asynchronous:
        problems.append("synchronous -> asynchronous")
    if not found.enabled:
        problems.append("disabled -> enabled")
    if not found.post_operation:
        problems.append("another stage -> post-operation")
    if found.columns != wanted.columns:
        more, less = sorted(wanted.columns - found.columns), sorted(found.columns - wanted.columns)
        named = [*(f"+{name}" for name in more), *(f"-{name}" for name in less)]
        problems.append(f"filtering attributes {' '.join(named)}")
    if set(found.images) != set(wanted.images):
        problems.append("images")
    return problems


def endpoint_problems(endpoint: Endpoint, webhook: Webhook) -> list[str]:
    """How a registered endpoint differs from what is needed; never shows a secret."""
    problems: list[str] = []
    if webhook.url is not None and webhook.url != endpoint.url:
        problems.append(f"address {endpoint.url} -> {webhook.url}")
    if endpoint.auth_type != HTTP_HEADER:
        problems.append(f"authentication -> secret in the header {webhook.header}")
    if endpoint.fingerprint is None:
        problems.append("secret unknown (not registered by provision) -> the current one")
    elif not is_of(endpoint.fingerprint, carried(webhook.header, webhook.secret)):
        problems.append("secret or its header changed -> the current one")
    return problems


def carried(header: str, secret: str) -> str:
    """What a fingerprint is taken of: the header's name belongs to what the functions must agree with."""
    return f"{header.lower()}:{secret}"
