# ruff: noqa: ANN001, ANN002, ANN202, ARG001 - numba passes intrinsics its typing context.
# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
"""Short formulas of uint64 values in kernels, without a call.

numba has two other ways. A kernel of its own is compiled, stored, and linked to each one that calls it; ``inline="always"``
copies its code into the caller's at every place, which takes numba thirty to sixty milliseconds each.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

__all__ = ["formula"]

_WORD: Final = ir.IntType(64)


def formula(function: Callable[..., Any] | None = None, *, result: types.Type = types.uint64) -> Any:
    """A function for kernels, of integers taken as uint64, to a 64-bit integer, made of ``+ - * & | ^ ~ << >>``.

    It is run once for each place in a kernel, with values that write down what is done to them as instructions. A formula
    that it uses is called by ``python``. Numbers count modulo 2^64; shifts must be by less than 64.
    """
    if function is None:
        return partial(formula, result=result)
    called = function
    parameters = list(inspect.signature(called).parameters.values())

    def build(context, builder, signature, args):
        return _ir(called(*(_Value(builder, arg) for arg in args)))

    def typed(typing, *args):
        return kinds, build

    # numba counts the parameters of an intrinsic.
    kinds = result(*[types.uint64] * len(parameters))
    first = inspect.Parameter("typing", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typed.__signature__ = inspect.Signature([first, *parameters])  # type: ignore[attr-defined]
    typed.__name__ = called.__name__
    made = intrinsic(typed)
    made.python = called
    made.__doc__ = called.__doc__
    return made


def _ir(value: Any) -> ir.Value:
    """The instruction of a value, or the constant that a number is."""
    return value.ir if isinstance(value, _Value) else ir.Constant(_WORD, int(value) & 0xFFFFFFFFFFFFFFFF)


def _operation(name: str, *, turned: bool = False) -> Any:
    """A method that writes down an instruction of llvmlite's builder."""

    def method(self: _Value, other: Any) -> _Value:
        both = (_ir(other), self.ir) if turned else (self.ir, _ir(other))
        return _Value(self.builder, getattr(self.builder, name)(*both))

    return method


class _Value:
    """A uint64 of a kernel that is being compiled."""

    __array_ufunc__ = None  # NumPy's numbers leave operations to it

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder = builder
        self.ir = value

    __add__, __radd__ = _operation("add"), _operation("add")
    __sub__, __rsub__ = _operation("sub"), _operation("sub", turned=True)
    __mul__, __rmul__ = _operation("mul"), _operation("mul")
    __and__, __rand__ = _operation("and_"), _operation("and_")
    __or__, __ror__ = _operation("or_"), _operation("or_")
    __xor__, __rxor__ = _operation("xor"), _operation("xor")
    __lshift__, __rshift__ = _operation("shl"), _operation("lshr")

    def __invert__(self) -> _Value:
        return _Value(self.builder, self.builder.not_(self.ir))
