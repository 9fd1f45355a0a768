"""A progress bar on stderr, for what takes more than two seconds, and only on a terminal."""

from __future__ import annotations

import sys
from threading import Lock, Timer
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 2.0
"""Seconds before anything is shown: what is over sooner needs no bar."""


class ProgressBar:
    """Called with (done, total, what) from time to time; draws itself where somebody looks on.

    Until the first call there is no telling how long it takes: the bar only moves to and fro.
    """

    def __init__(self, what: str = "starting", stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._what = what
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._timer: Timer | None = None
        self._lock = Lock()
        self._state: tuple[float, float | None, str] = (0.0, None, what)

    def __enter__(self) -> ProgressBar:
        if self._stream.isatty():
            self._timer = Timer(PATIENCE, self._start)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._timer = None
            if self._progress is not None:
                self._progress.stop()

    def __call__(self, done: float, total: float, what: str) -> None:
        """Say how far the work is, in any unit that grows evenly with time."""
        with self._lock:
            self._state = (done, total, what)
            self._update()

    def _update(self) -> None:
        if self._progress is not None and self._task is not None:
            done, total, what = self._state
            self._progress.update(self._task, completed=done, total=total, description=what)

    def _start(self) -> None:
        """Draw the bar; called by the timer, in a thread of its own."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        with self._lock:
            if self._timer is None:
                return
            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                console=Console(file=self._stream),
                transient=True,
            )
            self._task = self._progress.add_task(self._what, total=None)
            self._update()
            self._progress.start()
