"""Serves both sides of a computed world over HTTP: Dataverse's tracked reads and the CMMS's lists, page by page.

`python -m benchmarks.reconcile.server COUNT` prints its port. Rows are made as they are asked for, so that a million
need no memory; the forms are those of the emulator and of the Django app.
"""

import argparse
import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qs

import uvicorn

from benchmarks.reconcile.world import (
    DOUBLE,
    id_of,
    is_in_cmms,
    is_in_dynamics,
    key_of,
    kind_of,
    number_of,
    number_of_key,
    number_of_row,
    record_of,
    values_of,
)
from shared.flows.reconcile.drift import DriftClass

DYNAMICS_PAGE: Final = 5000
CMMS_PAGE: Final = 500
CHANGES: Final = 100
_QUOTED: Final = re.compile(r"'([^']*)'")
_EQ: Final = re.compile(r"(\w+) eq '?([^']*)'?")


class World:
    """The ASGI application."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pages = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        host = dict(scope["headers"])[b"host"].decode()
        answer = self._answer(scope["path"], query, body, host)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, path: str, query: dict[str, str], body: bytes, host: str) -> bytes:
        self.pages += 1
        if path.startswith("/integracion/"):
            return self._cmms(path, query, body).encode()
        if "salesorders" in path:
            return f'{{"value":[],"@odata.deltaLink":"http://{host}{path}?$deltatoken=0"}}'.encode()
        return self._dynamics(path, query, host).encode()

    def _cmms(self, path: str, query: dict[str, str], body: bytes) -> str:
        if "requisiciones" in path or "modificado_desde" in query:
            return '{"resultados":[],"siguiente":null}'
        if body:
            asked = json.loads(body)
            numbers: Iterable[int] = [number_of(one) for one in asked.get("ids", ())]
            numbers = [*numbers, *(number_of_key(one) for one in asked.get("claves", ()))]
            return f'{{"resultados":[{",".join(_records(numbers))}],"siguiente":null}}'
        start = int(query.get("cursor", "0"))
        end = min(start + min(int(query["limite"]), CMMS_PAGE), self.count)
        following = f'"{end}"' if end < self.count else "null"
        return f'{{"resultados":[{",".join(_records(range(start, end)))}],"siguiente":{following}}}'

    def _dynamics(self, path: str, query: dict[str, str], host: str) -> str:
        if "$deltatoken" in query:
            # What was touched since without a change of any value: the costliest kind, for it must all be compared.
            rows: Iterable[str] = _rows(range(CHANGES * 2, CHANGES * 3)) if query["$deltatoken"] == "1" else ()
            following = f',"@odata.deltaLink":"http://{host}{path}?$deltatoken=2"'
        elif "$filter" in query:
            rows, following = self._filtered(query["$filter"]), ""
        else:
            start = int(query.get("$skiptoken", "0"))
            end = min(start + DYNAMICS_PAGE, self.count)
            rows = _rows(range(start, end))
            link = f"http://{host}{path}?$select=x&"
            following = (
                f',"@odata.nextLink":"{link}$skiptoken={end}"'
                if end < self.count
                else f',"@odata.deltaLink":"{link}$deltatoken=1"'
            )
        return f'{{"@odata.context":"x","value":[{",".join(rows)}]{following}}}'

    def _filtered(self, condition: str) -> Iterator[str]:
        if found := _EQ.fullmatch(condition):
            column, wanted = found[1], [found[2]]
        else:
            column, *wanted = _QUOTED.findall(condition)
        if column == "msdyn_assetnumber":
            return _rows(number_of_key(key) for key in wanted)
        identities = map(number_of_row, wanted)
        return (_row(one % DOUBLE, one) for one in identities if is_in_dynamics(one % DOUBLE))


def _records(numbers: Iterable[int]) -> Iterator[str]:
    for number in numbers:
        if not is_in_cmms(number):
            continue
        name, serial, cost, book, bought = values_of(number)
        if kind_of(number) in {DriftClass.CMMS_AHEAD, DriftClass.CONFLICT}:
            name += " bis"
        shown = "null" if serial is None else f'"{serial}"'
        yield (
            f'{{"id":"{record_of(number)}","clave":"{key_of(number)}","etag":"\\"{number:032x}\\"","version":"2026-01-01T00:00:00.000000Z",'
            '"modificado_en":"2026-01-01T00:00:00.000000Z","modificado_por":"persona","operaciones":[],"borrado":false,'
            '"campos":{'
            f'"codigo_interno":"{key_of(number)}","nombre":"{name}","numero_de_serie":{shown},"valor_adquisicion":'
            f'"{cost}","valor_libros":"{book}0","fecha_adquisicion":"{bought}"}}}}'
        )


def _rows(numbers: Iterable[int]) -> Iterator[str]:
    for number in numbers:
        if not is_in_dynamics(number):
            continue
        yield _row(number, number)
        if kind_of(number) is DriftClass.DUPLICATE_KEY:
            yield _row(number, number + DOUBLE)


def _row(number: int, identity: int) -> str:
    name, serial, cost, book, bought = values_of(number)
    kind = kind_of(number)
    if kind is DriftClass.DYNAMICS_AHEAD:
        serial = "SN-OTHER"
    elif kind is DriftClass.CONFLICT:
        name += " changed"
    shown = "null" if serial is None else f'"{serial}"'
    return (
        f'{{"@odata.etag":"W/\\"{identity}\\"","msdyn_customerassetid":"{id_of(identity)}","msdyn_assetnumber":'
        f'"{key_of(number)}","msdyn_name":"{name}","msdyn_serialid":{shown},"msdyn_acquisitioncost":{cost},'
        f'"msdyn_currentbookvalue":{book},"msdyn_acquisitiondate":"{bought}","statecode":0}}'
    )


async def serve(count: int) -> None:
    """Serve until killed."""
    server = uvicorn.Server(
        uvicorn.Config(World(count), host="127.0.0.1", port=0, log_level="error", lifespan="off", access_log=False)
    )
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn tells it by this flag alone
        await asyncio.sleep(0.02)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201  # the parent reads it
    await task


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconcile.server", description="Both sides, computed.")
    parser.add_argument("count", type=int, help="how many records there are")
    asyncio.run(serve(parser.parse_args().count))
