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
from local.run import ROOT
from local.stack import Stack

SETTINGS = "stack.env"
"""In the run's folder for as long as it runs: what `python -m ops --local` reads."""
TOKEN = "person.token"  # noqa: S105  # a file's name


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
        with Stack(ports, echo=sys.stdout, one_way=options.one_way, console=True) as stack:
            _write_private(stack.folder / TOKEN, stack.person_token())
            settings = "".join(f"{name}={value}\n" for name, value in stack.operator_settings().items())
            _write_private(stack.folder / SETTINGS, settings)
            try:
                describe(console, stack, one_way=options.one_way)
                while (ended := stack.ended()) is None:
                    time.sleep(0.3)
            finally:
                (stack.folder / SETTINGS).unlink(missing_ok=True)
            _complain(console, f"{ended.name} ended by itself; the end of {ended.log}:\n{ended.tail()}")
            return 1
    except StackError as error:
        _complain(console, str(error))
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running. The logs of this run stay in .local/.")
        return 0


def _complain(console: Console, text: str) -> None:
    # A log may hold brackets, which are no markup, and a command in the text is meant to be pasted.
    console.print(text, style="red", markup=False, soft_wrap=True)


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
        ("logs and ledger", str(stack.folder.relative_to(ROOT))),
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
    asset_row = "msdyn_customerassets(msdyn_assetnumber='0001')"
    asset = '{"codigo_interno": "0001", "nombre": "Bomba de agua", "costo": "1250.50", "fecha_compra": "2024-02-29"}'
    return [
        (
            "Create an asset in the CMMS; it arrives in Dynamics",
            [f"curl -s {stack.cmms_url}/demo/activos/ -H 'Content-Type: application/json' -d '{asset}'"],
        ),
        ("Look at it in Dynamics, some seconds later", [_dynamics_get(stack, asset_row)]),
        (
            "Edit its book value in Dynamics, as a person; the native webhook brings it to the CMMS",
            [
                _dynamics_patch(stack, asset_row, "msdyn_currentbookvalue", 999.9),
                "sleep 5",
                f"curl -s {stack.cmms_url}/demo/activos/0001/",
            ],
        ),
        ("Send a signed webhook, in the form of the customer's document", _signed(stack)),
        ("Drop a message on a queue: look at this asset again", [_drop(stack, "sync.asset.dirty", '{"key": "0001"}')]),
        (
            "Drop a message that is wrong, and see it parked with its reason",
            [
                _drop(stack, "energy.asset.upserted", '{"fields": {}}'),
                "sleep 2",
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
        (
            "Look at it in Dynamics, some seconds later",
            [_dynamics_get(stack, "msdyn_customerassets(msdyn_assetnumber='0001')")],
        ),
    ]


def _signed(stack: Stack) -> list[str]:
    return [
        """body='{"eventType": "asset.updated", "data": {"msdyn_assetnumber": "0001"}}'""",
        f"""signature=$(printf %s "$body" | openssl dgst -sha256 -hmac {stack.keys.webhook} | sed 's/^.* //')""",
        f"""curl -s {stack.webhook_url} -H "X-MS-SIGNATURE: $signature" -d "$body\"""",
    ]


def _dynamics_get(stack: Stack, path: str) -> str:
    return f'curl -s "{stack.web_api_url}/{path}" -H "{_bearer(stack)}"'


def _dynamics_patch(stack: Stack, path: str, column: str, value: object) -> str:
    return (
        f'curl -s -X PATCH "{stack.web_api_url}/{path}" -H "{_bearer(stack)}"'
        f""" -H 'Content-Type: application/json' -H 'If-Match: *' -d '{{"{column}": {value}}}'"""
    )


def _bearer(stack: Stack) -> str:
    return f"Authorization: Bearer $(cat {(stack.folder / TOKEN).relative_to(ROOT)})"


def _drop(stack: Stack, kind: str, data: str) -> str:
    return f".venv/bin/python -m local.messages --port {stack.ports.servicebus} send {kind} '{data}'"


if __name__ == "__main__":
    sys.exit(main())
