"""Connections that send no request are closed, and do not keep others out. Over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import uvicorn

from unboxed.studio.connections import TimedConnection

HEADER = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


async def service(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"here"})


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[int]:
    """A service on a free port, with options of `TimedConnection`."""
    connection: Any = partial(TimedConnection, **options)
    config = uvicorn.Config(service, http=connection, log_level="error", lifespan="off", limit_concurrency=12)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def answer(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as response:
        content: bytes = response.read()
    return content


@pytest.mark.parametrize("sent", [b"", HEADER])
def test_a_connection_without_a_whole_header_is_closed(sent: bytes) -> None:
    with serving(header_seconds=0.2) as port, connect(port) as silent:
        silent.sendall(sent)
        assert silent.recv(100) == b""


def test_bytes_that_drip_in_do_not_win_time() -> None:
    with serving(header_seconds=0.5) as port, connect(port) as slow:
        began = time.monotonic()
        with contextlib.suppress(OSError):  # the connection is closed while bytes are sent
            while time.monotonic() - began < 20:
                slow.sendall(b"G")
                time.sleep(0.05)
        assert time.monotonic() - began < 20


def test_a_half_header_after_an_answer_is_closed_too() -> None:
    with serving(header_seconds=0.3) as port, connect(port) as client:
        client.sendall(HEADER + b"\r\n")
        received = b""
        while not received.endswith(b"here"):
            received += client.recv(1000)
        client.sendall(HEADER)
        assert client.recv(100) == b""


@pytest.mark.parametrize("kind", ["chunked\r\n\r\nzz\r\n", "chunked\r\n\r\n1\r\na\r\nzz\r\n"])
def test_a_body_that_is_no_http_has_one_answer_and_no_traceback(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as port, connect(port) as client:
        client.sendall(f"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {kind}".encode())
        received = b""
        while part := client.recv(1000):
            received += part
        assert received.startswith(b"HTTP/1.1 400") and received.count(b"HTTP/1.1") == 1
        assert answer(port) == b"here"
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("options", [{"per_address": 4}, {"per_address": 100}])
def test_silent_connections_keep_nobody_out(options: dict[str, int]) -> None:
    with serving(header_seconds=60, **options) as port, contextlib.ExitStack() as opened:
        for _ in range(40):
            opened.enter_context(connect(port))
        assert answer(port) == b"here"


def test_of_an_address_the_oldest_silent_connection_is_closed() -> None:
    with (
        serving(header_seconds=60, per_address=2) as port,
        connect(port) as first,
        connect(port) as second,
        connect(port) as third,
    ):
        assert first.recv(100) == b""
        for client in (second, third):
            client.sendall(HEADER + b"Connection: close\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200")
