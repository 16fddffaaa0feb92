"""Connections that are no use: opened and never asked on, or asked on so slowly that they only take room."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIMEOUT_S = 10.0
"""Within which a request's head must have arrived."""
MAX_CONNECTIONS = 400
"""At a time; a browser opens six. The oldest that waits for a request makes room for a new one."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that waits for a request, but not for ever, and not for any number of them."""

    _head_timer: asyncio.TimerHandle | None = None
    _began_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._began_at = self.loop.time()
        self._expect_head()
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Look whether the head is there."""
        super().handle_events()
        if self._is_waiting():
            if self._head_timer is None:  # a further request on a kept connection has begun
                self._expect_head()
        else:
            self._stop_timer()

    def _is_waiting(self) -> bool:
        """No request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self._is_waiting() and self.transport is not None:
            self.transport.abort()

    def _make_room(self) -> None:
        # Closed now, gone from `connections` in the loop's next turn: so those on their way out do not count.
        waiting = [one for one in self.connections if isinstance(one, PatientProtocol) and one is not self]
        idle = [one for one in waiting if one._is_waiting() and not one.transport.is_closing()]
        oldest = min(idle, key=lambda one: one._began_at, default=self)
        oldest.transport.abort()
