"""The sandbox in the processes that use it: threads, daemonic workers, forks, callers that die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from curate.sandbox.runner import Program, Sandbox

ROOT = Path(__file__).parents[2]


def _in_worker(queue):
    with Sandbox() as sandbox:
        queue.put(sandbox.run(Program("print(6 * 7)")).output)


def test_threads_share_one():
    """Replies never get mixed up."""
    with Sandbox() as sandbox, ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(lambda n: sandbox.run(Program(f"print({n})")).output, range(40)))
    assert outputs == [f"{n}\n".encode() for n in range(40)]


def test_it_outlives_the_thread_that_started_it():
    with Sandbox() as sandbox:
        thread = threading.Thread(target=sandbox.run, args=(Program(""),))
        thread.start()
        thread.join()
        first = sandbox._zygotes[0]
        assert sandbox.run(Program("")).status == "ok"
        assert sandbox._zygotes[0] is first


def test_a_daemonic_worker_may_use_it():
    """Dask's workers are daemonic: they may start no children through multiprocessing."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=_in_worker, args=(queue,), daemon=True)
    worker.start()
    assert queue.get(timeout=60) == b"42\n"
    worker.join(60)


def test_a_forked_caller_starts_its_own():
    code = (
        "import os\nfrom curate.sandbox.runner import Program, Sandbox\n"
        "with Sandbox() as box:\n"
        "    box.run(Program(''))\n"
        "    pid = os.fork()\n"
        "    outputs = [box.run(Program(f'print({bool(pid)}, {i})')).output for i in range(20)]\n"
        "    assert outputs == [f'{bool(pid)} {i}\\n'.encode() for i in range(20)], outputs\n"
        "    if not pid:\n"
        "        box.close()\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "    assert box.run(Program('')).status == 'ok'\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT, timeout=60)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_caller_leaves_nothing_behind():
    """kill -9 in the middle of a program: the zygote sees the hang-up and takes the child along."""
    code = (
        "import threading, time\nfrom curate.sandbox.runner import Limits, Program, Sandbox\n"
        "box = Sandbox(Limits(cpu_seconds=100, wall_seconds=200))\nbox.run(Program(''))\n"
        "threading.Thread(target=box.run, args=(Program('while True: pass'),)).start()\n"
        "time.sleep(0.5)\nprint(box._zygotes[0].process.pid, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        zygote = int(caller.stdout.readline())
        children = Path(f"/proc/{zygote}/task/{zygote}/children")
        family = [zygote, *map(int, children.read_text().split())] if children.exists() else [zygote]
        assert _alive(zygote)
        os.kill(caller.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(map(_alive, family)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in family if _alive(pid)]


def test_large_programs_and_results_pass_the_pipes():
    with Sandbox() as sandbox:
        outcome = sandbox.run(Program("# " + "x" * 10**6 + "\nprint('y' * 10**6)"))
        assert outcome.status == "ok"
        assert outcome.output == b"y" * 4096
        assert sandbox.run(Program("print('\\udcff')")).status == "exception"
        assert sandbox.run(Program("print('é')")).output == "é\n".encode()
        assert sandbox.run(Program("raise ValueError('\\udcff')")).detail == "line 1: ValueError: ?"


def test_a_child_killed_before_it_read_its_request_spoils_no_other(monkeypatch):
    """As by the kernel when memory is short: the rest of its request is not taken for the next program."""
    with Sandbox() as sandbox:
        sandbox.run(Program(""))
        zygote = sandbox._zygotes[0]
        pid, pipe = zygote.process.pid, zygote.process.stdin
        assert pipe

        def half(message):
            pipe.write(b"\0\xff\0\0\0{")
            children = Path(f"/proc/{pid}/task/{pid}/children")
            while not (alive := children.read_text().split()):
                time.sleep(0.01)
            os.kill(int(alive[0]), signal.SIGKILL)
            time.sleep(0.1)
            pipe.write(b"}" * 100)

        monkeypatch.setattr(zygote, "send", half)
        assert sandbox.run(Program("print(1)")).status == "stalled"
        began = time.monotonic()
        assert [sandbox.run(Program(f"print({n})")).output for n in range(3)] == [b"0\n", b"1\n", b"2\n"]
        assert time.monotonic() - began < 20


def test_its_pipes_are_closed():
    """No descriptor is left to the garbage collector, however the process ends."""
    with Sandbox() as sandbox:
        sandbox.run(Program(""))
        process = sandbox._zygotes[0].process
    assert all(pipe is None or pipe.closed for pipe in (process.stdin, process.stdout, process.stderr))
