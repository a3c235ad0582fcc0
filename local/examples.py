"""What `make up` prints: where everything is, and examples to paste one after the other."""

from rich.console import Console

from local.run import ROOT, write_private
from local.stack import Stack
from ops.output import table

EXAMPLES = "examples.sh"
TOKEN = "person.token"  # noqa: S105  # a file's name
_TRIES = 30  # seconds that an example waits for what an earlier one began; usually it takes two


def describe(console: Console, stack: Stack, *, one_way: bool) -> None:
    """Print the addresses, the keys of this run, and examples that work as they are, in their order."""
    more_hosts = enumerate(stack.ports.more_hosts, start=2)
    examples_file = stack.folder / EXAMPLES
    addresses = (
        ("console", stack.console_url),
        ("CMMS, page and API", stack.cmms_url),
        ("Dynamics Web API", stack.web_api_url),
        ("Dynamics, what it holds", f"{stack.dataverse_url}/_emulator/tables/msdyn_customerasset"),
        ("webhook", stack.webhook_url),
        ("health", f"{stack.host_url}/api/health"),
        ("queues, counts", f"http://127.0.0.1:{stack.ports.servicebus_admin}/counts"),
        *((f"health of host {number}", f"http://127.0.0.1:{port}/api/health") for number, port in more_hosts),
        ("ServiceBusConnection", stack.servicebus_connection),
        ("logs and ledger", str(stack.folder.relative_to(ROOT))),
        ("these examples again", f"cat {examples_file.relative_to(ROOT)}"),
    )
    console.print("Energy CMMS and Dynamics 365 on this machine\n", style="bold")
    table(console, ("part", "address"), addresses)
    examples = _by_message(stack) if one_way or stack.own_cmms is not None else _examples(stack)
    shown = "\n".join(line for title, lines in examples for line in (f"\n# {title}", *lines))
    write_private(examples_file, f"{shown}\n")
    # Not by rich: it would wrap a line that is meant to be pasted.
    print(shown)  # noqa: T201
    console.print("\nCtrl-C stops everything. The log of the functions follows.\n", style="bold")


def _examples(stack: Stack) -> list[tuple[str, list[str]]]:
    asset_row = "msdyn_customerassets(msdyn_assetnumber='0001')"
    asset = '{"codigo_interno": "0001", "nombre": "Bomba de agua", "costo": "1250.50", "fecha_compra": "2024-02-29"}'
    counts = f"curl -s http://127.0.0.1:{stack.ports.servicebus_admin}/counts"
    return [
        (
            "Create an asset in the CMMS; it arrives in Dynamics",
            [f"curl -s {stack.cmms_url}/demo/activos/ -H 'Content-Type: application/json' -w '\\n' -d '{asset}'"],
        ),
        ("Look at it in Dynamics", [_dynamics_get(stack, asset_row)]),
        (
            "Edit its book value in Dynamics, as a person; the native webhook brings it to the CMMS",
            [
                _dynamics_patch(stack, asset_row, "msdyn_currentbookvalue", 999.9),
                _until(f"curl -s {stack.cmms_url}/demo/activos/0001/ | grep 999.90"),
            ],
        ),
        ("Send a signed webhook, in the form of the customer's document", _signed(stack)),
        ("Drop a message on a queue: look at this asset again", [_drop(stack, "sync.asset.dirty", '{"key": "0001"}')]),
        (
            "Drop a message that is wrong, and see it parked with its reason",
            [
                _drop(stack, "energy.asset.upserted", '{"fields": {}}'),
                _until(f"{counts} | grep 'parked..{{.active.:[1-9]'"),
                f".venv/bin/python -m local.messages --port {stack.ports.servicebus} peek parked",
            ],
        ),
        (
            "Look at everything as an operator does: the set-up, one record's story, what was parked",
            [
                ".venv/bin/python -m ops status --local",
                ".venv/bin/python -m ops check --local",
                ".venv/bin/python -m ops show --entity asset --key 0001 --local",
                ".venv/bin/python -m ops parked list --local",
            ],
        ),
        (
            "Hurt a part, and see it come back: the log says so, and nothing is lost",
            [".venv/bin/python -m local.faults kill functions", ".venv/bin/python -m local.faults --help"],
        ),
        (
            "Look for drift now instead of every 15 minutes",
            [
                (
                    f"curl -s -X POST {stack.host_url}/admin/functions/reconcile -H 'Content-Type: application/json'"
                    f" -H 'x-functions-key: {stack.keys.master}' -d '{{\"input\": \"\"}}'"
                ),
                _until(f"ls {(stack.folder / 'reports').relative_to(ROOT)}/latest.html 2>/dev/null"),
            ],
        ),
    ]


def _by_message(stack: Stack) -> list[tuple[str, list[str]]]:
    data = '{"codigo_interno": "0001", "nombre": "Bomba de agua", "costo": "1250.50"}'
    return [
        ("Drop a message on a queue; its values arrive in Dynamics", [_drop(stack, "energy.asset.upserted", data)]),
        (
            "Look at it in Dynamics",
            [_dynamics_get(stack, "msdyn_customerassets(msdyn_assetnumber='0001')")],
        ),
    ]


def _until(command: str) -> str:
    return f"for try in $(seq {_TRIES}); do {command} && break; sleep 1; done"


def _signed(stack: Stack) -> list[str]:
    return [
        """body='{"eventType": "asset.updated", "data": {"msdyn_assetnumber": "0001"}}'""",
        f"""signature=$(printf %s "$body" | openssl dgst -sha256 -hmac {stack.keys.webhook} | sed 's/^.* //')""",
        f"""curl -s {stack.webhook_url} -H "X-MS-SIGNATURE: $signature" -w "\\n" -d "$body\"""",
    ]


def _dynamics_get(stack: Stack, path: str) -> str:
    waiting = f"--fail --retry {_TRIES} --retry-delay 1 --retry-all-errors"
    return f'curl -s {waiting} -w "\\n" "{stack.web_api_url}/{path}" -H "{_bearer(stack)}"'


def _dynamics_patch(stack: Stack, path: str, column: str, value: object) -> str:
    return (
        f'curl -s -X PATCH "{stack.web_api_url}/{path}" -H "{_bearer(stack)}"'
        f""" -H 'Content-Type: application/json' -H 'If-Match: *' -d '{{"{column}": {value}}}'"""
    )


def _bearer(stack: Stack) -> str:
    return f"Authorization: Bearer $(cat {(stack.folder / TOKEN).relative_to(ROOT)})"


def _drop(stack: Stack, kind: str, data: str) -> str:
    return f".venv/bin/python -m local.messages --port {stack.ports.servicebus} send {kind} '{data}'"
