"""Whether this worker could do its job: its settings and its mapping are readable. Calls nobody."""

import json
import logging
from http import HTTPStatus

import azure.functions as func

from shared.errors import ConfigurationError
from shared.wiring import wiring

log = logging.getLogger(__name__)
blueprint = func.Blueprint()


@blueprint.function_name("health")
@blueprint.route("health", methods=[func.HttpMethod.GET])
async def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001  # the host passes it by name
    """200 with the mode and the mapped entities, or 503 with what is misconfigured."""
    try:
        mode = "two-way" if wiring.settings.cmms_base_url else "one-way"
        body = {"status": "ok", "mode": mode, "entities": sorted(wiring.mapping.entities)}
        status = HTTPStatus.OK
    except ConfigurationError as error:
        # Anybody may ask: what is wrong is for the log.
        log.error("Misconfigured: %s", error.message)  # noqa: TRY400  # no trace
        body = {"status": "misconfigured"}
        status = HTTPStatus.SERVICE_UNAVAILABLE
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/json")
