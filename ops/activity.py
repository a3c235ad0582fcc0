"""What the engine did of late, message by message: from the local stack's log, or from Log Analytics."""

import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import httpx

from shared.errors import NotAuthorized, Unavailable
from shared.flows.routing.told import Told, read_line

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

KEPT: Final = timedelta(hours=1)
"""How far back the local log is remembered."""
MOST: Final = 20_000
_FIRST_LOOK: Final = 16 * 1024 * 1024
_STAMP: Final = re.compile(r"(\d\d):(\d\d):(\d\d)\.(\d{3})Z ")
_AHEAD: Final = timedelta(minutes=1)
_API: Final = "https://api.loganalytics.azure.com"
"""https://learn.microsoft.com/azure/azure-monitor/logs/api/overview"""


@dataclass(frozen=True)
class Processed:
    """A message's end, and when the log told of it."""

    at: datetime
    told: Told


class Activity(Protocol):
    """Where processed messages are told."""

    async def since(self, moment: datetime) -> list[Processed]:
        """What was processed after an instant, the oldest first, at most `MOST`.

        Raises:
            SyncError: The log cannot be read.
        """


class LogFile:
    """The Functions host's log on this machine. Only what was added is read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position: int | None = None
        self._rest = b""
        self._found: deque[Processed] = deque(maxlen=MOST)

    async def since(self, moment: datetime) -> list[Processed]:
        """Read what the log gained, and answer from memory."""
        now = datetime.now(UTC)
        self._found.extend(one for line in self._lines() if (one := _processed(line, now)) is not None)
        while self._found and now - self._found[0].at > KEPT:
            self._found.popleft()
        return [one for one in self._found if one.at > moment]

    def _lines(self) -> list[str]:
        try:
            size = self._path.stat().st_size
            if self._position is None or size < self._position:
                self._position, self._rest = max(0, size - _FIRST_LOOK), b""
            with self._path.open("rb") as file:
                file.seek(self._position)
                added = file.read()
        except OSError as error:
            raise Unavailable(f"The log {self._path} cannot be read ({error.strerror}).") from error
        self._position += len(added)
        *lines, self._rest = (self._rest + added).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]


def _processed(line: str, now: datetime) -> Processed | None:
    stamp, told = _STAMP.match(line), read_line(line)
    if stamp is None or told is None:
        return None
    hour, minute, second, milli = map(int, stamp.groups())
    # The log has the time of day only: the latest moment of that time that is not ahead.
    at = now.replace(hour=hour, minute=minute, second=second, microsecond=milli * 1000)
    return Processed(at - timedelta(days=1) if at - now > _AHEAD else at, told)


class LogAnalytics:
    """The workspace that the functions' logs go to; the operator needs Log Analytics Reader there."""

    def __init__(
        self, workspace: str, credential: "AsyncTokenCredential", transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`workspace` is its id, a GUID; `transport` replaces the network in tests."""
        self._path = f"{_API}/v1/workspaces/{workspace}/query"
        self._credential = credential
        self._transport = transport

    async def since(self, moment: datetime) -> list[Processed]:
        """Ask the workspace. What the functions log arrives there with a delay of some minutes."""
        query = (
            f"AppTraces | where TimeGenerated > datetime({moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ})"
            " | where Message matches regex @'^[a-z]+ (\"|null).*: (applied|already true|retried|parked)'"
            f" | project TimeGenerated, Message | order by TimeGenerated asc | take {MOST}"
        )
        token = await self._credential.get_token(f"{_API}/.default")
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=60) as client:
                headers = {"Authorization": f"Bearer {token.token}"}
                response = await client.post(self._path, json={"query": query}, headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable(f"Log Analytics gave no answer: {type(error).__name__}.") from error
        if response.status_code in {401, 403}:
            raise NotAuthorized("Log Analytics refused you: the role Log Analytics Reader on the workspace is needed.")
        if response.status_code != 200:  # noqa: PLR2004  # the only one with a result
            raise Unavailable(
                f"Log Analytics answered {response.status_code}: is OPS_WORKSPACE_ID the workspace's id?",
                status=response.status_code,
            )
        return _rows(response)


def _rows(response: httpx.Response) -> list[Processed]:
    try:
        rows: list[list[Any]] = response.json()["tables"][0]["rows"]
        told = [(datetime.fromisoformat(at), read_line(message)) for at, message in rows]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Unavailable("Log Analytics' answer has an unknown form.") from error
    return [Processed(at.astimezone(UTC), one) for at, one in told if one is not None]
