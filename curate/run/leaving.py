"""How a worker leaves a cluster: what others tell it to do is no fault of the task that it is at.

To Dask a worker that goes without a word has died, and its task may have killed it (see run/quarantine.py). Batch systems
end workers all the time: at a job's time limit, for a job that matters more, when a machine is taken away. They send SIGTERM
first. So a worker that is told to close says so to the scheduler, which then gives its task to another one and counts no
death. One whose time is known begins no task shortly before it, finishes what runs, and goes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import Any, Final

from curate.startup import without_pandas

ENDS: Final = "CURATE_DRAIN_AT"
"""Environment: when a worker must begin no more tasks, in seconds of /proc/uptime, which no clock's setting moves."""
LEFT: Final = "curate-left"
"""Topic of Dask's events: keys of tasks whose worker left them."""
_POLL_SECONDS: Final = 0.2
_FETCH_SECONDS: Final = 10.0
"""How long a receipt waits for the driver; one that is lost is read from the store by who does its task again."""
_MARK: Final = "curate-leaves"


def settle(worker: Any) -> None:
    """Prepare a worker process; may be called from any of its threads, and again."""
    if _MARK not in worker.plugins:
        worker.loop.add_callback(_settle, worker)


async def _settle(worker: Any) -> None:
    if _MARK not in worker.plugins:
        await worker.plugin_add(plugin=leaves(), name=_MARK)


def deaf_to_signals() -> None:
    """Ctrl-C goes to all processes of a terminal, a batch system's SIGTERM to all of a job: what a worker is to do then
    its nanny says, or the driver. (Where memory is the matter Dask sends SIGKILL next.)"""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def unmoved_by_clocks() -> None:
    """Let this process send its messages to other processes of Dask whatever becomes of the wall clock.

    distributed 2026.8 (batched.py) holds a message back until the wall clock has passed a time some milliseconds ahead: of
    a clock that is set back by a day, for a day. Now none is held back: those that come while one is sent go together.
    """
    from distributed.batched import BatchedSend

    # On the class it goes before what senders that are there already have written down.
    BatchedSend.next_deadline = property(lambda _: None, lambda _, __: None)


def leaves() -> Any:
    """The plugin by which a worker leaves as it should."""
    from distributed import WorkerPlugin

    class Leaves(WorkerPlugin):
        def setup(self, worker: Any) -> None:
            if worker.nanny:
                deaf_to_signals()
            unmoved_by_clocks()
            without_pandas()
            if ends := os.environ.get(ENDS):
                self.drains = asyncio.get_running_loop().create_task(_drain(worker, float(ends)))

        async def teardown(self, worker: Any) -> None:
            await _say(worker)

    return Leaves()


async def _say(worker: Any) -> None:
    """Tell the scheduler that this worker goes on purpose."""
    if keys := [str(task.key) for task in worker.state.executing]:
        worker.log_event(LEFT, {"keys": keys})
    try:
        await asyncio.wait_for(
            worker.scheduler.unregister(
                address=worker.address, expected=True, close=False, stimulus_id=f"leaves-{time.time()}"
            ),
            5,
        )
    except (OSError, TimeoutError):
        return  # the scheduler went first


async def _drain(worker: Any, ends: float) -> None:
    """Begin nothing after a time, and go once nothing runs; the job's own end comes if that takes too long."""
    from distributed.core import Status

    await asyncio.sleep(max(0.0, ends - time.clock_gettime(time.CLOCK_BOOTTIME)))
    while worker.status is Status.running:
        # It gets no more tasks, and what waits here is not begun. (A worker that is only paused goes on when Dask finds
        # that it has memory.) Dask says no while a result lies here that nobody else can take: until the driver has it.
        await worker.scheduler.retire_workers(
            workers=[worker.address], close_workers=False, remove=False, stimulus_id=f"drains-{time.time()}"
        )
        await asyncio.sleep(_POLL_SECONDS)
    while worker.state.executing_count:  # noqa: ASYNC110 - Dask has no event for it
        await asyncio.sleep(_POLL_SECONDS)
    fetched = time.monotonic() + _FETCH_SECONDS
    while worker.data and time.monotonic() < fetched:  # noqa: ASYNC110 - as above
        await asyncio.sleep(_POLL_SECONDS)
    await worker.close(nanny=True, reason="time-limit")
