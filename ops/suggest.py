"""A name that exists nowhere is a mistake: say so, with the nearest ones that exist."""

from collections.abc import Collection
from difflib import get_close_matches

from ops.session import UsageError


def known(what: str, name: str | None, names: Collection[str]) -> None:
    """Make sure that a name, where one is given, is one of those that exist; `what` is its kind, such as `reason`.

    Raises:
        UsageError: It is not; the message names the nearest one, or all of them.
    """
    if name is None or name in names:
        return
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(names))}."
    raise UsageError(f"There is no {what} {name!r}: {hint}")
