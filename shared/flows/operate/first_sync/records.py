"""Records and rows as small tuples of plain values, to lie in a temporary file, and back.

Only what a decision about a record without a link looks at is kept.
"""

import marshal
from collections.abc import Mapping
from typing import Any, Final

from shared.domain.model import BadValue, CmmsRecord, DynamicsRecord
from shared.errors import MappingError

# Of the marshal format: this one looks for no object that comes twice, and there is none.
_PLAIN: Final = 2


def packed_record(record: CmmsRecord) -> bytes:
    """Pack a CMMS record."""
    content = (record.key, record.etag, dict(record.values), _errors(record.errors), record.id)
    return marshal.dumps(content, _PLAIN)


def record_of(packed: bytes) -> CmmsRecord:
    """Unpack a CMMS record."""
    key, etag, values, errors, record_id = marshal.loads(packed)  # noqa: S302  # written by this process alone
    return CmmsRecord(key, etag, values, _bad(errors), id=record_id)


def packed_row(row: DynamicsRecord) -> bytes:
    """Pack a Dynamics row."""
    content = (row.key, row.etag, dict(row.values), _errors(row.errors), row.id, row.state, row.is_open)
    return marshal.dumps(content, _PLAIN)


def row_of(packed: bytes) -> DynamicsRecord:
    """Unpack a Dynamics row."""
    key, etag, values, errors, row_id, state, is_open = marshal.loads(packed)  # noqa: S302  # as above
    return DynamicsRecord(key, etag, values, _bad(errors), id=row_id, state=state, is_open=is_open)


def _errors(errors: Mapping[str, BadValue]) -> list[tuple[str, str, str, str]]:
    return [(name, bad.error.message, bad.digest, bad.shown) for name, bad in errors.items()]


def _bad(errors: list[tuple[str, str, str, Any]]) -> dict[str, BadValue]:
    return {name: BadValue(MappingError(message, field=name), digest, shown) for name, message, digest, shown in errors}
