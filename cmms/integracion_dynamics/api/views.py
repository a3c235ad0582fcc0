"""The integration API's endpoints: parse, one call, answer."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import got_request_exception
from django.db import InterfaceError, InternalError, OperationalError, connections, router, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import translation
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from integracion_dynamics import observed
from integracion_dynamics.config import current
from integracion_dynamics.fields import UnusableValueError, parse_instant
from integracion_dynamics.health import LATE, examine
from integracion_dynamics.models import Mensaje

from . import listing, writing
from .auth import act_as_service_user, authenticate, language
from .body import read_fields, read_object
from .errors import ApiError, busy, failed, invalid_parameter, malformed, misconfigured, not_found
from .parameters import WHOLE, asked, operation_id, page_limit, read_query
from .records import Record, find_one

logger = logging.getLogger("integracion_dynamics.api")
MAX_IN_BODY = 5000


def _open_to_machines(dispatch: Any) -> Any:
    """Requests sign in by token: no CSRF check, no login page, no cache; each write has a transaction of its own."""
    dispatch.login_required = False  # what Django's LoginRequiredMiddleware asks of a view
    for alias in connections:
        dispatch = transaction.non_atomic_requests(alias)(dispatch)
    return csrf_exempt(never_cache(dispatch))


@method_decorator(_open_to_machines, name="dispatch")
class ApiView(View):
    """What all endpoints share: sign-in first, then the entity, then the method; every error is JSON."""

    entity: Any = None  # an Entity, once the address has named one

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Serve the request; messages are English unless Accept-Language asks for Spanish."""
        begin = time.monotonic()
        with translation.override(language(request)):
            answer = self._answer(request, *args, **kwargs)
        observed.answered.send_robust(
            ApiView,
            entity=self.entity.name if self.entity else "",
            method=request.method,
            status=answer.status_code,
            seconds=time.monotonic() - begin,
        )
        return answer

    def _answer(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return self.served(request, *args, **kwargs)
        except ApiError as error:
            refusal = error
        except (OperationalError, InterfaceError, InternalError) as error:
            logger.warning("The database does not serve the integration API: %s", error)
            refusal = busy()
        except ImproperlyConfigured:
            logger.exception("The setting INTEGRACION_DYNAMICS is faulty.")
            refusal = misconfigured()
        except Exception:
            got_request_exception.send(sender=type(self), request=request)
            logger.exception("The integration API failed.")
            refusal = failed()
        return JsonResponse(refusal.as_json(), status=refusal.status, headers=refusal.headers)

    def served(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Sign in, find the entity, and let the method's handler answer."""
        authenticate(request)
        name = kwargs.pop("entidad")
        known = current().entities
        if name not in known:
            raise not_found(_("No such entity; known are: %(known)s.") % {"known": ", ".join(known)})
        self.entity = known[name]
        if request.method in {"POST", "PATCH"}:
            act_as_service_user(request)
        return super().dispatch(request, *args, **kwargs)

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse with the methods that the endpoint has."""
        served = [name for name in self.http_method_names if name != "options" and hasattr(self, name)]
        allowed = ", ".join(served).upper()
        message = _("Use one of: %(methods)s.") % {"methods": allowed}
        raise ApiError(405, "metodo_no_permitido", message, headers={"Allow": allowed})

    options = http_method_not_allowed


class CollectionView(ApiView):
    """`/integracion/<entidad>/`."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """A list: of given ids or keys, of what changed since an instant, or of everything."""
        query = read_query(request)
        limit = page_limit(query)
        for name, read in (("id", listing.by_ids), ("clave", listing.by_keys)):
            if name in query:
                return JsonResponse(read(self.entity, asked(query, name)))
        cursor = query.get("cursor", "")
        if "modificado_desde" in query:
            try:
                since = parse_instant(str(query["modificado_desde"]))
            except UnusableValueError as error:
                raise invalid_parameter(
                    "modificado_desde", _("%(reason)s, with + written as %%2B.") % {"reason": error}
                ) from None
            return JsonResponse(listing.changed_since(self.entity, since, cursor, limit))
        return JsonResponse(listing.everything(self.entity, cursor, limit))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Create a record."""
        return _answer(writing.create(self.entity, read_fields(request), operation_id(request)), status=201)


class RecordView(ApiView):
    """`/integracion/<entidad>/<id>/`."""

    def get(self, request: HttpRequest, **address: str) -> HttpResponse:
        """One record."""
        record = find_one(self.entity, address["id"])
        if record is None:
            raise not_found(_("No record has the id %(id)r.") % {"id": address["id"]})
        return _answer(record)

    def patch(self, request: HttpRequest, **address: str) -> HttpResponse:
        """Write some fields of a record."""
        fields = read_fields(request)
        if_match = request.headers.get("If-Match", "")
        return _answer(writing.update(self.entity, address["id"], fields, if_match, operation_id(request)))


class QueryView(RecordView):
    """`/integracion/<entidad>/consulta/`: by POST a list of ids or keys, otherwise the record with this id."""

    def post(self, request: HttpRequest, **address: str) -> HttpResponse:
        """The records and tombstones with the `{"ids": [...]}`, or the records that hold these `claves`."""
        body = read_object(request, {"claves", "ids"})
        name, wanted = next(iter(body.items()), ("", None))
        if len(body) != 1 or not isinstance(wanted, list) or not all(isinstance(one, str) for one in wanted):
            raise malformed(_('The body must be {"ids": ["...", "..."]} or {"claves": ["...", "..."]}.'))
        if len(wanted) > MAX_IN_BODY:
            raise malformed(_("At most %(most)d at a time: divide the list.") % {"most": MAX_IN_BODY})
        read = listing.by_keys if name == "claves" else listing.by_ids
        return JsonResponse(read(self.entity, wanted))


class HealthView(ApiView):
    """`/integracion/salud/`."""

    def served(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Sign in; there is no entity."""
        authenticate(request)
        return View.dispatch(self, request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        """How the outbox is: 200, or 503 when messages are late or skipped."""
        given = request.GET.get("atraso", f"{LATE:g}")
        if not WHOLE.fullmatch(given):
            raise invalid_parameter("atraso", _("use a whole number of seconds from 1."))
        health = examine(router.db_for_write(Mensaje))
        return JsonResponse(health.as_json(float(given)), status=200 if health.well(float(given)) else 503)


class UnknownView(ApiView):
    """Every other address under the API, so that Django's redirect to a trailing slash never loses a body."""

    def served(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Refuse."""
        authenticate(request)
        raise not_found(_("No such address: it is <entidad>/ or <entidad>/<id>/, with the slash at the end."))


def _answer(record: Record, status: int = 200) -> JsonResponse:
    return JsonResponse(record.as_json(), status=status, headers={"ETag": record.etag})
