"""The mapping file as an administrator edits it, from one start of the functions to the next."""

import re
from functools import cache
from pathlib import Path

import shared
from shared.domain.schema.mapping import Mapping, parse_mapping
from tests.simulation.rules import FIRST, SECOND, Rules
from tests.simulation.tables import ALL_COLUMNS, CORRECTED, CURRENCY, REFERRING

_STAMP = 'stamp = "cmms_operation"\n'
RETYPED = {"valor_libros": ("scale = 2", "scale = 3"), "fecha_adquisicion": ('type = "date"', 'type = "string"')}
"""Another scale and another type, by field, which change no value."""
_LOOKUP = (
    'numero_de_serie = {{ column = "{numero_de_serie}", type = "lookup", targets = ['
    '{{ table = "account", set = "accounts", id = "accountid", key = "accountnumber", bind = "{numero_de_serie}" }}, '
    '{{ table = "msdyn_customerasset", set = "msdyn_customerassets", id = "msdyn_customerassetid",'
    ' key = "msdyn_assetnumber", bind = "msdyn_parentasset_msdyn_customerasset" }}] }}'
)
"""The second table is one of the mapping, so that a row which is not there is waited for."""


@cache
def _document() -> str:
    return (Path(shared.__file__).parent / "mappings" / "document.toml").read_text(encoding="utf-8")


@cache
def _parsed(text: str) -> Mapping:
    return parse_mapping(text, "document.toml")


def document() -> Mapping:
    """The customer's mapping."""
    return _parsed(_document())


def edited(rules: Rules) -> Mapping:
    """The customer's mapping with the columns and choices that the rules have now, and without what is not mapped."""
    text = _document()
    for name, column in rules.columns.items():
        if column != ALL_COLUMNS[name]:
            text = re.sub(rf'^({name} = .*column = )"\w+"', rf'\1"{column}"', text, flags=re.MULTILINE)
    if rules.choices is SECOND:
        for name, status in CORRECTED.items():
            before = FIRST.to_status[name]
            text = text.replace(
                f"{name} = {{ state = 0, status = {before} }}", f"{name} = {{ state = 0, status = {status} }}"
            )
    if rules.referred is not None:
        text = re.sub(rf"^{REFERRING} = .*", _LOOKUP.format(**rules.columns), text, flags=re.MULTILINE)
    if rules.currency:
        text = text.replace(_STAMP, f'{_STAMP}currency = "{CURRENCY}"\n', 1)
    for name in rules.retyped:
        text = re.sub(rf"^({name} = .*){RETYPED[name][0]}", rf"\1{RETYPED[name][1]}", text, flags=re.MULTILINE)
    if not rules.orders:
        text = text[: text.index("[entities.order]")]
    for name in rules.unmapped:
        text = re.sub(rf"^{name} = .*\n", "", text, flags=re.MULTILINE)
    return _parsed(text)
