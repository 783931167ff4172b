"""Takes: what a mixture takes of each component, in exact numbers, and which copies of documents these are.

A component is a tape: pass after pass over all of its documents, in one order by keyed hash. Copy ``j`` of a document begins at
``j * T + before``, where T is the component's tokens and ``before`` those of the documents before it in a pass. A take is a
range of the tape, and has the copies that begin in it. So nothing is drawn twice in a pass, a budget is overshot by less than
one document, and what comes next goes on where the tape was left (docs/decisions/0035).

The stream is as long as all takes together. A take's phase is a range of it; the part of a take that lies in one pass is spread
evenly, by another hash, over the part of that range that corresponds: the mixture is the same everywhere in a phase, and
copies of a document are about a pass apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context as Decimals
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curate.errors import RecipeError
from curate.stages.amounts import short_count
from curate.stages.mixture import CurriculumPhase, Mix, exact
from curate.text.tape import KEYS, Piece, in_pieces

__all__ = ["Copies", "Take", "Taken", "Totals", "copies", "stated", "takes"]

Totals = Mapping[str, tuple[int, int]]
"""Documents and tokens (end-of-text among them) that are there, by component."""

_DIGITS: Final = Decimals(prec=40)
"""Powers of decimals are the same on every machine, those of floats are not."""
_DECIMALS: Final = 6


@dataclass(frozen=True)
class Take:
    """What one phase takes of one component.

    Attributes:
        phase: the phase's number, from 0 on.
        name: what reports call the phase.
        component: the component's name.
        start, stop: the range of its tape, in tokens.
        opens, closes: the range of the stream that the phase is, in tokens.
        length: tokens of the whole stream.
    """

    phase: int
    name: str
    component: str
    start: int
    stop: int
    opens: int
    closes: int
    length: int

    def key(self, at: int) -> int:
        """The key, in [0, KEYS], of the place in the stream that corresponds to a place of the tape."""
        size = self.stop - self.start
        return ((self.opens * size + (self.closes - self.opens) * (at - self.start)) * KEYS) // (self.length * size)


@dataclass(frozen=True)
class Copies:
    """Copies of documents that are taken, by row, then by epoch.

    Attributes:
        row: int64[m], which of the rows that were given.
        epoch: int32[m], the pass over its component.
        phase: int32[m], of the curriculum.
        key: uint64[m], its place in the stream.
        first, last: uint64[m], the range of keys of its pass in its phase, both ends included.
    """

    row: npt.NDArray[np.int64]
    epoch: npt.NDArray[np.int32]
    phase: npt.NDArray[np.int32]
    key: npt.NDArray[np.uint64]
    first: npt.NDArray[np.uint64]
    last: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Taken:
    """What was taken of a component in a phase, counted: documents (copies), tokens, and those that a model wrote."""

    documents: int
    tokens: int
    synthetic: int = 0


# -- amounts ---------------------------------------------------------------------------------------------------------

_Amounts = dict[str, int]


def takes(mix: Mix, totals: Totals) -> list[Take]:
    """What is taken, by phase, then by component; a pure function of both. Nothing of nothing.

    Raises RecipeError for what can't be: a component without documents, more than ``max_epochs``, budgets that don't add up.
    """
    named = mix.named() if mix.closed else totals
    there = {name: tokens for name, (_, tokens) in sorted(totals.items()) if tokens and name in named}
    if not there and not mix.named():
        return []
    phases = _phases(mix, there) if mix.phases else [_whole(mix, there)]
    length = sum(sum(amounts.values()) for amounts in phases)
    if not length:
        raise RecipeError("mix: takes no token", cure="give a component a weight, epochs or tokens above 0")
    tape, opens, found = dict.fromkeys(there, 0), 0, []
    for number, amounts in enumerate(phases):
        closes = opens + sum(amounts.values())
        name = (mix.phases[number].name if mix.phases else "") or str(number + 1)
        for component, tokens in sorted(amounts.items()):
            if tokens:
                start = tape[component]
                tape[component] = start + tokens
                found.append(Take(number, name, component, start, start + tokens, opens, closes, length))
        opens = closes
    return found


def _whole(mix: Mix, there: _Amounts) -> _Amounts:
    """What is taken where there are no phases."""
    if mix.temperature is not None:
        budget = mix.tokens if mix.tokens is not None else sum(there.values())
        return _capped(mix, there, _shared(budget, _tempered(there, mix.temperature)))
    fixed: _Amounts = {}
    relative: dict[str, Fraction] = {}
    weights: dict[str, Fraction] = {}
    for name in sorted({*there, *mix.components}):
        said = mix.components.get(name)
        if said is not None and said.weight is not None:
            weights[name] = exact(said.weight)
            if said.weight:
                _check_there(mix, there, name)
        elif said is not None and said.tokens is not None:
            fixed[name] = said.tokens
        else:
            epochs = Fraction(1) if said is None or said.epochs is None else exact(said.epochs)
            if epochs:
                _check_there(mix, there, name)
            relative[name] = epochs * there.get(name, 0)
    by_epochs = {name: int(tokens) for name, tokens in relative.items()}
    if not weights and mix.tokens is None:
        return {**by_epochs, **_capped(mix, there, fixed)}
    if weights:
        known = {**by_epochs, **fixed}
        rest = _rest(mix, known) if mix.tokens is not None else sum(there.get(name, 0) for name in weights)
        return {**by_epochs, **_capped(mix, there, {**fixed, **_shared(rest, weights)})}
    # Epochs are what parts are to each other: the budget takes the same share of all of them.
    return _capped(mix, there, {**fixed, **_shared(_rest(mix, fixed), relative)})


def _phases(mix: Mix, there: _Amounts) -> list[_Amounts]:
    """What each phase takes."""
    weights = {name: exact(c.weight) for name, c in mix.components.items() if c.weight is not None}
    if mix.temperature is not None:
        weights = _tempered(there, mix.temperature)
    everything = mix.tokens if mix.tokens is not None else sum(there.values())
    whole = sum((exact(p.share) for p in mix.phases if p.share is not None), Fraction(0))
    found, counted = [], dict.fromkeys(there, 0)
    upto = Fraction(0)
    for phase in mix.phases:
        if phase.epochs:
            found.append(_by_epochs(mix, there, phase))
            continue
        if phase.share is not None:
            first = int(everything * upto)
            upto += exact(phase.share) / whole
            budget = int(everything * upto) - first
        else:
            budget = phase.tokens or 0
        own = {name: exact(share) for name, share in phase.weights.items()}
        found.append(_shared(budget, own or weights))
        for name, tokens in found[-1].items():
            counted[name] = counted.get(name, 0) + tokens
    _capped(mix, there, counted)
    return found


def _by_epochs(mix: Mix, there: _Amounts, phase: CurriculumPhase) -> _Amounts:
    for name, epochs in phase.epochs.items():
        if epochs:
            _check_there(mix, there, name)
    return {name: int(exact(epochs) * there.get(name, 0)) for name, epochs in phase.epochs.items()}


def _tempered(there: _Amounts, temperature: float) -> dict[str, Fraction]:
    power = _DIGITS.divide(Decimal(1), Decimal(repr(temperature)))
    return {name: Fraction(_DIGITS.power(Decimal(tokens), power)) for name, tokens in there.items()}


def _shared(budget: int, weights: Mapping[str, Fraction]) -> _Amounts:
    """The budget by weights: whole tokens that sum to it exactly."""
    total = sum(weights.values(), Fraction(0))
    if not total:
        raise RecipeError(
            f"mix: {budget:,} tokens are to be taken of nothing", cure="give a component a weight above 0"
        )
    found, upto, done = {}, Fraction(0), 0
    for name in sorted(weights):
        upto += weights[name]
        end = int(budget * upto / total)
        found[name] = end - done
        done = end
    return found


def _rest(mix: Mix, known: _Amounts) -> int:
    """What is left of the budget for those whose amount is not said."""
    assert mix.tokens is not None
    rest = mix.tokens - sum(known.values())
    if rest < 0:
        raise RecipeError(
            f"mix: components have {sum(known.values()):,} tokens of their own, more than the {mix.tokens:,} in all",
            cure="raise 'tokens', or take less of them",
        )
    return rest


def _check_there(mix: Mix, there: _Amounts, name: str) -> None:
    """Raise RecipeError for a component without documents."""
    if name not in there:
        told = mix.named().get(name)
        match = ", ".join(told.match) if told is not None and told.match else name
        raise RecipeError(
            f"mix: component '{name}' has no documents: no {mix.by} is {match}",
            cure=f"there are: {', '.join(list(there)[:20])}"
            if there
            else f"name values of '{mix.by}', or patterns of them under 'match'; curate inspect --plain RUN shows what there is",
        )


def _capped(mix: Mix, there: _Amounts, amounts: _Amounts) -> _Amounts:
    """The same amounts. Raises RecipeError for one of more epochs than are allowed, or of a component that is not there."""
    budget = sum(amounts.values())
    for name, tokens in amounts.items():
        if not tokens:
            continue
        _check_there(mix, there, name)
        most = None if mix.max_epochs is None else int(exact(mix.max_epochs) * there[name])
        if most is not None and tokens > most:
            epochs, few = Fraction(tokens, there[name]), int(Fraction(most, tokens) * budget)
            raise RecipeError(
                f"mix: '{name}' has {there[name]:,} tokens, and {tokens:,} are to be taken: {float(epochs):.4g} epochs, more than "
                f"max_epochs ({mix.max_epochs:g})",
                cure=f"take less of it (a share of {float(Fraction(most, budget)):.3g}), fewer tokens in all "
                f"({short_count(few)}), or raise max_epochs",
            )
    return amounts


# -- copies ----------------------------------------------------------------------------------------------------------


def copies(
    taken: list[Take],
    totals: Totals,
    component: pa.StringArray,
    before: npt.NDArray[np.int64],
    ids: pa.Array,
    key: Callable[[int], int],
) -> Copies:
    """The copies of some documents that are taken. Needs no other document's row: batches give what all at once would.

    Args:
        taken: what ``takes`` gave.
        totals: what it was given.
        component: of each row; null, or one of which nothing is taken: no copy.
        before: int64[n], tokens of its component before it, in the order of the tape.
        ids: fixed_size_binary[n].
        key: a key for each epoch, for the hash of the place; not that of the order of the tape.
    """
    names = sorted({take.component for take in taken})
    number = {name: i for i, name in enumerate(names)}
    pieces, epochs, phases = [], [], []
    for take in taken:
        size = totals[take.component][1]
        for epoch in range(take.start // size, (take.stop - 1) // size + 1):
            low, high = max(take.start, epoch * size), min(take.stop, (epoch + 1) * size)
            first, stop = take.key(low), take.key(high)
            inside = (low - epoch * size, high - epoch * size)
            pieces.append(Piece(number[take.component], *inside, key(epoch), first, stop))
            epochs.append(epoch)
            phases.append(take.phase)
    codes = pc.index_in(component, value_set=pa.array(names, pa.string()))
    row, piece, keys = in_pieces(pieces, codes.fill_null(-1).to_numpy(), before, ids)
    # Takes go on where the tape was left: pieces of a component come in the order of their epochs.
    firsts = np.array([one.first for one in pieces], np.uint64)
    lasts = np.array([max(one.first, one.stop - 1) for one in pieces], np.uint64)
    passes, parts = np.array(epochs, np.int32), np.array(phases, np.int32)
    return Copies(row, passes[piece], parts[piece], keys, firsts[piece], lasts[piece])


# -- what is said of it ----------------------------------------------------------------------------------------------


def stated(
    taken: list[Take],
    totals: Totals,
    found: Mapping[tuple[int, str], Taken],
    left_out: tuple[int, int] = (0, 0),
) -> dict[str, Any]:
    """Plain values about the mixture, for manifests and reports.

    ``components`` by name: ``documents`` and ``tokens`` that are there; ``taken_documents`` (copies) and ``taken_tokens``;
    ``epochs`` and ``share`` of the taken tokens; where there are several phases, ``by_phase``. ``phases``: ``name``,
    ``planned_tokens`` and ``taken_tokens``. ``synthetic``: the share of taken tokens that a model wrote, ``real`` the rest.

    Args:
        found: what was taken, by the number of the phase and the component.
        left_out: documents and tokens that no component has.
    """
    all_tokens = sum(one.tokens for one in found.values())
    phases: dict[int, dict[str, Any]] = {}
    for number, name in sorted({(take.phase, take.name) for take in taken}):
        planned = sum(take.stop - take.start for take in taken if take.phase == number)
        got = sum(one.tokens for (phase, _), one in found.items() if phase == number)
        phases[number] = {"name": name, "planned_tokens": planned, "taken_tokens": got}
    components: dict[str, Any] = {}
    of_component: dict[str, dict[int, Taken]] = {}
    for (phase, name), one in sorted(found.items()):
        of_component.setdefault(name, {})[phase] = one
    planned_of = Counter[str]()
    for take in taken:
        planned_of[take.component] += take.stop - take.start
    for name, (documents, tokens) in sorted(totals.items()):
        mine = of_component.get(name, {})
        copies_, got = sum(one.documents for one in mine.values()), sum(one.tokens for one in mine.values())
        components[name] = {
            "documents": documents,
            "tokens": tokens,
            "planned_tokens": planned_of[name],
            "taken_documents": copies_,
            "taken_tokens": got,
            "epochs": _ratio(got, tokens),
            "share": _ratio(got, all_tokens),
            "synthetic": _ratio(sum(one.synthetic for one in mine.values()), got),
        }
        if len(phases) > 1:
            components[name]["by_phase"] = [
                {
                    "phase": phases[p]["name"],
                    "tokens": one.tokens,
                    "share": _ratio(one.tokens, phases[p]["taken_tokens"]),
                }
                for p, one in mine.items()
            ]
    written = sum(one.synthetic for one in found.values())
    return {
        "tokens": all_tokens,
        "components": components,
        "phases": list(phases.values()),
        "real": _ratio(all_tokens - written, all_tokens),
        "synthetic": _ratio(written, all_tokens),
        **({"left_out": {"documents": left_out[0], "tokens": left_out[1]}} if left_out[0] else {}),
    }


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, _DECIMALS) if whole else 0.0
