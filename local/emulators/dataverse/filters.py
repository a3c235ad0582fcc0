"""`$filter`: parsed by odata-query, evaluated over stored rows.

Logic is SQL's: a comparison with an empty value is neither true nor false, except that `ne` also finds empty
values (as the service's queries do). Texts compare as the table's collation says.
"""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.filtertext import lists_to_parentheses, with_aliases
from local.emulators.dataverse.rows import TableRows
from local.emulators.dataverse.schema import Column, ColumnType
from local.emulators.dataverse.values import Value, parse_text

type Predicate = Callable[[Mapping[str, Value]], bool | None]

_ORDER: dict[type[Any], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MIRRORED: dict[type[Any], type[Any]] = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}
_TEXT_TYPES = {ColumnType.STRING, ColumnType.MEMO}
_NUMBER_TYPES = {
    ColumnType.MONEY,
    ColumnType.DECIMAL,
    ColumnType.INTEGER,
    ColumnType.BIGINT,
    ColumnType.PICKLIST,
    ColumnType.STATE,
    ColumnType.STATUS,
}


def compile_filter(text: str, rows: TableRows, aliases: Mapping[str, str]) -> Predicate:
    """Compile a filter into a function of a row's values; `aliases` are the query's `@name` parameters.

    Raises:
        DataverseError: SYNTAX, UNKNOWN_COLUMN_IN_QUERY.

    """
    try:
        tree = ODataParser().parse(ODataLexer().tokenize(lists_to_parentheses(with_aliases(text, aliases))))
    except (ODataException, RecursionError) as error:
        raise Refusal.SYNTAX(detail=f"The $filter cannot be read: {error}") from None
    if tree is None:
        raise Refusal.SYNTAX(detail="The $filter is empty.")
    return _Compiler(rows).predicate(tree)


class _Compiler:
    def __init__(self, rows: TableRows) -> None:
        self._table = rows.table
        self._collation = rows.collation

    def predicate(self, node: Any) -> Predicate:
        match node:
            case ast.BoolOp(op=op):
                terms = [self.predicate(term) for term in _terms(node, type(op))]
                return _all_of(terms) if isinstance(op, ast.And) else _any_of(terms)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _negated(self.predicate(operand))
            case ast.Compare(comparator=comparator, left=left, right=right):
                return self._comparison(type(comparator), left, right)
            case ast.Call(func=func, args=args):
                return self._call(_full_name(func), args)
        raise Refusal.SYNTAX(detail="The $filter must be a condition.")

    def _comparison(self, comparator: type[Any], left: Any, right: Any) -> Predicate:
        if not isinstance(left, ast.Identifier):
            left, right, comparator = right, left, _MIRRORED.get(comparator, comparator)
        if not isinstance(left, ast.Identifier):
            raise Refusal.SYNTAX(detail="A comparison in the $filter needs a column on one side.")
        column = self._column(left)
        name = column.name
        wanted = self._literal(column, right)
        if comparator is ast.Eq:
            if wanted is None:
                return lambda values: values[name] is None
            return lambda values: None if values[name] is None else self._comparable(values[name]) == wanted
        if comparator is ast.NotEq:
            return lambda values: self._comparable(values[name]) != wanted
        compare = _ORDER.get(comparator)
        if compare is None:
            raise Refusal.NOT_SUPPORTED(what=f"The operator {comparator.__name__} of the $filter")
        if wanted is None:
            raise Refusal.SYNTAX(detail=f"'{name}' cannot be ordered against null.")
        return lambda values: None if values[name] is None else compare(self._comparable(values[name]), wanted)

    def _call(self, function: str, args: list[Any]) -> Predicate:
        match function, args:
            case (
                ("contains" | "startswith" | "endswith"),
                [ast.Identifier() as owner, ast.String(val=text)],
            ):
                return self._text_test(function, self._column(owner), self._collation.part(text))
            case "Microsoft.Dynamics.CRM.In", [ast.NamedParam() as first, ast.NamedParam() as second]:
                named = {first.name.name: first.param, second.name.name: second.param}
                return self._in(named.get("PropertyName"), named.get("PropertyValues"))
        raise Refusal.NOT_SUPPORTED(what=f"The function {function} with these arguments in the $filter")

    def _text_test(self, function: str, column: Column, part: str) -> Predicate:
        if column.type not in _TEXT_TYPES:
            raise Refusal.SYNTAX(detail=f"{function} needs a text column, and '{column.name}' is none.")
        name = column.name
        tests: dict[str, Callable[[str, str], bool]] = {
            "contains": operator.contains,
            "startswith": str.startswith,
            "endswith": str.endswith,
        }
        test = tests[function]

        def matches(values: Mapping[str, Value]) -> bool | None:
            value = values[name]
            return test(self._collation.part(value), part) if isinstance(value, str) else None

        return matches

    def _in(self, property_name: Any, property_values: Any) -> Predicate:
        if not isinstance(property_name, ast.String) or not isinstance(property_values, ast.List):
            raise Refusal.SYNTAX(detail="In needs PropertyName='column' and PropertyValues=['a','b'].")
        column = self._column(ast.Identifier(property_name.val))
        name = column.name
        # The service takes every value of the list as text, whatever the column's type.
        wanted = {self._from_text(column, literal) for literal in property_values.val}
        return lambda values: None if values[name] is None else self._comparable(values[name]) in wanted

    def _from_text(self, column: Column, literal: Any) -> Value:
        if isinstance(literal, ast.String) and column.type not in _TEXT_TYPES:
            text = literal.val
            if column.type in _NUMBER_TYPES:
                literal = ast.Float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII) else literal
            else:
                parsed = parse_text(column.type, text)
                if parsed is not None:
                    return parsed
        return self._literal(column, literal)

    def _literal(self, column: Column, node: Any) -> Value:
        match node:
            case ast.Null():
                return None
            case ast.String(val=text) if column.type in _TEXT_TYPES:
                return self._collation.whole(text)
            case ast.Integer() | ast.Float() if column.type in _NUMBER_TYPES:
                return Decimal(node.val)
            case ast.Boolean() if column.type is ColumnType.BOOLEAN:
                return node.val.lower() == "true"
            case ast.GUID(val=text) if column.type in {ColumnType.LOOKUP, ColumnType.UNIQUEIDENTIFIER}:
                return UUID(text)
            case ast.Date(val=text) | ast.DateTime(val=text):
                text = f"{text}T00:00:00Z" if column.type is ColumnType.DATETIME and "T" not in text else text
                parsed = parse_text(column.type, text)
                if isinstance(parsed, date | datetime):
                    return parsed
        raise Refusal.SYNTAX(
            detail=f"The literal for '{column.wire_name}' does not have the column's type {column.type}."
        )

    def _comparable(self, value: Value) -> Any:
        return self._collation.whole(value) if isinstance(value, str) else value

    def _column(self, identifier: ast.Identifier) -> Column:
        name = _full_name(identifier)
        column = self._table.by_wire_name(name)
        if column is None:
            raise Refusal.UNKNOWN_COLUMN_IN_QUERY(column=name, table=self._table.name)
        return column


def _full_name(identifier: ast.Identifier) -> str:
    return ".".join((*identifier.namespace, identifier.name))


def _terms(node: ast.BoolOp, op: type[Any]) -> list[Any]:
    """Flatten a chain of one operator: the parser nests it to the left, maybe deeper than the stack."""
    terms: list[Any] = []
    left: Any = node
    while isinstance(left, ast.BoolOp) and isinstance(left.op, op):
        terms.append(left.right)
        left = left.left
    return [left, *reversed(terms)]


def _all_of(terms: list[Predicate]) -> Predicate:
    def evaluate(values: Mapping[str, Value]) -> bool | None:
        result: bool | None = True
        for term in terms:
            one = term(values)
            if one is False:
                return False
            if one is None:
                result = None
        return result

    return evaluate


def _any_of(terms: list[Predicate]) -> Predicate:
    def evaluate(values: Mapping[str, Value]) -> bool | None:
        result: bool | None = False
        for term in terms:
            one = term(values)
            if one:
                return True
            if one is None:
                result = None
        return result

    return evaluate


def _negated(inner: Predicate) -> Predicate:
    def evaluate(values: Mapping[str, Value]) -> bool | None:
        result = inner(values)
        return None if result is None else not result

    return evaluate
