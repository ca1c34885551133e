"""What stands before every request: whose it may be, where it may come from, how large and how slow it may be.

A page of another site can make a browser send requests to a service on the same machine, under a name of its own that
it lets point there (DNS rebinding). So the name asked for must be known, and a request must come from the studio's own
page or from no page at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unboxed.errors import StudioError
from unboxed.studio.limits import Limits

__all__ = ["COOKIE", "HEADERS", "Guard", "Token", "is_loopback"]

COOKIE = "unboxed_studio"
_FORM = 64_000  # bytes of a request beside the image in it
_SHORTEST_TOKEN = 16

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Token:
    """The secret that requests must show, in an `Authorization: Bearer` header or in the cookie that it was traded for.

    Raises:
        StudioError: a token that is too short to be one.
    """

    def __init__(self, secret: str) -> None:
        if len(secret) < _SHORTEST_TOKEN:
            raise StudioError(
                f"The token has {len(secret)} characters; give one of at least {_SHORTEST_TOKEN}, such as "
                '`python -c "import secrets; print(secrets.token_urlsafe(24))"` prints.'
            )
        self._secret = secret.encode()
        self.cookie = hmac.new(secrets.token_bytes(32), self._secret, hashlib.sha256).hexdigest()
        """What stands for the token in the cookie, until the service is started again."""

    def is_it(self, given: str) -> bool:
        """Is this the token? Takes as long for a nearly right one as for a wrong one."""
        return hmac.compare_digest(given.encode(), self._secret)

    def admits(self, headers: Headers) -> bool:
        """Does the request show the token, or the cookie?"""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_it(given.strip()):
            return True
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self.cookie.encode())


class Guard:
    """The ASGI layer around the service.

    Args:
        app: the service.
        names: host names that it is asked by, beside `localhost` and plain addresses, which cannot be rebound.
        token: what requests below `/api` must show; None for nobody else's machine.
        open_paths: paths that need no token.
        limits: sizes and times.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Collection[str],
        token: Token | None,
        open_paths: Collection[str],
        limits: Limits,
    ) -> None:
        self._app, self._token, self._limits = app, token, limits
        self._names = {"localhost", *(name.lower() for name in names)}
        self._open = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, self._bounded(receive), send_with_headers)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._knows(host):
            return _refused(400, "This name is not one of the service's; start it with --allow-host to add one.")
        origin = headers.get("origin")
        elsewhere = origin is not None and origin.partition("://")[2] != host
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            elsewhere = elsewhere or scope["path"] not in self._open  # a link from another page may open the studio
        if elsewhere:
            return _refused(403, "The request comes from a page of another site.")
        if self._token is not None and scope["path"] not in self._open and not self._token.admits(headers):
            return _refused(401, "This studio asks for its token.", {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._limits.bytes + _FORM:
            return _refused(413, self._too_large, {"Connection": "close"})
        return None

    def _knows(self, host: str) -> bool:
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if name.lower() in self._names:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True

    def _bounded(self, receive: Receive) -> Receive:
        """The request's body, which ends with an error when it grows too large or comes too slowly."""
        received = 0
        complete = False
        deadline = time.monotonic() + self._limits.upload_seconds

        async def bounded() -> Message:
            nonlocal received, complete
            if complete:  # what comes now is the client's going away, whenever that is
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise HTTPException(408, "The upload took too long; try a smaller copy of the image.") from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._limits.bytes + _FORM:
                raise HTTPException(413, self._too_large)
            return message

        return bounded

    @property
    def _too_large(self) -> str:
        return f"The image is larger than {self._limits.megabytes:g} MB; send a smaller copy of it."


def is_loopback(host: str) -> bool:
    """Can only this machine reach the address?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refused(status: int, why: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": why}, status, headers)
