"""An organization in a file: an emulator that is killed and started again goes on where it was.

The file is a log: each committed change and each change of a table's definition is appended before its request is
answered, and all are played again at the start. It survives the process, not the machine: nothing waits for the disk.
Users, faults, plug-ins and webhook posts under way are not kept. The file holds pickles: load none from strangers.
"""

import copyreg
import pickle
import struct
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local.emulators.dataverse.changes import Change
from local.emulators.dataverse.organization import Dataverse, Snapshot
from local.emulators.dataverse.rows import Row, frozen
from local.emulators.dataverse.schema import KeyStatus, Table
from local.emulators.dataverse.values import Value

# The values of a row are such a view, which pickle does not know.
copyreg.pickle(MappingProxyType, lambda view: (_view, (dict(view),)))

_MAGIC = b"Dataverse emulator, state 1\n"
_LENGTH = struct.Struct(">Q")

type _Definitions = dict[str, tuple[bool, dict[str, Any], dict[str, Any]]]


class StateFile:
    """Keeps an organization in a file."""

    def __init__(self, path: Path, dataverse: Dataverse) -> None:
        """Bring the organization to where the file says it was, and keep the file up to date from now on.

        Raises:
            ValueError: the file is not one of these.
        """
        self._dataverse = dataverse
        self._file: IO[bytes] = path.open("a+b", buffering=0)
        try:
            self._play()
        except (pickle.UnpicklingError, AttributeError, ImportError, TypeError, KeyError) as error:
            self._file.close()
            raise ValueError(f"The state file {path} cannot be read ({error}). Name another, or delete it.") from error
        self._known = self._definitions_now()
        dataverse.subscribers.append(self._append)

    def note_definitions(self) -> None:
        """Keep the tables' definitions if they have changed."""
        now = self._definitions_now()
        if now != self._known:
            self._known = now
            self._append({name: _parts(rows.table) for name, rows in self._dataverse.tables.items()})

    def note_restored(self) -> None:
        """Keep the whole organization after a backup was put back."""
        self._append(self._dataverse.snapshot())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, record: Change | Snapshot | _Definitions) -> None:
        data = pickle.dumps(record)
        self._file.write(_LENGTH.pack(len(data)) + data)

    def _play(self) -> None:
        file = self._file
        file.seek(0)
        begun = file.read(len(_MAGIC))
        if not _MAGIC.startswith(begun):
            raise TypeError("it does not begin as such a file does")
        if begun != _MAGIC:
            file.truncate(0)
            file.write(_MAGIC)
        end = len(_MAGIC)
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            data = file.read(length)
            if len(data) < length:
                break  # it was being written when the emulator was killed
            self._take(pickle.loads(data))  # noqa: S301 - written by this class
            end = file.tell()
        file.truncate(end)
        for rows in self._dataverse.tables.values():
            for key in rows.table.keys.values():
                if key.status is not KeyStatus.FAILED:
                    rows.activate(key)

    def _take(self, record: object) -> None:
        match record:
            case Change():
                self._dataverse.replay(record)
            case Snapshot():
                self._dataverse.restore(record)
            case dict():
                for name, (tracking, columns, keys) in record.items():
                    rows = self._dataverse.tables[name]
                    rows.table.change_tracking, rows.table.columns, rows.table.keys = tracking, columns, keys
                    empty: dict[str, Value] = dict.fromkeys(columns)
                    rows.become([Row(row.id, row.version, frozen(empty | dict(row.values))) for row in rows])
            case _:
                raise TypeError(f"it holds a {type(record).__name__}")

    def _definitions_now(self) -> bytes:
        return pickle.dumps({name: _parts(rows.table) for name, rows in self._dataverse.tables.items()})


class Keeping:
    """The application, whose requests may change what a `StateFile` hears of no other way."""

    def __init__(self, app: ASGIApp, state: StateFile) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, after what it changed is in the file."""

        async def send_kept(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["method"] not in {"GET", "HEAD"}:
                if "/_emulator/snapshots" in scope["path"] and scope["method"] == "POST":
                    self._state.note_restored()
                elif "Definitions" in scope["path"] or "/Publish" in scope["path"]:
                    self._state.note_definitions()
            await send(message)

        await self._app(scope, receive, send_kept if scope["type"] == "http" else send)


def _view(values: dict[str, Value]) -> MappingProxyType[str, Value]:
    return MappingProxyType(values)


def _parts(table: Table) -> tuple[bool, dict[str, Any], dict[str, Any]]:
    return table.change_tracking, table.columns, table.keys
