"""Who may call: application users, and persons for the sake of edits that are not ours."""

from dataclasses import dataclass
from uuid import UUID, uuid5

OVERRIDE_CREATED = "OverrideCreatedOnCreatedBy"
"""The privilege, of no table, to say when a row was created."""
_USER_IDS = UUID("6f9a6d1c-6f0e-4a77-9b4c-52c6f0a4f6d4")


@dataclass(frozen=True, slots=True)
class SystemUser:
    """A row of `systemuser`; `denied` lists refused privileges: `Create:salesorder`, `OverrideCreatedOnCreatedBy`."""

    name: str
    application_id: str
    id: UUID
    disabled: bool = False
    denied: frozenset[str] = frozenset()

    @classmethod
    def of(cls, name: str, application_id: str, user_id: UUID | None = None) -> "SystemUser":
        """Make a user with a stable id, derived from the application id if none is given."""
        return cls(name, application_id.lower(), user_id or uuid5(_USER_IDS, application_id.lower()))
