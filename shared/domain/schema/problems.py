"""What is wrong with a mapping file, in sentences: where, what, and the name that was probably meant. Pure, no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

type Place = tuple[int | str, ...]


def sentences(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """One line for each fault, such as `entities.asset.fields.nombre: there is no 'lenght': did you mean 'length'?`.

    `root` is the model that was validated: its fields are the names that exist.
    """
    return [f"{_named(one['loc'])}: {_sentence(one, root)}" for one in error.errors()]


def _named(place: Place) -> str:
    return ".".join(str(part) for part in place) or "file"


def _sentence(one: Mapping[str, Any], root: type[BaseModel]) -> str:
    given = one.get("input")
    context = one.get("ctx") or {}
    match one["type"]:
        case "extra_forbidden":
            name = str(one["loc"][-1])
            return f"there is no {name!r} here{meant(name, _names_at(root, one['loc'][:-1]))}"
        case "missing":
            return "is missing, and needed"
        case "literal_error":
            expected = str(context.get("expected", ""))
            options = [part.strip("' ") for part in expected.replace(" or ", ",").split(",")]
            return f"must be {expected}, not {_shown(given)}{meant(str(given), options, every=False)}"
        case "string_type":
            return f"must be text in quotation marks, not {_shown(given)}"
        case "int_type" | "int_parsing" | "int_from_float":
            return f"must be a whole number, not {_shown(given)}"
        case "bool_type" | "bool_parsing":
            return f"must be true or false, not {_shown(given)}"
        case "dict_type" | "model_type" | "model_attributes_type":
            return f"must be a table such as {{ ... }}, not {_shown(given)}"
        case _:
            return str(one["msg"]).removeprefix("Value error, ")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004  # enough to know it again


def meant(name: str, names: Sequence[str], *, every: bool = True) -> str:
    """The end of a sentence about a name that does not exist: the nearest one, or with `every` all that there are."""
    near = get_close_matches(name.lower(), names, n=1)
    if near and near[0] != name:
        return f": did you mean {near[0]!r}?"
    return f": there are {', '.join(sorted(names))}" if every and names else ""


def _names_at(root: type[BaseModel], place: Place) -> list[str]:
    """The names that a table of the file may have."""
    current: type[BaseModel] | None = root
    parts = list(place)
    while parts and current is not None:
        field = current.model_fields.get(str(parts.pop(0)))
        if field is None:
            return []
        current = next(_models(field.annotation), None)
        if get_origin(field.annotation) is dict and parts:
            parts.pop(0)  # a table of named things: the name is the customer's
    if current is None:
        return []
    # A thing's own name is the table's key in the file.
    return [name for name, field in current.model_fields.items() if name != "name" or field.is_required()]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that an annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
