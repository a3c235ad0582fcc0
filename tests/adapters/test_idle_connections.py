"""A connection that was idle is not used again: its server may be closing it at this very moment."""

import asyncio

import httpx
import pytest

from shared.adapters.http import client
from shared.adapters.http.client import HttpService
from shared.adapters.http.gate import Gate
from shared.errors import SyncError
from tests.adapters.virtual import LoopClock

SHORTEST_OF_SERVERS = 2.0
"""Seconds for which gunicorn keeps an idle connection (https://docs.gunicorn.org/en/stable/settings.html#keepalive)."""


class Side(HttpService):
    def meaning(self, response: httpx.Response) -> SyncError | None:
        return None


async def connections(pause: float) -> int:
    """How many connections two requests make that are so many seconds apart."""
    made: list[object] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    clock = LoopClock()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    side = Side("Side", url, Gate(clock, "Side"), clock, headers={})
    await side.send("GET", "one")
    await asyncio.sleep(pause)
    await side.send("GET", "two")
    await side.aclose()
    server.close()
    return len(made)


@pytest.mark.parametrize(("pause", "made"), [(0, 1), (0.4, 2)], ids=["at once", "after a pause"])
def test_a_connection_is_used_again_only_soon_after(monkeypatch: pytest.MonkeyPatch, pause: float, made: int) -> None:
    assert client._IDLE < SHORTEST_OF_SERVERS
    monkeypatch.setattr(client, "_IDLE", 0.2)
    # On a loop of real time: sockets know no other.
    assert asyncio.run(connections(pause)) == made
