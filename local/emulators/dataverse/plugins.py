"""Synchronous plug-ins of the emulated organization: what customers' code does to writes.

A plug-in that refuses chooses the message, the status and the code of its refusal:
https://learn.microsoft.com/dotnet/api/microsoft.xrm.sdk.invalidpluginexecutionexception
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from local.emulators.dataverse.changes import Message
from local.emulators.dataverse.errors import PlugInError
from local.emulators.dataverse.schema import Table
from local.emulators.dataverse.values import Value, to_json, to_stored


class Behaviour(StrEnum):
    """What a plug-in does with a write that it matches.

    REFUSE: nothing is written. REWRITE: another value is stored. IGNORE: the column keeps what it held, and the service
    answers as if it had been written.
    """

    REFUSE = "refuse"
    REWRITE = "rewrite"
    IGNORE = "ignore"


@dataclass(slots=True)
class PlugIn:
    """A rule for the writes of one table, or of any: those of a column, or of one value of it.

    Absent parts match everything. It acts `times` times (None: for ever). `status`, `code` and `message` shape a
    refusal, `becomes` is what REWRITE stores, in the form that the Web API shows it.
    """

    behaviour: Behaviour
    table: str | None = None
    column: str | None = None
    value: Any = None
    messages: tuple[Message, ...] = (Message.CREATE, Message.UPDATE)
    becomes: Any = None
    status: int = 400
    code: str = "0x80040265"
    message: str = "The plug-in refused the operation."
    times: int | None = None
    acted: int = 0

    def __post_init__(self) -> None:
        if self.column is None and self.behaviour is not Behaviour.REFUSE:
            raise ValueError(f"To {self.behaviour} needs a column.")

    def matches(self, table: Table, message: Message, given: dict[str, Value]) -> bool:
        """Tell whether a write is one for this plug-in."""
        if self.times is not None and self.acted >= self.times:
            return False
        if self.table not in {None, table.name, table.set_name} or message not in self.messages:
            return False
        if self.column is None:
            return True
        if self.column not in given:
            return False
        return self.value is None or str(to_json(given[self.column])) == str(self.value)


def run(plug_ins: Iterable[PlugIn], table: Table, message: Message, given: dict[str, Value]) -> dict[str, Value]:
    """Let the plug-ins act on a write, in their order.

    Returns:
        The columns to store.

    Raises:
        PlugInError: A plug-in refused.
    """
    for plug_in in plug_ins:
        if not plug_in.matches(table, message, given):
            continue
        plug_in.acted += 1
        if plug_in.behaviour is Behaviour.REFUSE:
            raise PlugInError(plug_in.status, plug_in.code, plug_in.message)
        column = table.columns[str(plug_in.column)]
        given = {name: value for name, value in given.items() if name != column.name}
        if plug_in.behaviour is Behaviour.REWRITE:
            given[column.name] = to_stored(table, column, plug_in.becomes)
    return given
