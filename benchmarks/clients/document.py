"""The customer document's own client, rebuilt from its description.

For each record, as its samples and its page on troubleshooting say: a token (the sample asks for one each time), a read
by `$filter` to find an existing row, then an update by id or a create; a request may take 30 s; a task that fails is
tried three times more, 60 s apart. `tasks` records at a time, as a pool of Celery workers would.
"""

import asyncio
import json
import resource
import sys
import time
from typing import Any, Final

import httpx

RETRIES: Final = 3
TIMEOUT: Final = 30.0


class Client:
    """Syncs one record at a time."""

    def __init__(self, http: httpx.AsyncClient, job: dict[str, Any]) -> None:
        self._http = http
        self._job = job
        self._set = f"{job['url']}/api/data/v9.2/{job['set']}"
        self.tokens = 0

    async def sync(self, row: dict[str, Any]) -> bool:
        """Write one record; gives whether it was written."""
        for retry in range(RETRIES + 1):
            try:
                await self._sync_once(row)
            except httpx.HTTPError:
                if retry < RETRIES:
                    await asyncio.sleep(self._job["retry_seconds"])
            else:
                return True
        return False

    async def _sync_once(self, row: dict[str, Any]) -> None:
        headers = {
            "Authorization": f"Bearer {await self._token()}",
            "Content-Type": "application/json",
            "OData-MaxVersion": "4.0",
            "OData-Version": "4.0",
        }
        key, table = self._job["key"], self._job["table"]
        query = {"$filter": f"{key} eq '{row[key]}'"}
        found = (await self._http.get(self._set, params=query, headers=headers)).raise_for_status().json()["value"]
        if found:
            row_id = found[0][f"{table}id"]
            answer = await self._http.patch(f"{self._set}({row_id})", json=row, headers=headers)
        else:
            new = {**row, "statecode": 0, "statuscode": 1}
            answer = await self._http.post(self._set, json=new, headers=headers)
        answer.raise_for_status()

    async def _token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._job["client_id"],
            "client_secret": self._job["client_secret"],
            "scope": f"{self._job['url']}/.default",
        }
        self.tokens += 1
        answer = (await self._http.post(self._job["token_url"], data=form)).raise_for_status()
        return str(answer.json()["access_token"])


async def work_off() -> dict[str, Any]:
    """Work the job off."""
    job = json.load(sys.stdin)
    rows = list(job["rows"])
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as http:
        client = Client(http, job)
        left = iter(rows)

        async def task() -> int:
            return sum([await client.sync(row) for row in left])

        written = sum(await asyncio.gather(*(task() for _ in range(job["tasks"]))))
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "written": written,
        "given_up": len(rows) - written,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "tokens": client.tokens,
    }


def run() -> None:
    """Read the job from standard input, and write the answer to standard output."""
    json.dump(asyncio.run(work_off()), sys.stdout)
