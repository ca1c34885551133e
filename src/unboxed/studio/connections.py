"""Connections whose requests must begin in time, so that idle ones do not keep others out.

uvicorn limits the time between two requests of a connection, but not the time until the header of a request is
complete. A client that opens connections and sends nothing would hold all places of the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from h11 import LocalProtocolError
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEADER_SECONDS", "PER_ADDRESS", "TimedConnection"]

HEADER_SECONDS = 10.0
"""Time in which the header of a request must be complete, from the opening of the connection or its first byte."""

PER_ADDRESS = 128
"""Connections of one address at the same time."""


class TimedConnection(H11Protocol):
    """A connection that is closed when the header of a request is not complete in time.

    When an address has more than `per_address` connections, or all addresses together reach the limit of uvicorn, the
    connection that has waited for a header longest is closed. If none of the address waits, the new one is closed.

    Args:
        per_address: connections of one address at the same time.
        header_seconds: time in which the header of a request must be complete.
        options: passed to uvicorn's class.
    """

    def __init__(
        self, *, per_address: int = PER_ADDRESS, header_seconds: float = HEADER_SECONDS, **options: Any
    ) -> None:
        super().__init__(**options)
        self._per_address, self._header_seconds = per_address, header_seconds
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first header, and make room if there are too many connections."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self._header_seconds, transport.close)
        all_connections = [cast("TimedConnection", connection) for connection in self.connections]
        same_address = [other for other in all_connections if other._address == self._address]
        if len(same_address) > self._per_address:
            _oldest_waiting(same_address).transport.close()
        elif self.limit_concurrency is not None and len(all_connections) >= self.limit_concurrency:
            _oldest_waiting(all_connections).transport.close()

    def data_received(self, data: bytes) -> None:
        """Stop the time when a header is complete; start it at the first byte of the next one."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._header_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP. A request that they are the body of has no other answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except LocalProtocolError:  # its answer has begun
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def _address(self) -> str | None:
        return self.client[0] if self.client else None

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _oldest_waiting(connections: Iterable[TimedConnection]) -> TimedConnection:
    """The connection whose time ends first. One that has just been opened waits too, so there is always one."""
    waiting = [(c._deadline.when(), c) for c in connections if c._deadline and not c.transport.is_closing()]
    return min(waiting, key=lambda entry: entry[0])[1]
