"""The customer's mapping, edited as a person edits the file."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from shared.settings import DOCUMENT_MAPPING
from tests.attack.places import EDITED
from tests.simulation.tables import COLUMNS, SPARE

_STATE: Final = "SOLICITUD_INFORMACION = {{ state = 0, status = {} }}"
_CORRECTED: Final = (_STATE.format(2), _STATE.format(690970000))


@dataclass
class Rules:
    """What the file says now, as far as it was edited."""

    moved: dict[str, str] = field(default_factory=dict)
    unmapped: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    corrected: bool = False
    written: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Another type or scale, by field: what stood in its line, and what stands there now."""

    @property
    def columns(self) -> dict[str, dict[str, str]]:
        """The mapped fields' columns, by entity."""
        return {
            entity: {name: self.moved.get(name, COLUMNS[name]) for name in names if name not in self.unmapped}
            for entity, names in EDITED.items()
            if entity not in self.left_out
        }

    def text(self) -> str:
        """The file."""
        text = DOCUMENT_MAPPING.read_text(encoding="utf-8")
        for name, column in self.moved.items():
            text = _in_line(text, name, r'(?<= )column = "\w+"', f'column = "{column}"')
        for name, (old, new) in self.written.items():
            text = _in_line(text, name, re.escape(old), new)
        if self.corrected:
            text = text.replace(*_CORRECTED)
        for name in self.unmapped:
            text = re.sub(rf"^{name} = .*\n", "", text, flags=re.MULTILINE)
        for entity in self.left_out:
            tables = rf"^\[entities\.{entity}[].](?s:.*?)(?=^\[entities\.(?!{entity})|\Z)"
            text = re.sub(tables, "", text, flags=re.MULTILINE)
        return text


def _in_line(text: str, name: str, pattern: str, replacement: str) -> str:
    return re.sub(rf"^{name} = .*$", lambda line: re.sub(pattern, replacement, line[0]), text, flags=re.MULTILINE)


def _moved(rules: Rules) -> None:
    rules.moved["numero_de_serie"] = SPARE


def _moved_back(rules: Rules) -> None:
    del rules.moved["numero_de_serie"]


def _swapped(rules: Rules) -> None:
    one, other = "valor_adquisicion", "valor_libros"
    rules.moved |= {one: COLUMNS[other], other: COLUMNS[one]}


def _swapped_back(rules: Rules) -> None:
    rules.moved.clear()


def _unmapped(rules: Rules) -> None:
    rules.unmapped |= {"fecha_adquisicion", "total"}


def _mapped_again(rules: Rules) -> None:
    rules.unmapped.clear()


def _choices_corrected(rules: Rules) -> None:
    rules.corrected = True


def _retyped(rules: Rules) -> None:
    rules.written = {"valor_libros": ("scale = 2", "scale = 3"), "fecha_adquisicion": ('"date"', '"string"')}


def _orders_left_out(rules: Rules) -> None:
    rules.left_out.add("order")


def _orders_in_again(rules: Rules) -> None:
    rules.left_out.clear()


EDITS: Final[dict[str, Callable[[Rules], None]]] = {
    "a field moved to another column": _moved,
    "the field moved back": _moved_back,
    "two columns swapped": _swapped,
    "the columns swapped back": _swapped_back,
    "two fields not mapped": _unmapped,
    "both mapped again": _mapped_again,
    "a choice corrected": _choices_corrected,
    "another scale and another type": _retyped,
    "orders left out": _orders_left_out,
    "orders in again": _orders_in_again,
}
