"""The thread that advances an engine's epochs, by which guests are interrupted in wall-clock time."""

from __future__ import annotations

import threading
from collections.abc import Callable

TICK_NS = 10_000_000
"""An epoch."""
_IDLE_TICKS_MAX = 100


class Ticker:
    """Advances an engine's epoch every `TICK_NS` while some guest runs; a thread, made when it is first needed.

    It goes on for a while after the last guest has ended: waking a thread for each call would cost more than the call.
    """

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._condition = threading.Condition()
        self._guests = 0
        self._idle_ticks = 0
        self._is_asleep = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def running(self) -> _Ticking:
        return _Ticking(self)

    def begin(self) -> None:
        with self._condition:
            self._guests += 1
            self._idle_ticks = 0
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="epochs", daemon=True)
                self._thread.start()
            elif self._is_asleep:
                self._condition.notify()

    def end(self) -> None:
        with self._condition:
            self._guests -= 1

    def close(self) -> None:
        """End the thread; the next guest makes another. None may run now."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()
        self._thread = None
        self._is_closed = False

    def _run(self) -> None:
        with self._condition:
            while not self._is_closed:
                if self._idle_ticks >= _IDLE_TICKS_MAX:
                    self._is_asleep = True
                    self._condition.wait_for(lambda: self._guests or self._is_closed)
                    self._is_asleep = False
                # Not cut short by a guest that begins: epochs must not go faster than time.
                self._condition.wait_for(lambda: self._is_closed, TICK_NS / 1e9)
                self._idle_ticks = 0 if self._guests else self._idle_ticks + 1
                self._tick()


class _Ticking:
    """The scope in which a guest runs."""

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker

    def __enter__(self) -> None:
        self._ticker.begin()

    def __exit__(self, *raised: object) -> None:
        self._ticker.end()
