"""The kernel's walls, set up with ctypes alone: seccomp, landlock, capabilities, resource limits.

seccomp is the wall: an allow-list of system calls (read, write, memory, clocks, exit) in classic BPF; everything
else fails with EPERM, which Python code sees as PermissionError. It alone denies files, metadata, sockets, processes,
threads, signals and limits, so a kernel without landlock is good enough. Landlock is a second wall behind it for
files, TCP, abstract sockets and signals. A kernel without seccomp, or another CPU, is refused, since landlock
governs neither UDP nor processes nor metadata.

Sources: seccomp(2), landlock(7), prctl(2), capabilities(7), personality(2), setrlimit(2);
<linux/seccomp.h>, <linux/landlock.h>, <linux/audit.h>; call numbers from arch/x86/entry/syscalls/syscall_64.tbl and
<asm-generic/unistd.h> (aarch64).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import struct
from typing import Final

NOBODY: Final = 65534
"""The kernel's overflow user and group (/proc/sys/kernel/overflowuid), which own nothing."""

_PR_SET_DUMPABLE: Final = 4
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_RET_ALLOW: Final = 0x7FFF0000
_RET_ERRNO: Final = 0x00050000
_RET_KILL_PROCESS: Final = 0x80000000
_ADDR_NO_RANDOMIZE: Final = 0x0040000
_X32_BIT: Final = 0x40000000

_ALLOWED: Final = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
        "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25, "madvise": 28, "getpid": 39,
        "exit": 60, "gettimeofday": 96, "getrusage": 98, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107,
        "getegid": 108, "gettid": 186, "time": 201, "futex": 202, "restart_syscall": 219, "clock_gettime": 228,
        "clock_getres": 229, "exit_group": 231, "getrandom": 318,
    },
    "aarch64": {
        "close": 57, "lseek": 62, "read": 63, "write": 64, "exit": 93, "exit_group": 94, "futex": 98,
        "clock_gettime": 113, "clock_getres": 114, "sched_yield": 124, "restart_syscall": 128, "rt_sigprocmask": 135,
        "rt_sigreturn": 139, "times": 153, "getrusage": 165, "gettimeofday": 169, "getpid": 172, "getuid": 174,
        "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178, "brk": 214, "munmap": 215, "mremap": 216,
        "mmap": 222, "mprotect": 226, "madvise": 233, "getrandom": 278,
    },
}  # fmt: skip
# What CPython needs once everything is imported. Not sleeping (clock_nanosleep, poll, select): waiting is not
# counted as CPU time, so a program that sleeps would be judged by the machine's load. Not rt_sigaction: SIGXCPU
# must keep its default action.
_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LANDLOCK_CREATE: Final = 444
_LANDLOCK_RESTRICT: Final = 446
_LANDLOCK_FS: Final = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}
"""ABI -> all file rights it knows: 13 at first, + refer (2), + truncate (3), + ioctl on devices (5)."""


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_python = ctypes.PyDLL(None)


class WallError(OSError):
    """A wall could not be set up; the message names it."""


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise WallError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(what: str, option: int, *values: object) -> None:
    _checked(_libc.prctl(*_arguments(option, *values)), what)


def fixed_addresses() -> bool:
    """Ask for an address space without randomisation; True when it is new, so that the caller must exec itself.

    Order of sets and reprs depend on addresses; without this, two runs could judge the same program differently.
    Not a wall: the program is hostile code already, there is nothing left to guess. Some container profiles refuse.
    """
    now = _libc.personality(ctypes.c_ulong(0xFFFFFFFF))
    if now < 0 or now & _ADDR_NO_RANDOMIZE:
        return False
    return bool(_libc.personality(ctypes.c_ulong(now | _ADDR_NO_RANDOMIZE)) >= 0)


def drop_privileges() -> None:
    """Become nobody where we are root, and give up every capability in any case.

    Where nobody has no number (a user namespace with one user in it) root stays root of nothing: without
    capabilities, and behind the other walls. The canary has the last word.
    """
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.setgroups([])
        with contextlib.suppress(OSError):
            os.setresgid(NOBODY, NOBODY, NOBODY)
        with contextlib.suppress(OSError):
            os.setresuid(NOBODY, NOBODY, NOBODY)
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    _checked(_libc.capset(header, bytes(24)), "capset")
    _prctl("PR_SET_DUMPABLE", _PR_SET_DUMPABLE, 0)  # no ptrace and no /proc/PID/mem by others of the same user


def no_new_privileges() -> None:
    """No gain by exec; without it an ordinary user may install neither landlock nor seccomp."""
    _prctl("PR_SET_NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def landlock() -> int:
    """Deny all files, TCP, abstract sockets and signals outside; returns the kernel's ABI, 0 where there is none."""
    abi = int(_libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1)))
    if abi < 1:
        return 0
    rights = [_LANDLOCK_FS[min(abi, 5)]]
    if abi >= 4:
        rights.append(0b11)  # bind and connect TCP
    if abi >= 6:
        rights.append(0b11)  # scope: abstract unix sockets, signals
    attributes = struct.pack(f"={len(rights)}Q", *rights)
    made = _libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    ruleset = _checked(made, "landlock_create_ruleset")
    _checked(_libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0)), "landlock_restrict_self")
    os.close(ruleset)
    return abi


def _instruction(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, k)


def seccomp_program(machine: str | None = None) -> bytes:
    """The filter for a CPU: another instruction set is killed, an allowed call passes, the rest gets EPERM.

    Raises WallError for a CPU whose call numbers are not known here.
    """
    machine = machine or platform.machine()
    if machine not in _ALLOWED:
        raise WallError(errno.ENOSYS, f"no seccomp filter for {machine}")
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
    calls = sorted(_ALLOWED[machine].values())
    program = [
        _instruction(load, 4),  # seccomp_data.arch
        _instruction(equal, _AUDIT_ARCH[machine], 1, 0),
        _instruction(give, _RET_KILL_PROCESS),
        _instruction(load, 0),  # seccomp_data.nr
        _instruction(at_least, _X32_BIT, len(calls), 0),  # x32 calls alias 64-bit numbers: to the EPERM below
    ]
    program += [_instruction(equal, number, len(calls) - i, 0) for i, number in enumerate(calls)]
    program += [_instruction(give, _RET_ERRNO | errno.EPERM), _instruction(give, _RET_ALLOW)]
    return b"".join(program)


class Walls:
    """What a child puts up around itself, made ready before the fork: there it is a few calls that allocate nothing.

    Args:
        program: of seccomp, as ``seccomp_program`` gives it.
        memory: bytes of address space; None to leave limits as they are.
    """

    def __init__(self, program: bytes, memory: int | None) -> None:
        self._filters = _SockFprog(len(program) // 8, program)
        self._seccomp = _arguments(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(self._filters))
        self._die = _arguments(_PR_SET_PDEATHSIG, 9)
        self._limits = [] if memory is None else [(what, _within(what, most, most)) for what, most in _limits(memory)]

    def die_with_parent(self) -> None:
        """SIGKILL when the process that forked us ends."""
        _checked(_libc.prctl(*self._die), "PR_SET_PDEATHSIG")

    def close(self, cpu_seconds: int) -> None:
        """Limits of memory, files, processes and CPU (then SIGXCPU), and the filter of system calls, for good."""
        for what, most in self._limits:
            resource.setrlimit(what, most)
        if self._limits:
            # SIGKILL a second later, should SIGXCPU be held off.
            resource.setrlimit(resource.RLIMIT_CPU, _within(resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1))
        _checked(_libc.prctl(*self._seccomp), "seccomp")


def _arguments(option: int, *values: object) -> tuple[object, ...]:
    padded = [*values, 0, 0, 0, 0][:4]
    return (option, *(ctypes.c_ulong(v) if isinstance(v, int) else v for v in padded))


def _limits(memory: int) -> tuple[tuple[int, int], ...]:
    return (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 4),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_STACK, 8 << 20),
    )


def _within(what: int, soft: int, hard: int) -> tuple[int, int]:
    """Limits no higher than what we may ask for."""
    ceiling = resource.getrlimit(what)[1]
    return (soft, hard) if ceiling == resource.RLIM_INFINITY else (min(soft, ceiling), min(hard, ceiling))


def fork() -> int:
    """The C library's fork. Python's own runs what modules asked for in a child (new locks, random numbers from the
    system): 130 page faults, and nothing that a process with one thread needs."""
    return int(_python.fork())


def holes() -> list[str]:
    """What a process inside the walls can do and must not; called by the canary, in its last moments."""
    found = []
    if _libc.open(b"/etc/passwd", 0) >= 0:
        found.append("open a file")
    if _libc.access(b"/", 0) >= 0:
        found.append("see a file's metadata")
    if _libc.socket(2, 2, 0) >= 0:  # UDP, which landlock does not know
        found.append("open a socket")
    if _libc.kill(os.getpid(), 0) >= 0:
        found.append("send a signal")
    child = _libc.fork()
    if child == 0:
        os._exit(0)
    if child > 0:
        found.append("fork")
    return found
