"""What makes one environment this one: its identity, its clock, its source of ids."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

_DEFAULT_ORGANIZATION_ID = UUID("0d4b2d4e-5a3f-4f0e-8f4c-7d6f0a3c1b55")
_BUSINESS_UNIT_ID = UUID("3c1d8f6a-7f51-4c0b-a8d9-1e1f6f5f9c20")


@dataclass(frozen=True, slots=True)
class Organization:
    """The environment's identity, as `WhoAmI` and the webhooks tell it."""

    id: UUID = _DEFAULT_ORGANIZATION_ID
    name: str = "orgemulated"
    host: str = "orgemulated.crm.dynamics.com"
    business_unit_id: UUID = _BUSINESS_UNIT_ID


def wall_clock() -> datetime:
    """Tell the time in UTC."""
    return datetime.now(UTC)


def random_ids() -> UUID:
    """Draw a version 4 UUID."""
    return UUID(int=secrets.randbits(128), version=4)
