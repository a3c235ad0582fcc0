"""The faults that reading the setting collects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

SETTING = "INTEGRACION_DYNAMICS"


@dataclass(frozen=True)
class Problem:
    """One fault of the setting: what is wrong and where, and what to do."""

    id: str
    message: str
    hint: str
    warning: bool = False


def unknown(raw: Mapping[Any, Any], known: set[str], where: str) -> list[Problem]:
    """A problem for each entry that nothing reads."""
    hint = _("Known here: %(known)s. Correct the spelling or remove it.") % {"known": ", ".join(sorted(known))}
    message = _("%(where)s has an unknown entry %(name)r.")
    return [Problem("E002", message % {"where": where, "name": name}, hint) for name in raw if name not in known]
