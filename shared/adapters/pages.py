"""Pages of a full list as JSON: of a million records only those members are read that the full pass compares."""

import typing
from collections.abc import Callable, Collection
from types import GenericAlias
from typing import Any

from shared.adapters.row_hasher import Number
from shared.domain import jsontext

type Parse = Callable[[bytes], Any]

# Type checkers want literals where the names are known from the mapping alone.
_typed_dict: Any = typing.TypedDict


def reader(records: str, names: Collection[str], *others: str, **nested: Collection[str]) -> Parse:
    """Make a function that reads a page's JSON, numbers with a point or an exponent as `Number`.

    What is left out of the JSON is left out of the result as well. JSON of another form is read whole, as it is.

    Args:
        records: The member that lists the records.
        names: The members to read of each record.
        others: The members to read beside the list.
        nested: Of a record's members that are objects, the members to read.

    Raises:
        JsonError: By the function: not UTF-8, not JSON, or nested or sized beyond reading.

    Example: `reader("value", ["accountid", "name"], "@odata.nextLink")` makes of
    `{"value": [{"accountid": "1", "name": "A", "revenue": 2}]}` a dict without the revenue.
    """
    # Imported here, because only a full list needs it: a cold start does without.
    import msgspec  # noqa: PLC0415

    objects = {name: _members(dict.fromkeys(members, Any)) for name, members in nested.items()}
    record = _members({**dict.fromkeys(names, Any), **objects})
    page = _members({**dict.fromkeys(others, Any), records: GenericAlias(list, record)})
    decoder = msgspec.json.Decoder(page, float_hook=Number)

    def parse(content: bytes) -> Any:
        try:
            return decoder.decode(content)
        except msgspec.DecodeError:
            # A byte order mark, half a surrogate pair, or a record that is no object: told by whoever looks at it.
            return jsontext.parse(content, Number)

    return parse


def _members(types: dict[str, Any]) -> Any:
    return _typed_dict("Members", types, total=False)
