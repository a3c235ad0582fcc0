"""`make up`: the stack in the foreground, with everything that a person needs to try it."""

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from local.ports import Ports
from local.processes import StackError
from local.run import RUNS
from local.stack import Stack

TOKEN = RUNS / "person.token"
SETTINGS = RUNS / "stack.env"
"""What `python -m ops --local` reads, for as long as the stack runs."""


def main() -> int:
    """Run until Ctrl-C; answers the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.up", description="The whole product on this machine.")
    parser.add_argument("--free-ports", action="store_true", help="do not insist on the usual ports")
    parser.add_argument("--one-way", action="store_true", help="without the CMMS's API: messages carry the values")
    options = parser.parse_args()
    console = Console(highlight=False)
    # By ourselves: a shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        console.print("Starting the local stack ...")
        ports = Ports.free() if options.free_ports else Ports()
        with Stack(ports, echo=sys.stdout, one_way=options.one_way) as stack:
            _write_private(TOKEN, stack.person_token())
            _write_private(SETTINGS, "".join(f"{name}={value}\n" for name, value in stack.operator_settings().items()))
            describe(console, stack, one_way=options.one_way)
            while (ended := stack.ended()) is None:
                time.sleep(0.3)
            console.print(f"{ended.name} ended by itself; the end of {ended.log}:\n{ended.tail()}", style="red")
            return 1
    except StackError as error:
        console.print(str(error), style="red")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running. The logs of this run stay in .local/.")
        return 0
    finally:
        SETTINGS.unlink(missing_ok=True)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def describe(console: Console, stack: Stack, *, one_way: bool) -> None:
    """Print the addresses, the keys of this run, and examples that work as they are."""
    table = Table(title="Energy CMMS and Dynamics 365 on this machine", title_justify="left")
    table.add_column("part")
    table.add_column("address")
    for part, address in (
        ("CMMS, page and API", stack.cmms_url),
        ("Dynamics Web API", stack.web_api_url),
        ("Dynamics, what it holds", f"{stack.dataverse_url}/_emulator/tables/salesorder"),
        ("webhook", stack.webhook_url),
        ("health", f"{stack.host_url}/api/health"),
        ("queues, counts", f"http://127.0.0.1:{stack.ports.servicebus_admin}/counts"),
        ("logs and ledger", str(stack.folder.relative_to(RUNS.parent))),
    ):
        table.add_row(part, address)
    console.print(table)
    examples = _one_way_examples(stack) if one_way else _examples(stack)
    for title, lines in examples:
        console.print(f"\n# {title}", style="bold", soft_wrap=True)
        for line in lines:
            # Not by rich: it would wrap a line that is meant to be pasted.
            print(line)  # noqa: T201
    console.print("\nCtrl-C stops everything. The log of the functions follows.\n", style="bold")


def _examples(stack: Stack) -> list[tuple[str, list[str]]]:
    asset = '{"codigo_interno": "0001", "nombre": "Bomba de agua", "costo": "1250.50", "fecha_compra": "2024-02-29"}'
    return [
        (
            "Create an asset in the CMMS; it arrives in Dynamics",
            [f"curl -s {stack.cmms_url}/demo/activos/ -H 'Content-Type: application/json' -d '{asset}'"],
        ),
        ("Look at it in Dynamics", [_dynamics_get(stack, "msdyn_customerassets(msdyn_assetnumber='0001')")]),
        (
            "Edit its book value in Dynamics, as a person; the native webhook brings it to the CMMS",
            [
                _dynamics_patch(
                    stack, "msdyn_customerassets(msdyn_assetnumber='0001')", "msdyn_currentbookvalue", 999.9
                ),
                f"curl -s {stack.cmms_url}/demo/activos/0001/",
            ],
        ),
        ("Send a signed webhook, in the form of the customer's document", _signed(stack)),
        ("Drop a message on a queue: look at this asset again", [_drop(stack, "sync.asset.dirty", '{"key": "0001"}')]),
        (
            "Drop a message that is wrong, and see it parked with its reason",
            [
                _drop(stack, "energy.asset.upserted", '{"fields": {}}'),
                f".venv/bin/python -m local.messages --port {stack.ports.servicebus} peek parked",
            ],
        ),
        (
            "Look at everything as an operator does: the set-up, one record's story, what was parked",
            [
                ".venv/bin/python -m ops check --local",
                ".venv/bin/python -m ops show --entity asset --key 0001 --local",
                ".venv/bin/python -m ops parked list --local",
            ],
        ),
        (
            "Look for drift now instead of every 15 minutes",
            [
                (
                    f"curl -s -X POST {stack.host_url}/admin/functions/reconcile -H 'Content-Type: application/json'"
                    f" -H 'x-functions-key: {stack.keys.master}' -d '{{\"input\": \"\"}}'"
                )
            ],
        ),
    ]


def _one_way_examples(stack: Stack) -> list[tuple[str, list[str]]]:
    data = '{"codigo_interno": "0001", "nombre": "Bomba de agua", "costo": "1250.50"}'
    return [
        ("Drop a message on a queue; its values arrive in Dynamics", [_drop(stack, "energy.asset.upserted", data)]),
        ("Look at it in Dynamics", [_dynamics_get(stack, "msdyn_customerassets(msdyn_assetnumber='0001')")]),
    ]


def _signed(stack: Stack) -> list[str]:
    return [
        """body='{"eventType": "asset.updated", "data": {"msdyn_assetnumber": "0001"}}'""",
        f"""signature=$(printf %s "$body" | openssl dgst -sha256 -hmac {stack.keys.webhook} | sed 's/^.* //')""",
        f"""curl -s {stack.webhook_url} -H "X-MS-SIGNATURE: $signature" -d "$body\"""",
    ]


def _dynamics_get(stack: Stack, path: str) -> str:
    return f'curl -s "{stack.web_api_url}/{path}" -H "Authorization: Bearer $(cat .local/person.token)"'


def _dynamics_patch(stack: Stack, path: str, column: str, value: object) -> str:
    return (
        f'curl -s -X PATCH "{stack.web_api_url}/{path}" -H "Authorization: Bearer $(cat .local/person.token)"'
        f""" -H 'Content-Type: application/json' -H 'If-Match: *' -d '{{"{column}": {value}}}'"""
    )


def _drop(stack: Stack, kind: str, data: str) -> str:
    return f".venv/bin/python -m local.messages --port {stack.ports.servicebus} send {kind} '{data}'"


if __name__ == "__main__":
    sys.exit(main())
