"""The middleware rejects requests without the token, of unknown host names or other sites, and of excessive size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient
from starlette.datastructures import Headers

from unboxed.errors import StudioError
from unboxed.studio.middleware import COOKIE, HEADERS, SecurityMiddleware, Token, is_loopback
from unboxed.studio.options import Limits

SECRET = "a long enough secret"
Make = Callable[..., Any]


def test_only_the_whole_secret_matches() -> None:
    token = Token(SECRET)
    assert token.matches(SECRET)
    assert not any(token.matches(given) for given in ("", SECRET[:-1], SECRET + "x", SECRET.upper(), "ä" * 20))
    assert Token(SECRET).cookie != token.cookie


def test_a_short_secret_is_an_error() -> None:
    Token("x" * 16)
    with pytest.raises(StudioError, match="The token has 15 characters; give one of at least 16"):
        Token("x" * 15)


def test_a_request_is_authorized_by_the_header_or_the_cookie() -> None:
    token = Token(SECRET)
    assert token.authorizes(Headers({"Authorization": f"Bearer {SECRET}"}))
    assert token.authorizes(Headers({"Authorization": f"bearer  {SECRET} "}))
    assert token.authorizes(Headers({"Cookie": f"other=1; {COOKIE}={token.cookie}"}))
    for headers in (
        {},
        {"Authorization": SECRET},
        {"Authorization": f"Basic {SECRET}"},
        {"Cookie": f"{COOKIE}={SECRET}"},
        {"Cookie": f"{COOKIE}="},
        {"Cookie": f"{COOKIE}={token.cookie[:-1]}"},
        {"Cookie": f"a(b=1; {COOKIE}={token.cookie}"},  # an illegal name
    ):
        assert not token.authorizes(Headers(headers)), headers


def test_the_token_opens_a_session(make_studio: Make) -> None:
    with TestClient(make_studio(token=SECRET), base_url="http://localhost") as client:
        assert client.get("/").status_code == 200  # the page, which asks for the token
        for path in ("/api/facts", "/api/photos", "/openapi.json"):
            assert client.get(path).status_code == 401
        assert client.get("/api/facts", headers={"Authorization": f"Bearer {SECRET}"}).status_code == 200
        assert client.get("/api/facts", headers={"Authorization": "Bearer " + SECRET[:-1]}).status_code == 401
        assert client.get("/api/facts", headers={"Cookie": f"{COOKIE}=00"}).status_code == 401
        assert client.post("/api/session", json={"token": "wrong"}).status_code == 401
        session = client.post("/api/session", json={"token": SECRET})
        assert session.status_code == 204
        assert {"HttpOnly", "SameSite=strict"} <= set(session.headers["set-cookie"].split("; "))
        assert SECRET not in session.headers["set-cookie"]
        assert client.get("/api/facts").status_code == 200


def test_every_request_with_a_wrong_token_waits(make_studio: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    async def wait(token: Token) -> None:
        waited.append(token)

    monkeypatch.setattr(Token, "delay_wrong_one", wait)
    with TestClient(make_studio(token=SECRET), base_url="http://localhost") as client:
        assert client.get("/api/facts", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.post("/api/session", json={"token": "wrong"}).status_code == 401
    assert len(waited) == 2


def test_wrong_tokens_are_answered_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr("unboxed.studio.middleware.time.monotonic", lambda: 7.0)
    token = Token(SECRET)
    for _ in range(30):
        asyncio.run(token.delay_wrong_one())
    assert slept == [min(0.5 * guess, 10) for guess in range(1, 31)]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8321", 200),
        ("127.0.0.1:8321", 200),
        ("[::1]:8321", 200),
        ("[::1]", 200),
        ("Studio.example", 200),
        ("evil.example", 400),
        ("localhost.evil.example:8321", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost:8321.evil.example", 400),
        ("localhost:evil", 400),
        ("evil@localhost:8321", 400),
        ("localhost.", 400),
        ("[::1]evil", 400),
        ("", 400),
    ],
)
def test_only_known_host_names_are_answered(make_studio: Make, host: str, status: int) -> None:
    with TestClient(make_studio(hosts=["studio.example"]), base_url="http://localhost") as client:
        assert client.get("/api/facts", headers={"Host": host}).status_code == status


def test_a_page_of_another_site_cannot_send_requests(make_studio: Make) -> None:
    with TestClient(make_studio(), base_url="http://localhost:8321") as client:

        def status(path: str, **headers: str) -> int:
            return client.get(
                path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            ).status_code

        assert status("/api/facts", Origin="http://localhost:8321", Sec_Fetch_Site="same-origin") == 200
        for origin in ("https://evil.example", "http://localhost:9999", "null"):
            assert status("/api/facts", Origin=origin) == 403
        for site in ("cross-site", "same-site"):
            assert status("/api/search?text=a+box", Sec_Fetch_Site=site) == 403
        assert status("/", Sec_Fetch_Site="cross-site") == 200  # a link on the other page


def test_every_response_has_the_security_headers(make_studio: Make) -> None:
    with TestClient(make_studio(), base_url="http://localhost") as client:
        for response in (client.get("/"), client.get("/nothing"), client.get("/", headers={"Host": "evil.example"})):
            assert {name: response.headers[name] for name in HEADERS} == HEADERS
        assert client.get("/api/facts").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("length", ["84001", "-1", "many"])
def test_a_content_length_out_of_range_is_rejected(length: str) -> None:
    status, _ = asyncio.run(_post([], {"content-length": length}))
    assert status == 413


def test_a_body_is_passed_on_up_to_the_limit() -> None:
    half = {"type": "http.request", "body": bytes(42_000), "more_body": True}
    last = {"type": "http.request", "body": bytes(42_000)}
    gone = {"type": "http.disconnect"}
    status, messages = asyncio.run(_post([half, last, gone]))
    assert (status, messages) == (200, [half, last, gone])
    status, messages = asyncio.run(_post([half, half, half]))  # no Content-Length
    assert (status, len(messages)) == (413, 2)


def test_a_body_that_arrives_too_slowly_is_an_error() -> None:
    status, _ = asyncio.run(_post([{"type": "http.request", "more_body": True}, None]))
    assert status == 408


async def _post(
    body: list[dict[str, Any] | None], headers: dict[str, str] | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """The status of a request whose body is these messages, and those that the service received; None never arrives."""
    received: list[dict[str, Any]] = []
    statuses: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for _ in body:
                received.append(await receive())
        except HTTPException as error:
            statuses.append(error.status_code)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})

    messages = iter(body)

    async def receive() -> Any:
        message = next(messages)
        if message is None:
            await asyncio.sleep(3600)
        return message

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    limits = Limits(megabytes=0.02, upload_seconds=0.1)
    middleware = SecurityMiddleware(app, allowed_hosts=(), token=None, open_paths=(), limits=limits)
    given = {"host": "localhost", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in given.items()]
    await middleware({"type": "http", "path": "/api/ground", "headers": raw}, receive, send)
    return statuses[0], received


def test_other_protocols_are_passed_on() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    middleware: Any = SecurityMiddleware(app, allowed_hosts=(), token=None, open_paths=(), limits=Limits())
    asyncio.run(middleware({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


def test_loopback_addresses_are_those_of_this_machine() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "192.168.1.2", "::", "studio.example"))
