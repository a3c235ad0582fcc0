"""Which parked messages a page shows and a form means."""

from collections.abc import Collection, Mapping, Sequence
from copy import replace
from dataclasses import dataclass
from typing import Final

from shared.flows.operate.parked import Filter, Waiting

PAGE: Final = 100
"""Messages on one page."""


@dataclass(frozen=True)
class Choice:
    """A filter as the address says it; `every` means all that it lets through, not only those that are ticked."""

    reason: str = ""
    entity: str = ""
    text: str = ""
    page: int = 0
    every: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Choice":
        """Read an address or a form; what makes no sense counts as not said."""
        page = query.get("page", "")
        return cls(
            reason=query.get("reason", ""),
            entity=query.get("entity", ""),
            text=query.get("text", "").strip(),
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 0,  # noqa: PLR2004  # enough
            every=bool(query.get("every", "")),
        )

    def query(self, **changes: object) -> dict[str, str]:
        """The same as the members of an address, with changes; a changed filter begins at its first page."""
        own: dict[str, object] = {"reason": self.reason, "entity": self.entity, "text": self.text, "page": self.page}
        if changes.keys() - {"page"}:
            own["page"] = 0
        return {name: str(value) for name, value in (own | changes).items() if value}

    def of_messages(self, messages: Sequence[Waiting]) -> list[Waiting]:
        """The messages that the filter lets through, the newest first."""
        wanted = Filter(reason=self.reason or None, entity=self.entity or None, text=self.text or None)
        return sorted(
            (one for one in messages if wanted.holds(one, one.enqueued_at)),
            key=lambda one: one.enqueued_at,
            reverse=True,
        )

    def chosen(self, messages: Sequence[Waiting], numbers: Collection[str]) -> list[Waiting]:
        """The messages that a form means: all of the filter, or those that were ticked."""
        if self.every:
            return replace(self, every=False).of_messages(messages)
        ticked = set(numbers)
        return [one for one in messages if str(one.sequence) in ticked]
