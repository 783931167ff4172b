# ruff: noqa: ANN001, ANN201, ANN202, ARG001 - numba infers the types of kernels and passes intrinsics its typing context.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""64 bytes at a time, by vector instructions (LLVM chooses those of the machine): a bit for each byte, for kernels.

Bit ``i`` stands for byte ``at + i``. ``block_masks`` makes a kernel from formulas over a ``Block``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["BLOCK", "Block", "before", "block_masks", "move_block"]

BLOCK: Final = 64
"""Bytes of a block."""
_BYTE: Final = ir.IntType(8)
_LANES: Final = ir.VectorType(_BYTE, BLOCK)
_ONE: Final = np.uint64(1)
_ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)


class Block:
    """The 64 bytes at an address, and those ``ahead`` of it, while a kernel is compiled."""

    def __init__(self, builder: Any, address: Any) -> None:
        self._builder = builder
        self._address = address
        self._loaded: dict[int, Any] = {}

    def _bytes(self, ahead: int) -> Any:
        if ahead not in self._loaded:
            place = self._builder.gep(self._address, [ir.Constant(ir.IntType(64), ahead)])
            vector = self._builder.bitcast(place, _LANES.as_pointer())
            self._loaded[ahead] = self._builder.load(vector, align=1)
        return self._loaded[ahead]

    def _each(self, value: int) -> Any:
        return ir.Constant(_LANES, [ir.Constant(_BYTE, value)] * BLOCK)

    def among(self, first: int, last: int, ahead: int = 0) -> Any:
        """``first <= byte <= last``."""
        moved = self._builder.sub(self._bytes(ahead), self._each(first))
        return self._builder.icmp_unsigned("<=", moved, self._each(last - first))

    def letter(self, letter: str, ahead: int = 0) -> Any:
        """An ASCII letter in either case."""
        low = self._builder.or_(self._bytes(ahead), self._each(32))
        return self._builder.icmp_unsigned("==", low, self._each(ord(letter)))

    def letters(self) -> Any:
        """ASCII letters."""
        low = self._builder.or_(self._bytes(0), self._each(32))
        moved = self._builder.sub(low, self._each(97))
        return self._builder.icmp_unsigned("<=", moved, self._each(25))

    def any(self, *found: Any) -> Any:
        """Where one of them is."""
        result = found[0]
        for other in found[1:]:
            result = self._builder.or_(result, other)
        return result

    def both(self, one: Any, two: Any) -> Any:
        """Where both are."""
        return self._builder.and_(one, two)

    def without(self, one: Any, two: Any) -> Any:
        """Where the first is and the second is not."""
        return self._builder.and_(one, self._builder.not_(two))


Formula = Callable[[Block], Any]


def block_masks(*formulas: Formula) -> Any:
    """``kernel(data, at)``: a tuple of uint64, the mask of each formula for ``data[at:at + 64]``.

    It reads 64 bytes from ``at`` on, and as many more as the farthest ``ahead``: the caller sees to it that there are any.
    """
    result = types.UniTuple(types.uint64, len(formulas))

    @intrinsic
    def classify(typing, data, at):
        def code(context, builder, signature, args):
            array = context.make_array(signature.args[0])(context, builder, args[0])
            block = Block(builder, builder.gep(array.data, [args[1]]))
            values = [builder.bitcast(formula(block), ir.IntType(64)) for formula in formulas]
            return context.make_tuple(builder, signature.return_type, values)

        return result(data, types.int64), code

    return classify


@intrinsic
def move_block(typing, data, at, out, to):
    """Write ``data[at:at + 64]`` at ``out[to:to + 64]``."""

    def code(context, builder, signature, args):
        places = []
        for array_type, array, first in zip(signature.args[::2], args[::2], args[1::2], strict=True):
            start = context.make_array(array_type)(context, builder, array).data
            places.append(builder.bitcast(builder.gep(start, [first]), _LANES.as_pointer()))
        builder.store(builder.load(places[0], align=1), places[1], align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, out, types.int64), code


@njit(nogil=True, cache=True, inline="always")
def before(at, stop):
    """Mask of a block's bytes from ``at`` on that stand before ``stop``; ``at < stop``."""
    return _ALL >> np.uint64(max(BLOCK - (stop - at), 0))
