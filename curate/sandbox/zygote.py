"""The process that forks one walled-in child per program; started by ``runner`` and talked to over two pipes.

It is single threaded and imports what programs may import, once, before the walls go up: a fork is then 1 to 3 ms,
where starting Python is 10. It never reads a program: the child does, so no program sees traces of an earlier one,
and the addresses of objects depend on the program alone.

stdin   a byte per program, then (read by the child) the request, see ``wire``
stdout  4 bytes of length and JSON about the walls; then a reply per program, see ``wire``

A child's file descriptors: 0 /dev/null, 1 and 2 a pipe of which the first bytes are kept, 3 the result.

**Forged results.** A result counts only under a keyed digest (BLAKE2b) made of a key that the caller draws for each
run, and with the exit status the caller drew. The child drops the key before the program starts; the digest object
keeps it in C. But the program shares the process with the harness. Code that climbs the frames of a traceback to
that object can sign what it likes: this hole is open, and it is not worth a wall. A forger gets a useless exercise
accepted, which he could have by returning an object that equals everything. It gives no access to anything.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import random
import select
import signal
import struct
import sys
import time
from hashlib import blake2b
from types import ModuleType
from typing import Any, Final, NoReturn

from curate.sandbox import harness, walls, wire
from curate.sandbox.parts import MODULE

OUT_OF_MEMORY: Final = 251
"""Exit status of a child that had not even the memory to say so."""
RESULT_BYTES: Final = 1 << 16
SEAL_BYTES: Final = 16
PIECE_BYTES: Final = 2
"""A piece of a result: a digest of it and all before, so many bytes of length (big-endian), the piece."""
_REQUESTS, _REPLIES = 0, 1


def send(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_REPLIES, view) :]


def greet(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    send(struct.pack("=I", len(data)) + data)


def receive_exactly(file: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(file, size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def main() -> None:
    """Set up, say how it went, serve until the caller's end of the pipe closes."""
    if walls.fixed_addresses():
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  no shell is what we want
    options = json.loads(sys.argv[1])
    options["imports"] = frozenset(options["modules"])
    os.environ.clear()
    del sys.argv[1:], sys.orig_argv[:]
    sys.executable = ""  # programs are told as little as possible about where they run
    for name in options["modules"]:
        importlib.import_module(name)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # with no locale set, Python would let lone surrogates through
            stream.reconfigure(errors="strict" if stream is sys.stdout else "backslashreplace")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    try:
        os.close(os.pidfd_open(os.getpid()))  # Linux 5.3; some container profiles refuse it
        program = walls.seccomp_program()
        walls.drop_privileges()
        walls.no_new_privileges()
        abi = walls.landlock()
        # Without limits first: no descriptor or process left to open would hide that nothing forbids it.
        found = canary(walls.Walls(program, None), options) or canary(walls.Walls(program, options["memory"]), options)
    except OSError as error:
        greet({"ok": False, "why": str(error)})
        return
    greet({"ok": not found, "why": ", ".join(found), "landlock": abi})
    ready = walls.Walls(program, options["memory"])
    warm_up(options["imports"])
    random.seed(options["seed"])
    hidden = purge(options["modules"])
    gc.collect()
    gc.freeze()  # the collector would otherwise write to, and so copy, every page it visits in every child
    while os.read(_REQUESTS, 1):
        send(serve(ready, null, options).encode())
    del hidden


def warm_up(imports: frozenset[str]) -> None:
    """Run programs of our own: what Python makes at first use is made once, here, instead of in every child."""
    code = (
        'def up(n):\n    """Doc."""\n    if n > 3 and n:\n        raise ValueError(f"{n}")\n    return [i for i in range(n)]\n'
        "assert up(2) == [0, 1]\nx = up(1)\nfor i in x:\n    assert x == [0]\ndef test_a():\n    assert up(0) == [1]\n"
    )
    for times in range(16):  # 8 calls are what Python 3.11 takes to specialise a function
        order = harness.Order(code, steps=None if times % 2 else 0, imports=imports)
        for _ in harness.Run(order).pieces():
            pass
    for name in (MODULE, "__main__"):
        sys.modules.pop(name, None)


def canary(ready: walls.Walls, options: dict[str, Any]) -> list[str]:
    """What a child behind the walls could do all the same."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ready.close(options["cpu_seconds"])
            os.write(write, json.dumps(walls.holes()).encode())
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  a fork must not return into the loop of its parent
            os.write(write, json.dumps([f"not set up its walls ({error})"]).encode())
            os._exit(1)
    os.close(write)
    said = os.read(read, 4096)
    os.close(read)
    os.waitpid(pid, 0)
    return list(json.loads(said)) if said else ["not survive its own walls"]


def serve(ready: walls.Walls, null: int, options: dict[str, Any]) -> wire.Reply:
    """Fork a child, collect what it writes until it has ended, or end it; how it went, unjudged."""
    result, result_in = os.pipe()
    output, output_in = os.pipe()
    pid = walls.fork()
    if pid == 0:
        child(ready, null, output_in, result_in, options)
    os.close(result_in)
    os.close(output_in)
    room = {result: RESULT_BYTES, output: options["output_bytes"]}
    kept: dict[int, list[bytes]] = {result: [], output: []}
    try:
        stalled = collect(pid, room, kept, time.monotonic() + options["wall_seconds"])
    finally:
        os.close(result)
        os.close(output)
    _, status, usage = os.wait4(pid, 0)
    cpu = usage.ru_utime + usage.ru_stime
    return wire.Reply(os.waitstatus_to_exitcode(status), stalled, cpu, b"".join(kept[result]), b"".join(kept[output]))


def collect(pid: int, room: dict[int, int], kept: dict[int, list[bytes]], deadline: float) -> bool:
    """Read both pipes until the child has ended; True when it had to be ended for the clock on the wall."""
    watched = select.poll()
    watched.register(_REQUESTS, 0)  # only a hang-up: the caller is gone
    for file in room:
        watched.register(file, select.POLLIN)
    ended = os.pidfd_open(pid)
    watched.register(ended, select.POLLIN)
    try:
        while True:
            left = deadline - time.monotonic()
            ready = dict(watched.poll(max(0.0, left) * 1000))
            if not ready or left <= 0 or ready.get(_REQUESTS):
                os.kill(pid, signal.SIGKILL)
                if ready.get(_REQUESTS):
                    os._exit(0)
                return True
            for file in [f for f in room if ready.get(f)]:
                part = os.read(file, 1 << 16)
                if not part:
                    watched.unregister(file)
                elif room[file]:
                    kept[file].append(part[: room[file]])
                    room[file] -= len(kept[file][-1])
            if set(ready) == {ended}:  # nothing more to read
                return False
    finally:
        os.close(ended)


def child(ready: walls.Walls, null: int, output: int, result: int, options: dict[str, Any]) -> NoReturn:
    """Read the request, put up the walls, run, sign; never returns."""
    leave, write = os._exit, os.write
    try:
        ready.die_with_parent()
        key, exit_status, cpu_seconds, fields, code, tests = wire.decode_request(
            receive_exactly(_REQUESTS, wire.REQUEST_BYTES)
        )
        texts = [receive_exactly(_REQUESTS, size).decode("utf-8", "surrogatepass") for size in (code, tests)]
        for source, target in ((result, 9), (output, 1), (output, 2), (null, 0), (9, 3)):
            os.dup2(source, target)
        os.closerange(4, 64)
        seal = blake2b(key=key, digest_size=SEAL_BYTES)
        del key
        order = harness.Order(texts[0], texts[1], **fields, imports=options["imports"])
        pieces = harness.Run(order).pieces()
        ready.close(cpu_seconds)
        for said in pieces:
            seal.update(said)
            write(3, seal.digest() + len(said).to_bytes(PIECE_BYTES, "big") + said)
        leave(exit_status)
    except MemoryError:
        leave(OUT_OF_MEMORY)
    except BaseException:  # noqa: BLE001  a fork must not return into the loop of its parent
        leave(1)
    raise AssertionError  # not reached


def purge(modules: list[str]) -> list[ModuleType]:
    """Leave programs the modules of the list (and what those stand on), and no way to look for others.

    Returns what was taken away: while somebody holds it, no child spends its time on tearing it down.
    """
    wanted = {name.partition(".")[0] for name in modules}
    unwanted = {"curate", "__main__", "ctypes", "_ctypes"} - wanted
    hidden = [sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in unwanted]
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.meta_path[:] = [f for f in sys.meta_path if getattr(f, "__name__", "") != "PathFinder"]
    return hidden
