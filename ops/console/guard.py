"""Who may use the console: a browser on this machine that was opened with this run's random token.

The token arrives once in the address and becomes a cookie, which no other site's page can make the browser send
(SameSite=Strict). A name that leads to this machine by a detour (DNS rebinding) is refused by its Host header, and a
form of another origin by its Origin header and by the form token, which only our own pages know.
"""

import hashlib
import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSP: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer, under which a browser sends "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OPEN: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Energy CMMS console</title>
<meta http-equiv="refresh" content="0;url=/"><p>Opening <a href="/">the console</a>.</p></html>"""
_REFUSED: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Not signed in</title>
<h1>Not signed in</h1><p>Open the console by the whole address that the command printed, with its token.</p></html>"""


class Guard:
    """ASGI middleware around the whole console."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        """`token` is this run's secret; `port` is where the console listens on loopback."""
        self._app = app
        self._token = token
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._cookie = f"energy_console_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(scope)
        await (answer or self._app)(scope, receive, guarded)

    def _answer(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._hosts:
            return HTMLResponse("This console answers to 127.0.0.1 only.", 421)
        given = QueryParams(scope["query_string"]).get("token")
        if given is not None and scope["path"] == "/" and self._is_token(given):
            # A page, and no redirect: the cookie counts from a navigation of our own, whatever page the link was on.
            response = HTMLResponse(_OPEN)
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
            return response
        if not self._is_token(_cookie(headers.get("cookie", ""), self._cookie)):
            return HTMLResponse(_REFUSED, 403)
        if scope["method"] not in {"GET", "HEAD"} and headers.get("origin", f"http://{host}") != f"http://{host}":
            return HTMLResponse("A form of another page was refused.", 403)
        return None

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


def form_token(token: str) -> str:
    """What each form of the console carries, and no other page knows."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found is not None else ""
