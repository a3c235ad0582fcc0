"""What every handler of the console shares: the page around a template, and the forms that its pages send."""

import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ops.console.desk import Desk
from ops.console.guard import form_token
from ops.console.watch import Watch
from ops.output import age, restamp, stamp
from shared.domain.words import plural, word_for

HERE: Final = Path(__file__).parent
_LARGEST_FORM: Final = 2 * 1024 * 1024
_MOST_FIELDS: Final = 100_000


@dataclass(frozen=True)
class Form:
    """What a form sent: every value of each name."""

    values: dict[str, list[str]]

    def one(self, name: str) -> str:
        """The first value of a name, or an empty text."""
        return self.values.get(name, [""])[0]


class Pages:
    """Makes each page whole by itself; the script only asks for it again when something changed."""

    def __init__(self, desk: Desk, token: str) -> None:
        """`token` is this run's secret."""
        self._desk = desk
        self._form_token = form_token(token)
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {
            "stamp": stamp,
            "restamp": restamp,
            "age": age,
            "plural": plural,
            "word_for": word_for,
        }

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A template with its values, inside the console's frame."""
        shown = self._templates.get_template(template).render(
            **values,
            request=request,
            title=self._desk.title,
            entities=self._desk.entities,
            is_local=self._desk.is_local,
            row_address=self._desk.row_address,
            form_token=self._form_token,
        )
        return HTMLResponse(shown, status)

    def problem(self, request: Request, text: str, status: int) -> Response:
        """A page that says what was wrong, and what to do."""
        return self.page(request, "problem.html", status, text=text)

    async def form(self, request: Request) -> Form:
        """What one of the console's own forms sent.

        Raises:
            HTTPException: 413 where it is too large, 403 where it does not carry this run's token.
        """
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LARGEST_FORM:
                raise HTTPException(413, "The form is too large.")
        try:
            values = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise HTTPException(413, "The form has too many fields.") from error
        form = Form(values)
        if not hmac.compare_digest(form.one("token").encode(), self._form_token.encode()):
            raise HTTPException(403, "The form is not one of this console: open the page again.")
        return form


class Handlers:
    """What the handlers of each subject work on."""

    def __init__(self, desk: Desk, watch: Watch, pages: Pages) -> None:
        """`desk` is what they change, `watch` tells the open pages of it."""
        self._desk = desk
        self._watch = watch
        self._pages = pages
