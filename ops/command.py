"""A command: a coroutine that gets a session, under the options that every command has."""

import inspect
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any, Concatenate, Final

from ops.session import Json, Local, Session, SettingsFile, Verbose

_COMMON: Final = [
    inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)
    for name, default, annotation in (
        ("local", False, Local),
        ("settings", None, SettingsFile),
        ("as_json", False, Json),
        ("verbose", False, Verbose),
    )
]


def command[**P](main: Callable[Concatenate[Session, P], Awaitable[int]]) -> Callable[..., None]:
    """Make a function for Typer of a coroutine.

    Args:
        main: Gets the session and its own options, and gives the exit code.

    Returns:
        A function with the coroutine's own options, and behind them `--local`, `--settings`, `--json` and `--verbose`.
    """
    own = list(inspect.signature(main, eval_str=True).parameters.values())[1:]

    @wraps(main)
    def run(**options: Any) -> None:
        common = {each.name: options.pop(each.name) for each in _COMMON}
        session = Session(common["local"], common["as_json"], common["verbose"], common["settings"])
        session.run(partial(_called, main, options))

    run.__signature__ = inspect.Signature([*own, *_COMMON])  # type: ignore[attr-defined]  # what Typer reads
    return run


async def _called(main: Callable[..., Awaitable[int]], options: dict[str, Any], session: Session) -> int:
    return await main(session, **options)
