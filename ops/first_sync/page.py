"""A first sync's plan, and its end report, as one HTML page that needs nothing else and sends nothing."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import typer
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ops.first_sync.words import Change, chosen, expected, fate, standing
from ops.output import stamp
from ops.session import Session, UsageError
from shared.domain.blocked import RECORD
from shared.domain.words import plural
from shared.flows.operate.first_sync.choices import Choices
from shared.flows.operate.first_sync.estimate import Estimate
from shared.flows.operate.first_sync.plan import EntityPlan

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """What the page shows: a plan, and after a run also what became of it, by entity."""

    at: datetime
    choices: Choices
    plans: Sequence[EntityPlan]
    estimate: Estimate | None = None
    changes: dict[str, Sequence[Change]] = field(default_factory=dict)
    outcome: str = ""
    parked: Sequence[tuple[str, str, str, str]] = ()

    def html(self) -> str:
        """The page as text."""
        environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals |= {"plural": plural, "standing": standing, "fate": fate, "whole": RECORD}
        return environment.get_template("first_sync.html").render(
            page=self,
            when=stamp(self.at),
            chosen=list(chosen(self.choices)),
            expected=None if self.estimate is None else expected(self.estimate),
        )


def write_page(session: Session, page: Page, file: Path | None, *, open_page: bool) -> None:
    """Write the page, and open it if asked.

    Raises:
        UsageError: The file cannot be written.
    """
    if file is None:
        file = Path(tempfile.mkdtemp(prefix="first-sync-")) / "first-sync.html"
    try:
        # A key with half a surrogate pair cannot be written: it is shown as a question mark.
        file.write_bytes(page.html().encode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}): name another file with --report.") from None
    session.note(f"The page: {file.resolve().as_uri()}. It holds records: keep it as you keep the data.")
    if open_page:
        typer.launch(file.resolve().as_uri())
