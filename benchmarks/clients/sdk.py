"""Microsoft's SDK for Dataverse (PyPI `PowerPlatform-Dataverse-Client`), in an environment of its own.

As its README says: lists of records for CreateMultiple, `upsert` by alternate key for a sync that may be repeated, the
asynchronous client with `asyncio.gather`, and for errors that call themselves transient a retry after `retry_after`
seconds. https://github.com/microsoft/PowerPlatform-DataverseClient-Python#readme
"""

import asyncio
import json
import random
import resource
import sys
import time
from typing import Any

from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from PowerPlatform.Dataverse.aio import AsyncDataverseClient  # type: ignore[import-not-found]
from PowerPlatform.Dataverse.core.errors import HttpError  # type: ignore[import-not-found]
from PowerPlatform.Dataverse.models import UpsertItem  # type: ignore[import-not-found]


class GivenToken(AsyncTokenCredential):
    """A credential that has its token already, as Azure Identity's cache has it."""

    def __init__(self, token: str) -> None:
        self._token = AccessToken(token, int(time.time()) + 3600)

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """Give it."""
        return self._token

    async def close(self) -> None:
        """Nothing is open."""

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""


async def write(client: Any, job: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Write one chunk in one request."""
    if job["kind"] == "create":
        await client.records.create(job["table"], rows)
        return
    key = job["key"]
    items = [
        UpsertItem(alternate_key={key: row[key]}, record={name: row[name] for name in row if name != key})
        for row in rows
    ]
    await client.records.upsert(job["table"], items)


async def keep_trying(client: Any, job: dict[str, Any], rows: list[dict[str, Any]]) -> int:
    """Write one chunk; gives how many rows were written: all or none."""
    for attempt in range(job["attempts"]):
        try:
            await write(client, job, rows)
        except HttpError as error:
            if not error.is_transient:
                return 0
            wait = (error.details or {}).get("retry_after") or 2**attempt
            await asyncio.sleep(wait + random.random())  # noqa: S311  # jitter
        except Exception as error:  # noqa: BLE001  # the SDK has retried the connection by itself
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return 0
        else:
            return len(rows)
    return 0


async def work_off() -> dict[str, Any]:
    """Work the job off."""
    job = json.load(sys.stdin)
    rows = job["rows"]
    chunks = [rows[start : start + job["chunk"]] for start in range(0, len(rows), job["chunk"])]
    places = asyncio.Semaphore(job["tasks"])
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    async with AsyncDataverseClient(job["url"], GivenToken(job["token"])) as client:

        async def one(chunk: list[dict[str, Any]]) -> int:
            async with places:
                return await keep_trying(client, job, chunk)

        written = sum(await asyncio.gather(*map(one, chunks)))
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"written": written, "given_up": len(rows) - written, "seconds": seconds, "cpu_seconds": cpu}


def run() -> None:
    """Read the job from standard input, and write the answer to standard output."""
    json.dump(asyncio.run(work_off()), sys.stdout)
