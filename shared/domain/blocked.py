"""What cannot proceed, and the digest by which the same value is known again without being kept."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from shared.domain.link import Link, ParkedField
from shared.domain.model import Side
from shared.errors import KeyNotUsable, LookupPending, PermanentError

type Refusal = PermanentError | LookupPending
"""Why something cannot proceed: for good, or after it was waited for in vain."""

RECORD: Final = "*"
"""The pseudo-field under which a whole record is parked."""


def digest(value: object) -> str:
    """Recognise a value again without keeping it.

    Returns:
        32 hexadecimal digits.
    """
    return sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Blocked:
    """A field that cannot proceed, or a whole record (`field` is `RECORD`).

    `side` is the side whose value is at fault; `digest` is that value's.
    """

    field: str
    side: Side
    digest: str
    error: Refusal

    def is_parked(self, link: Link) -> bool:
        """Whether this very value was parked before."""
        parked = link.park_of(self.field)
        return (parked.side, parked.digest) == (self.side, self.digest)

    @property
    def mark(self) -> tuple[str, str]:
        """The field and the digest, which tell the blocks of one record apart."""
        return self.field, self.digest

    @property
    def as_parked(self) -> ParkedField:
        """The block as the link remembers it."""
        return ParkedField(side=self.side, digest=self.digest, reason=self.error.reason)


def held_by_key(error: KeyNotUsable) -> Blocked:
    """A record that its business key holds back: parked once for each row that has the key."""
    return Blocked(RECORD, "dynamics", digest(error.row_id or error.message), error)


def held_back(side: Side, cause: object, error: PermanentError) -> Blocked:
    """A record that is held back as a whole: parked once for each `cause`."""
    return Blocked(RECORD, side, digest(cause), error)
