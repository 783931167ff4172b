"""What goes through the pipes of a zygote: fixed heads (struct) and bytes.

Not JSON: in a forked child every page that is written to is copied, and reading JSON writes to 70 of them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from curate.sandbox.harness import Order

KEY_BYTES: Final = 32
_REQUEST: Final = struct.Struct(f"={KEY_BYTES}sBIq???II16s68sII")
REQUEST_BYTES: Final = _REQUEST.size
_REPLY: Final = struct.Struct("=i?dII")
REPLY_BYTES: Final = _REPLY.size


@dataclass(frozen=True)
class Reply:
    """How a child ended: exit status (or minus a signal), whether it was ended for the clock on the wall, CPU seconds, what
    it wrote of a result and of output."""

    status: int
    stalled: bool
    cpu: float
    result: bytes
    output: bytes

    def encode(self) -> bytes:
        """The reply's bytes."""
        head = _REPLY.pack(self.status, self.stalled, self.cpu, len(self.result), len(self.output))
        return head + self.result + self.output


def decode_head(head: bytes) -> tuple[int, bool, float, int, int]:
    """Status, stalled, cpu, and how many bytes of result and of output follow."""
    return _REPLY.unpack(head)


def encode_request(key: bytes, status: int, cpu_seconds: int, order: Order) -> bytes:
    """A request: the key of its result, the exit status of a child that came to its end, seconds of CPU, what to run."""
    code, tests = (text.encode("utf-8", "surrogatepass") for text in (order.code, order.tests))
    head = _REQUEST.pack(
        key,
        status,
        cpu_seconds,
        -1 if order.steps is None else order.steps,
        order.needs_tests,
        order.variants,
        order.stubs,
        order.mutants,
        order.after,
        order.stub.encode(),
        " ".join(order.names).encode(),
        len(code),
        len(tests),
    )
    return head + code + tests


def decode_request(head: bytes) -> tuple[bytes, int, int, dict[str, Any], int, int]:
    """Key, status, seconds, the fields of the order but its texts, and how many bytes of code and of tests follow."""
    key, status, cpu_seconds, steps, needs_tests, variants, stubs, mutants, after, stub, names, code, tests = (
        _REQUEST.unpack(head)
    )
    fields: dict[str, Any] = {
        "steps": None if steps < 0 else steps,
        "needs_tests": needs_tests,
        "variants": variants,
        "stubs": stubs,
        "mutants": mutants,
        "after": after,
        "stub": stub.rstrip(b"\0").decode(),
        "names": tuple(names.rstrip(b"\0").decode().split()),
    }
    return key, status, cpu_seconds, fields, code, tests
