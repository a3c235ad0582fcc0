"""A webhook notification becomes one message on the entity's queue."""

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID, uuid4

from shared import telemetry
from shared.domain.messages.events import Event
from shared.domain.messages.queues import OF_ENTITY
from shared.domain.messages.webhook import Ignored, Notification, parse_notification
from shared.domain.schema.mapping import Mapping
from shared.errors import InvalidMessage
from shared.flows.ports.engine import Bus, Clock, Outgoing

log = logging.getLogger(__name__)

_TRACE: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")

type OrganizationId = Callable[[], Awaitable[UUID]]


class Receiver:
    """Takes authenticated bodies. `organization_id` gives our own, from the settings or from WhoAmI."""

    def __init__(self, mapping: Mapping, bus: Bus, organization_id: OrganizationId, clock: Clock) -> None:
        self._mapping = mapping
        self._bus = bus
        self._organization_id = organization_id
        self._clock = clock

    async def receive(self, body: bytes, *, traceparent: str | None = None) -> str | Ignored:
        """Publish what the body announces; answers the message's id, or what was ignored.

        Raises:
            InvalidMessage: The body is not a notification, or comes from another organization.
            Unavailable: The queue, or Dynamics while asking for our organization, cannot be reached.
        """
        found = parse_notification(body, self._mapping)
        await self._same_organization(found.organization_id)
        if isinstance(found, Ignored):
            if found.mapped:
                log.warning(
                    "Ignored a webhook of %s: the table is mapped, but only creates, updates and deletes are followed,"
                    " and 'ops provision' registers no other message. Remove that step or flow in Dynamics.",
                    found.what,
                )
            else:
                log.info("Ignored a webhook of %s: the mapping does not hold it", found.what)
            return found
        queue = OF_ENTITY[found.entity.name].name
        with telemetry.publishing(queue, traceparent) as cause:
            event = self._event(found, cause)
            await self._bus.send(queue, [Outgoing(event.to_json(), message_id=event.id, subject=event.subject)])
        log.debug("Accepted a webhook: %s of %s as %s", found.data.reason, found.entity.name, event.id)
        return event.id

    async def _same_organization(self, said: UUID | None) -> None:
        # A sandbox copied from production may keep calling the production address.
        if said is not None and said != await self._organization_id():
            raise InvalidMessage(
                f"OrganizationId is {said}, which is not the organization that we serve: remove the webhook there, or"
                " point it at its own integration."
            )

    def _event(self, found: Notification, traceparent: str | None) -> Event:
        now = self._clock.now()
        source = f"/dynamics-365/{found.organization_id}" if found.organization_id else "/dynamics-365"
        return Event(
            # An identity for duplicate detection only where Dataverse gave one: see domain/webhook.
            id=found.message_id or str(uuid4()),
            source=source,
            type=f"sync.{found.entity.name}.dirty",
            subject=found.data.key,
            time=found.occurred_at or now,
            firstenqueued=now,
            traceparent=traceparent if traceparent and _TRACE.match(traceparent) else None,
            data=found.data.model_dump(mode="json", exclude_none=True),
        )
