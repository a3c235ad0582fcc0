"""Dynamics calls here. Authenticated by this function itself: see shared/domain/messages/webhook.py."""

import json
import logging
from http import HTTPStatus
from typing import Final

import azure.functions as func

from shared.domain.messages.webhook import Ignored, authentic
from shared.errors import InvalidMessage, SyncError
from shared.wiring import wiring

log = logging.getLogger(__name__)
blueprint = func.Blueprint()

LARGEST_BODY: Final = 1024 * 1024
# Every method, so that the refusal is ours and in JSON.
METHODS: Final = [func.HttpMethod(name) for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")]


@blueprint.function_name("webhook")
@blueprint.route("dynamics/webhook", methods=METHODS)
async def webhook(req: func.HttpRequest) -> func.HttpResponse:
    """Refuse in the order 405, 413, 403, 400; else enqueue (202), ignore (202) or ask to be called again (503)."""
    if req.method != "POST":
        return answer(HTTPStatus.METHOD_NOT_ALLOWED, {"error": "Method not allowed"}, {"Allow": "POST"})
    body = req.get_body()
    if len(body) > LARGEST_BODY:
        return answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "Body over 1 MiB"})
    try:
        settings = wiring.settings
        if not authentic(settings.webhook_secrets, body, req.headers, req.params, settings.dynamics_365_webhook_header):
            log.warning(
                "Refused a webhook of %d bytes: neither its signature nor its key is of a live secret", len(body)
            )
            return answer(HTTPStatus.FORBIDDEN, {"error": "Invalid signature"})
        accepted = await wiring.receiver.receive(body, traceparent=req.headers.get("traceparent"))
    except InvalidMessage as error:
        log.warning("Refused a webhook: %s", error.message)
        return answer(HTTPStatus.BAD_REQUEST, {"error": error.message})
    except SyncError as error:
        log.error("A webhook could not be taken: %s: %s", error.reason, error.message)  # noqa: TRY400  # no trace
        return try_again()
    except Exception:
        log.exception("A webhook met a fault of ours")
        return try_again()
    if isinstance(accepted, Ignored):
        return answer(HTTPStatus.ACCEPTED, {"status": "ignored"})
    return answer(HTTPStatus.ACCEPTED, {"status": "accepted", "id": accepted})


def try_again() -> func.HttpResponse:
    """503: Dataverse tries 502, 503 and 504 once more; what it then drops, the reconciliation finds."""
    return answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "Try again later"}, {"Retry-After": "30"})


def answer(status: HTTPStatus, body: dict[str, str], headers: dict[str, str] | None = None) -> func.HttpResponse:
    """A JSON response."""
    return func.HttpResponse(json.dumps(body), status_code=status, headers=headers, mimetype="application/json")
