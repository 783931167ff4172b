"""`curate cancel`: ask a run to stop, on whatever machine its driver is."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from curate.cli.app import app, examples
from curate.cli.status import RUN, located, not_running
from curate.errors import CurateError

if TYPE_CHECKING:
    from curate.run.lease import Owner
    from curate.store.files import Store

_BETWEEN_SIGNALS: Final = 0.5
_HEARS_SECONDS: Final = 10.0
"""After so long, on an object store three times as long, a request was not heard: ten times what a driver takes to look."""
_POLL_SECONDS: Final = 0.5


@app.command(
    short_help="Ask a run to stop, on whatever machine it runs.",
    epilog=examples(
        "curate cancel phi-1-mini               what runs is finished and committed first, as at SIGTERM",
        "curate cancel phi-1-mini --now         at once; what is committed stays",
        "curate cancel s3://bucket/run --wait   and wait until it has ended",
        after="The driver, here or elsewhere, finds a request in the store within a second, in an object store within ten; to ask "
        "again asks for no more. It ends with exit code 12, and the same `curate run` goes on later. A driver of this machine that "
        "hears nothing gets SIGTERM, after it was made sure that the process is the one that holds the store.",
    ),
)
def cancel(
    run: RUN,
    now: Annotated[bool, typer.Option("--now", help="Do not let running tasks be finished.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has ended.")] = False,
) -> None:
    """Ask a run to stop; what is committed is kept, and the same command goes on from there."""
    from curate.run.lease import holder
    from curate.run.status import RUN as RUNS
    from curate.run.status import look, submitted
    from curate.run.watch import ask_to_stop

    store = located(run)
    held = holder(store)
    owner = held[1] if held is not None and not held[1].released and not held[1].dead() else None
    if owner is None:
        if (job := submitted(store)) is not None and job.alive() is not False:
            job.cancel()
            print(f"{run}: has not begun yet; its {job.kind} {job.id} is cancelled")
            return
        raise not_running(store, look(store)["state"])
    if owner.what != RUNS:
        raise CurateError(
            f"is in use by another command ({owner})", place=str(store), cure="stop that by its own means"
        )
    ask_to_stop(store, owner.token, now=now)
    if owner.here() and (_heard(store, owner) or _signalled(store, owner, now=now)):
        print(f"{run}: pid {owner.pid} was asked to stop{' at once' * now}")
    else:
        print(f"{run}: left a request for pid {owner.pid} on {owner.host}, which looks every few seconds")
    if wait:
        _wait(store, owner)
        print(f"{run}: {look(store)['state']}")


def _heard(store: Store, owner: Owner) -> bool:
    """Whether the driver took the request, or is gone; one that does neither is stuck where it does not listen."""
    from curate.run.watch import CANCEL

    end = time.monotonic() + _HEARS_SECONDS * (3 if store.remote else 1)
    while time.monotonic() < end:
        if owner.dead():
            store.remove(CANCEL)
        if not store.exists(CANCEL):
            return True
        time.sleep(_POLL_SECONDS / 5 if not store.remote else 2 * _POLL_SECONDS)
    return False


def _signalled(store: Store, owner: Owner, *, now: bool) -> bool:
    """Send SIGTERM in place of the request to the owner of a lease and to nobody else, whatever becomes of its pid; False where
    that may not be."""
    from curate.run.watch import CANCEL

    try:
        process = os.pidfd_open(owner.pid)
    except (OSError, AttributeError):
        return False
    try:
        # From here on the descriptor means that one process: was it the owner?
        if owner.dead():
            return False
        # Two that ask are one who asks twice: that ends at once.
        store.remove(CANCEL)
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if now:
            time.sleep(_BETWEEN_SIGNALS)  # two of a kind that wait are one
            signal.pidfd_send_signal(process, signal.SIGTERM)
    except ProcessLookupError:
        return True  # it ended in between
    except PermissionError:
        return False
    finally:
        os.close(process)
    return True


def _wait(store: Store, owner: Owner) -> None:
    from curate.run.lease import holder
    from curate.run.status import lives

    while (held := holder(store)) is not None and held[1].token == owner.token and not held[1].released:
        if not lives(store, held[1], lambda line: print(f"curate: {line}", file=sys.stderr)):
            return
        time.sleep(_POLL_SECONDS if not store.remote else 4 * _POLL_SECONDS)
