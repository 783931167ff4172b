"""Signals: what runs may end, for a while; who asks twice, or waits too long, does not wait."""

from __future__ import annotations

import os
import signal
import time

import pytest

from curate.run.stop import Stop


def test_a_signal_is_only_noted():
    """The work goes on, says that it was told, and leaves when it likes, with what was committed."""
    said: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left, Stop(60, said.append) as stop:
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked
        stop.committed()
        stop.leave()
    assert left.value.code == 143
    assert "everything that was begun is finished; 1 tasks were committed" in said[-1]
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_is_under_way_is_brought_in():
    """Whoever leaves out of a block waits for what the block has under way, once."""
    said, brought = [], []
    with pytest.raises(SystemExit), Stop(60, said.append) as stop:
        with stop.finishing(lambda: brought.append(1)):
            pass
        with stop.finishing(lambda: brought.append(2)):
            os.kill(os.getpid(), signal.SIGTERM)
            stop.leave()
    assert brought == [2]
    assert "everything that was begun is finished" in said[-1]


@pytest.mark.parametrize("grace", [0.0, 0.2])
def test_work_that_takes_too_long(grace):
    """After the grace the main thread is left wherever it is."""
    said: list[str] = []
    with pytest.raises(SystemExit) as left, Stop(grace, said.append):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    assert left.value.code == 130
    assert f"could be finished in {grace:g} s" in said[-1]


@pytest.mark.parametrize("grace", [float("inf"), 1e18])
def test_a_grace_without_an_end(grace):
    """No timer is set that no system has: it drains, and a second signal still ends it."""
    said: list[str] = []
    with pytest.raises(SystemExit) as left, Stop(grace, said.append) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        stop.leave()
    assert left.value.code == 143
    assert "however long it takes" in said[0]


def test_twice():
    """The second signal, of either kind, ends at once, with the code of the first."""
    said: list[str] = []
    with pytest.raises(SystemExit) as left, Stop(60, said.append):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    assert left.value.code == 143
    assert "SIGTERM, at once" in said[-1]


def test_nobody_asks():
    """Without a signal nothing happens; a Stop that is not entered is never asked."""
    with Stop(0.01) as stop:
        time.sleep(0.05)
    assert not stop.asked
    assert not Stop().asked
