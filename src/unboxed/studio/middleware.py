"""Checks of every request: its token, its host name and origin, its size and the time it takes to arrive.

A page of another site can make a browser send requests to a service on the same machine, under a host name that the
site controls and points at that machine (DNS rebinding). Therefore a request must use a known host name, and it must
come from the page of the studio or from no page at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unboxed.errors import StudioError
from unboxed.studio.options import Limits

__all__ = ["COOKIE", "HEADERS", "SecurityMiddleware", "Token", "is_loopback"]

COOKIE = "unboxed_studio"
_FORM_BYTES = 64_000  # of a request in addition to its image
_SHORTEST_TOKEN = 16
_SECONDS_PER_GUESS = 0.5
_LONGEST_DELAY = 10.0
_HOST = re.compile(r"(?P<name>[\w.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)

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
    """The secret that requests must carry, in an `Authorization: Bearer` header or as the cookie of a session.

    Raises:
        StudioError: the secret is too short.
    """

    def __init__(self, secret: str) -> None:
        if len(secret) < _SHORTEST_TOKEN:
            raise StudioError(
                f"The token has {len(secret)} characters; give one of at least {_SHORTEST_TOKEN}, such as "
                '`python -c "import secrets; print(secrets.token_urlsafe(24))"` prints.'
            )
        self._secret = secret.encode()
        self.cookie = hmac.new(secrets.token_bytes(32), self._secret, hashlib.sha256).hexdigest()
        """Value of the session cookie; each start of the service makes a new one."""
        self._next_answer = 0.0

    def matches(self, given: str) -> bool:
        """Whether this is the secret, in a time that does not depend on how much of it is right."""
        return hmac.compare_digest(given.encode(), self._secret)

    async def delay_wrong_one(self) -> None:
        """Wait before a wrong token is answered. They are answered one after another, whoever sends them."""
        now = time.monotonic()
        self._next_answer = max(now, self._next_answer) + _SECONDS_PER_GUESS
        await asyncio.sleep(min(self._next_answer - now, _LONGEST_DELAY))

    def authorizes(self, headers: Headers) -> bool:
        """Whether a request carries the secret or the session cookie."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.matches(given.strip()):
            return True
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), self.cookie.encode())


class SecurityMiddleware:
    """ASGI middleware that rejects requests from elsewhere and adds the security headers to every response.

    Args:
        app: the service.
        allowed_hosts: host names of the service, in addition to `localhost` and IP addresses, which cannot be rebound.
        token: secret that requests must carry; None when only this machine can reach the service.
        open_paths: paths that need no token.
        limits: limits of the size of a request and of the time it takes to arrive.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: Collection[str],
        token: Token | None,
        open_paths: Collection[str],
        limits: Limits,
    ) -> None:
        self._app, self._token, self._limits = app, token, limits
        self._allowed_hosts = {"localhost", *(name.lower() for name in allowed_hosts)}
        self._open_paths = frozenset(open_paths)

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

        rejection = self._rejection(scope)
        if rejection is not None:
            if rejection.status_code == 401 and self._token is not None and "authorization" in Headers(scope=scope):
                await self._token.delay_wrong_one()
            await rejection(scope, receive, send_with_headers)
        else:
            await self._app(scope, self._limited(receive), send_with_headers)

    def _rejection(self, scope: Scope) -> JSONResponse | None:
        """The error response to a request that its headers disqualify; None for a request to be answered."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        needs_token = scope["path"] not in self._open_paths
        if not self._is_allowed(host):
            return _error(400, "The studio does not know this host name; start it with --allow-host to add it.")
        origin = headers.get("origin")
        foreign = origin is not None and origin.partition("://")[2] != host
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            foreign = foreign or needs_token  # a link on another page may open the studio's page
        if foreign:
            return _error(403, "The request comes from a page of another site.")
        if self._token is not None and needs_token and not self._token.authorizes(headers):
            return _error(401, "This studio requires its token.", {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._limits.bytes + _FORM_BYTES:
            return _error(413, self._too_large, {"Connection": "close"})
        return None

    def _is_allowed(self, host: str) -> bool:
        parts = _HOST.fullmatch(host)
        if parts is None:
            return False
        name = parts["name"]
        if name.lower() in self._allowed_hosts:
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True

    def _limited(self, receive: Receive) -> Receive:
        """Receives the body of a request; raises when it grows too large or takes too long to arrive."""
        received = 0
        complete = False
        deadline = time.monotonic() + self._limits.upload_seconds

        async def limited() -> Message:
            nonlocal received, complete
            if complete:  # the only further message reports that the client has disconnected, at any time
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise HTTPException(408, "The upload took too long; try a smaller copy of the image.") from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._limits.bytes + _FORM_BYTES:
                raise HTTPException(413, self._too_large)
            return message

        return limited

    @property
    def _too_large(self) -> str:
        return f"The image is larger than {self._limits.megabytes:g} MB; send a smaller copy of it."


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _error(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)
