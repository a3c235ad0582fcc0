"""What is wrong with a mapping file, in sentences: where, what, and the name that was probably meant. Pure, no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from re import findall
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel, ValidationError

type Place = tuple[int | str, ...]

_WHOLE: Final = "a whole number"
_FLAG: Final = "true or false"
_TABLE: Final = "a table such as { ... }"
_EXPECTED: Final = {
    "string_type": "text in quotation marks",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "bool_type": _FLAG,
    "bool_parsing": _FLAG,
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
}
"""What a value must be, by pydantic's name of the fault."""


def sentences(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """One line for each fault, such as `entities.asset.fields.nombre: there is no 'lenght': did you mean 'length'?`.

    `root` is the model that was validated: its fields are the names that exist.
    """
    return [f"{_named(one['loc'])}: {_sentence(one, root)}" for one in error.errors()]


def _named(place: Place) -> str:
    return ".".join(str(part) for part in place) or "file"


def _sentence(one: Mapping[str, Any], root: type[BaseModel]) -> str:
    given = one["input"]
    match one["type"]:
        case "extra_forbidden":
            name = str(one["loc"][-1])
            return f"there is no {name!r} here{meant(name, _names_at(root, one['loc'][:-1]))}"
        case "missing":
            return "is missing, and needed"
        case "literal_error":
            expected = one["ctx"]["expected"]
            return f"must be {expected}, not {_shown(given)}{_nearest(str(given), findall("'(.*?)'", expected))}"
        case fault if fault in _EXPECTED:
            return f"must be {_EXPECTED[fault]}, not {_shown(given)}"
        case _:
            return str(one["msg"]).removeprefix("Value error, ")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004  # enough to know it again


def meant(name: str, names: Sequence[str]) -> str:
    """The end of a sentence about a name that does not exist: the nearest one, or all that there are."""
    return _nearest(name, names) or f": there are {', '.join(sorted(names))}"


def _nearest(name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name.lower(), names, n=1)
    return f": did you mean {near[0]!r}?" if near else ""


def _names_at(root: type[BaseModel], place: Place) -> list[str]:
    """The names that a table of the file may have."""
    if not place:
        # A thing's own name is the table's key in the file.
        return [name for name, field in root.model_fields.items() if name != "name" or field.is_required()]
    annotation = root.model_fields[str(place[0])].annotation
    # In a table or a list of things their own name or number comes next.
    inner = place[2:] if get_origin(annotation) in {dict, tuple} else place[1:]
    return _names_at(next(_models(annotation)), inner)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that an annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
