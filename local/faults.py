"""Hurt the running local stack: kill, pause, slow, fail, throttle or cut off a part.

The stack starts a killed part again. What `slow`, `fail`, `throttle` and `cut` switch on ends after `--times` requests,
or with `clear`.
"""

import json
import os
import random
import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer

from local.alive import alive
from local.run import RUNS
from local.stack import PARTS

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


class Served(StrEnum):
    """The parts that answer others, and can answer them badly."""

    DATAVERSE = "dataverse"
    CMMS = "cmms"
    SERVICEBUS = "servicebus"


_Part = Annotated[str, typer.Argument(help="servicebus, identity, dataverse, cmms, relay, functions, functions-2, ...")]
_Served = Annotated[Served, typer.Argument(help="which part")]
_run = "run-*"
_Times = Annotated[int, typer.Option(help="how many requests; 0 is until 'clear'")]


@app.callback()
def main(run: Annotated[str, typer.Option(help="folder in .local; empty: the newest run")] = "") -> None:
    """Choose the stack."""
    global _run  # noqa: PLW0603  # one command per process
    _run = run or "run-*"


@app.command()
def kill(part: _Part) -> None:
    """Kill a part without a word (SIGKILL); the stack starts it again."""
    os.kill(_process(part), signal.SIGKILL)
    typer.echo(f"{part} was killed.")


@app.command()
def pause(part: _Part, seconds: Annotated[float, typer.Option(help="how long")] = 20.0) -> None:
    """Let a part hang: it keeps its connections and answers nothing."""
    number = _process(part)
    os.kill(number, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(number, signal.SIGCONT)
    typer.echo(f"{part} hung for {seconds:g} s.")


@app.command()
def slow(part: _Served, seconds: Annotated[float, typer.Option(help="by how much")] = 1.0, times: _Times = 0) -> None:
    """Let each answer take longer."""
    if part is Served.SERVICEBUS:
        _put(part, {"delay_deliveries": seconds, "delay_settlements": seconds})
    else:
        _post(part, {"effect": "slow", "seconds": seconds, "times": times or None})


@app.command()
def fail(part: _Served, status: Annotated[int, typer.Option(help="the HTTP status")] = 503, times: _Times = 10) -> None:
    """Refuse requests, or sends to a queue, as a service in trouble does."""
    if part is Served.SERVICEBUS:
        _put(part, {"refuse_sends": {"condition": "amqp:internal-error", "times": times or None}})
    else:
        _post(part, {"effect": "status", "status": status, "times": times or None})


@app.command()
def throttle(part: _Served, retry_after: Annotated[int, typer.Option(help="seconds")] = 5, times: _Times = 10) -> None:
    """Refuse requests because there were too many."""
    if part is Served.SERVICEBUS:
        _put(part, {"refuse_sends": {"condition": "com.microsoft:server-busy", "times": times or None}})
    else:
        rule = {"effect": "status", "status": 429, "code": "0x80072322", "message": "Number of requests exceeded."}
        _post(part, {**rule, "retry_after": str(retry_after), "times": times or None})


@app.command()
def cut(part: _Served, times: _Times = 3) -> None:
    """Carry requests out and lose the answers; of the broker, break every connection once."""
    if part is Served.SERVICEBUS:
        _put(part, {"break_connections": True})
    else:
        _post(part, {"effect": "lost_answer", "times": times or None})


@app.command()
def clear() -> None:
    """Lift all that was switched on."""
    for part in _running()["controls"]:
        _send("DELETE", Served(part))


@app.command()
def storm(
    seconds: Annotated[float, typer.Option(help="how long")] = 120.0,
    every: Annotated[float, typer.Option(help="seconds from one to the next")] = 10.0,
    seed: Annotated[int, typer.Option(help="the same seed kills the same parts")] = 0,
) -> None:
    """Kill a part at random, again and again."""
    dice, end = random.Random(seed), time.monotonic() + seconds  # noqa: S311 - nothing secret depends on it
    while time.monotonic() < end:
        kill(dice.choice(sorted(_running()["parts"])))
        time.sleep(every)


def _running() -> dict[str, dict[str, Any]]:
    found = [path for path in RUNS.glob(f"{_run}/{PARTS}") if alive(path.parent)]
    if not found:
        _refuse("The local stack does not run: start it with 'make up' in another terminal.")
    newest: Path = max(found, key=lambda path: path.stat().st_mtime_ns)
    known: dict[str, dict[str, Any]] = json.loads(newest.read_text(encoding="utf-8"))
    return known


def _process(part: str) -> int:
    parts = _running()["parts"]
    if part not in parts:
        _refuse(f"The stack has no part {part!r}. It has {', '.join(parts)}.")
    return int(parts[part])


def _put(part: Served, rule: dict[str, Any]) -> None:
    _send("PUT", part, rule)


def _post(part: Served, rule: dict[str, Any]) -> None:
    _send("POST", part, rule)


def _send(method: str, part: Served, rule: dict[str, Any] | None = None) -> None:
    url = _running()["controls"].get(part)
    if url is None:
        _refuse(f"The stack runs no {part} of its own, so that nothing can be switched there.")
    try:
        response = httpx.request(method, url, json=rule, trust_env=False, timeout=10)
    except httpx.HTTPError as error:
        _refuse(f"{part} does not answer at {url} ({type(error).__name__}). Try again when it runs.")
    if not response.is_success:
        _refuse(f"{part} refused the rule with {response.status_code}: {response.text[:300]}")
    typer.echo(f"{part}: {'nothing is switched on' if rule is None else rule}")


def _refuse(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
