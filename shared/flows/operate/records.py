"""Which records an operator means: by business key, as people name them."""

from collections.abc import Mapping, Sequence

from shared.domain.link import Identity
from shared.domain.messages.events import DirtyData, Event
from shared.domain.schema.mapping import EntityMapping
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.sync.deliveries import Delivery
from shared.flows.sync.reads import Reads
from shared.flows.sync.resolve import resolve


async def named_by_key(
    entity: EntityMapping, keys: Sequence[str], ledger: Ledger, dynamics: Dynamics, cmms: Cmms | None
) -> Mapping[Identity, str]:
    """Find records as the engine would find them for messages that only have a key.

    Returns:
        The keys by identity, in the order of the keys; a key that neither side has stands for itself.

    Raises:
        TransientError: A side or the ledger could not be read.
    """
    deliveries = [
        Delivery(
            place, b"", Event(source="/ops", type=f"sync.{entity.name}.dirty", data={}), DirtyData(key=key), key=key
        )
        for place, key in enumerate(dict.fromkeys(keys))
    ]
    resolved = await resolve(deliveries, Reads(entity, ledger, dynamics, cmms))
    found = {one.place: work.identity for work in resolved.open for one in work.deliveries}
    return {found.get(one.place, Identity("key", str(one.key))): str(one.key) for one in deliveries}
