"""The runbook's advice for a reason, as the console shows it beside the messages."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from markupsafe import Markup, escape

FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "runbook.md"
_SECTION: Final = re.compile(r"^## (\S+)\n(.*?)(?=^#{1,2} |\Z)", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`(?P<code>[^`]+)`|\[(?P<text>[^\]]+)\]\([^)]*\)|\*(?P<em>[^*\s][^*]*)\*")
_STEP: Final = re.compile(r"^\d+\. ")


@dataclass(frozen=True)
class Advice:
    """What to do: paragraphs and steps as safe markup. `first` is its first sentence."""

    first: Markup
    paragraphs: tuple[Markup, ...]
    steps: tuple[Markup, ...]


@cache
def advice() -> dict[str, Advice]:
    """The runbook's sections by their names; empty where the runbook is not there."""
    text = FILE.read_text(encoding="utf-8") if FILE.is_file() else ""
    return {found[1]: _advice(found[2]) for found in _SECTION.finditer(text)}


def _advice(text: str) -> Advice:
    paragraphs: list[str] = []
    steps: list[str] = []
    for block in re.split(r"\n\s*\n", text.strip()):
        into = paragraphs
        for line in block.splitlines():
            if _STEP.match(line):
                into = steps
                steps.append(_STEP.sub("", line))
            elif into and (into is steps or line is not block.splitlines()[0]):
                into[-1] += f" {line.strip()}"
            else:
                into.append(line.strip())
    first = re.split(r"(?<=[.!?])\s", paragraphs[0], maxsplit=1)[0] if paragraphs else ""
    return Advice(_marked(first), tuple(map(_marked, paragraphs)), tuple(map(_marked, steps)))


def _marked(text: str) -> Markup:
    """Code and emphasis of Markdown; a link's text stands for the link."""
    shown, at = Markup(), 0
    for found in _INLINE.finditer(text):
        shown += escape(text[at : found.start()])
        if found["code"] is not None:
            shown += Markup("<code>{}</code>").format(found["code"])
        elif found["em"] is not None:
            shown += Markup("<em>{}</em>").format(found["em"])
        else:
            shown += escape(found["text"].strip("`"))
        at = found.end()
    return shown + escape(text[at:])
