"""The ledger's contract as a dictionary, and steps to try a real one against it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from shared.domain.link import Identity, Link, Stored
from tests.ledger.store import by_key, changed, cmms, fresh, row, with_identities

EVERYBODY = (*map(cmms, "123"), *map(row, "123"), *map(by_key, "12"))
_OPTIONS = [[None, *(one for one in EVERYBODY if one.kind == kind)] for kind in ("cmms", "row", "key")]
# Every choice of at most one identity of a kind, the simplest first.
CHOICES = sorted((tuple(one for one in each if one is not None) for each in product(*_OPTIONS)), key=len)[1:]


@dataclass
class Model:
    """What the ledger must hold: every link by its current etag."""

    links: dict[str, Link] = field(default_factory=dict)

    @property
    def found(self) -> dict[Identity, Stored]:
        """What is found by each identity."""
        return {
            identity: Stored(link=link, etag=etag) for etag, link in self.links.items() for identity in link.identities
        }

    def can(self, stored: Stored) -> bool:
        """Whether a write must succeed."""
        others = {etag: link for etag, link in self.links.items() if etag != stored.etag}
        taken = {identity for link in others.values() for identity in link.identities}
        return (stored.etag is None or stored.etag in self.links) and not taken & set(stored.link.identities)

    def write(self, links: Sequence[Stored], results: Sequence[object]) -> None:
        """Follow one call, whose results must be those that the contract says."""
        for stored, result in zip(links, results, strict=True):
            assert isinstance(result, Stored) == self.can(stored), (stored, result, self.links)
            if isinstance(result, Stored):
                assert result.link == stored.link
                assert result.etag is not None
                assert result.etag not in self.links
                self.links.pop(stored.etag or "", None)
                self.links[result.etag] = result.link


class Step(NamedTuple):
    """One link of a call: new (`source` None), or one of those that were read, with other identities."""

    source: int | None
    identities: tuple[Identity, ...]

    def link(self, held: Sequence[Stored], mark: str) -> Stored:
        """What to write; `mark` tells its contents from those of all others."""
        if self.source is None or not held:
            return fresh(*self.identities, key=mark)
        return with_identities(changed(held[-1 - self.source % len(held)], key=mark), *self.identities)
