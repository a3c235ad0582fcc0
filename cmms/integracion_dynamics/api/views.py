"""The integration API's endpoints: parse, one call, answer."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import TooManyFieldsSent
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from integracion_dynamics.config import current
from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import UnusableValueError, parse_instant

from . import listing, writing
from .auth import authenticate
from .body import read_fields, read_object
from .errors import ApiError, invalid_parameter, malformed, not_found
from .records import Record, find_one

MAX_IN_ADDRESS = 500
MAX_IN_BODY = 5000
_OPERATION = re.compile(r"[!-~]{1,100}")
_LIMIT = re.compile(r"[1-9]\d{0,8}", re.ASCII)


@method_decorator(csrf_exempt, name="dispatch")
class ApiView(View):
    """What all endpoints share: sign-in first, then the entity, then the method; every error is JSON."""

    entity: Entity

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Serve the request; messages are English whatever the host's language."""
        with translation.override("en"):
            try:
                authenticate(request)
                self.entity = _entity(kwargs.pop("entidad", None))
                return super().dispatch(request, *args, **kwargs)
            except ApiError as error:
                return JsonResponse(error.as_json(), status=error.status, headers=error.headers)
            except (OperationalError, InterfaceError):
                busy = ApiError(503, "base_no_disponible", "The CMMS's database is busy or away: try again.")
                return JsonResponse(busy.as_json(), status=busy.status, headers={"Retry-After": "5"})

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse with the methods that the endpoint has."""
        served = [name for name in self.http_method_names if name != "options" and hasattr(self, name)]
        allowed = ", ".join(served).upper()
        raise ApiError(405, "metodo_no_permitido", f"Use one of: {allowed}.", headers={"Allow": allowed})

    options = http_method_not_allowed


class CollectionView(ApiView):
    """`/integracion/<entidad>/`."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """A list: of given ids or keys, of what changed since an instant, or of everything."""
        query = _query(request)
        limit = _limit(query)
        for name, read in (("id", listing.by_ids), ("clave", listing.by_keys)):
            if name in query:
                return JsonResponse(read(self.entity, _asked(query, name)))
        cursor = query.get("cursor", "")
        if "modificado_desde" in query:
            try:
                since = parse_instant(str(query["modificado_desde"]))
            except UnusableValueError as error:
                raise invalid_parameter("modificado_desde", f"{error}, with + written as %2B.") from None
            return JsonResponse(listing.changed_since(self.entity, since, cursor, limit))
        return JsonResponse(listing.everything(self.entity, cursor, limit))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Create a record."""
        return _answer(writing.create(self.entity, read_fields(request), _operation(request)), status=201)


class RecordView(ApiView):
    """`/integracion/<entidad>/<id>/`."""

    def get(self, request: HttpRequest, **address: str) -> HttpResponse:
        """One record."""
        record = find_one(self.entity, address["id"])
        if record is None:
            raise not_found(f"No record has the id {address['id']!r}.")
        return _answer(record)

    def patch(self, request: HttpRequest, **address: str) -> HttpResponse:
        """Write some fields of a record."""
        fields = read_fields(request)
        if_match = request.headers.get("If-Match", "")
        return _answer(writing.update(self.entity, address["id"], fields, if_match, _operation(request)))


class QueryView(RecordView):
    """`/integracion/<entidad>/consulta/`: by POST a list of ids or keys, otherwise the record with this id."""

    def post(self, request: HttpRequest, **_: str) -> HttpResponse:
        """The records and tombstones with the `{"ids": [...]}`, or the records that hold these `claves`."""
        body = read_object(request, {"claves", "ids"})
        name, wanted = next(iter(body.items()), ("", None))
        if len(body) != 1 or not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
            raise malformed('The body must be {"ids": ["...", "..."]} or {"claves": ["...", "..."]}.')
        if len(wanted) > MAX_IN_BODY:
            raise malformed(f"At most {MAX_IN_BODY} at a time: divide the list.")
        read = listing.by_keys if name == "claves" else listing.by_ids
        return JsonResponse(read(self.entity, wanted))


class UnknownView(ApiView):
    """Every other address under the API, so that Django's redirect to a trailing slash never loses a body."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Refuse."""
        try:
            authenticate(request)
            raise not_found("No such address: it is <entidad>/ or <entidad>/<id>/, with the slash at the end.")
        except ApiError as error:
            return JsonResponse(error.as_json(), status=error.status, headers=error.headers)


def _entity(name: str | None) -> Entity:
    entities = current().entities
    if name is None or name not in entities:
        raise not_found(f"No such entity; known are: {', '.join(entities)}.")
    return entities[name]


def _query(request: HttpRequest) -> QueryDict:
    try:
        query = request.GET
    except TooManyFieldsSent:
        raise invalid_parameter("id", "too many parameters; POST long lists to consulta/.") from None
    known = {"clave", "cursor", "id", "limite", "modificado_desde"}
    if unknown := query.keys() - known:
        raise invalid_parameter(min(unknown)[:50], f"is not known; known are: {', '.join(sorted(known))}.")
    if "id" in query and "clave" in query:
        raise invalid_parameter("clave", "ask for ids or for keys, not for both.")
    return query


def _asked(query: QueryDict, name: str) -> list[str]:
    asked: list[str] = query.getlist(name)
    if len(asked) > MAX_IN_ADDRESS:
        raise invalid_parameter(name, f"at most {MAX_IN_ADDRESS}; POST longer lists to consulta/.")
    return asked


def _operation(request: HttpRequest) -> str:
    name: str = request.headers.get("Operation-Id", "")
    if name and not _OPERATION.fullmatch(name):
        raise invalid_parameter("Operation-Id", "use up to 100 visible ASCII characters.")
    return name


def _limit(query: QueryDict) -> int:
    longest = current().page_limit
    given = query.get("limite", str(longest))
    if not _LIMIT.fullmatch(given):
        raise invalid_parameter("limite", f"use a whole number from 1; pages hold at most {longest}.")
    return min(int(given), longest)


def _answer(record: Record, status: int = 200) -> JsonResponse:
    return JsonResponse(record.as_json(), status=status, headers={"ETag": record.etag})
