"""Terms: what licences ask for, and the strictest of several."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.stages.terms import (
    ATTRIBUTION,
    KNOWN,
    NO_COMPETING_MODELS,
    NO_OTHER_MODELS,
    NON_COMMERCIAL,
    UNKNOWN,
    USE_RULES,
    USES,
    conflicts,
    demands,
    strictest,
)


@pytest.mark.parametrize(("terms", "strict"), [
    ([], ""),
    (["Apache-2.0"], "Apache-2.0"),
    (["apache 2.0", "CC0-1.0"], "Apache-2.0"),
    (["MIT", "Apache-2.0"], "Apache-2.0"),
    (["MIT", "CC-BY-SA-4.0"], "CC-BY-SA-4.0"),
    (["CC-BY-NC-4.0", "OpenAI terms"], "CC-BY-NC-4.0 AND OpenAI terms"),
    (["Apache-2.0", "Llama-2"], "Llama-2"),
    (["Apache-2.0", ""], "Apache-2.0 AND unstated"),
    (["Acme licence", "MIT", "Other licence"], "Acme licence AND MIT AND Other licence"),
    (["MIT OR GPL-3.0", "CC0-1.0"], "MIT OR GPL-3.0"),
    (["CC-BY-NC-4.0 AND OpenAI terms", "MIT"], "CC-BY-NC-4.0 AND OpenAI terms"),
    (["GPL-3.0-or-later", "MIT"], "GPL-3.0"),
])  # fmt: skip
def test_the_strictest(terms, strict):
    """One that asks for all that the others do; else those that hold together. What is unknown stays beside the known."""
    assert {strictest(order) for order in permutations(terms)} == {strict}


@given(st.lists(st.sampled_from([*KNOWN, "unstated", "Acme"]), min_size=1, max_size=5))
@settings(max_examples=50)
def test_the_strictest_asks_for_all(terms):
    """Nothing that any of them demands is lost, nothing is added, and doing it again changes nothing."""
    strict = strictest(terms)
    assert demands(strict) == frozenset().union(*map(demands, terms))
    assert strictest([strict, *terms]) == strict


def test_demands():
    """Of a choice the milder, of both together all; what is unknown is a demand of its own."""
    assert demands("MIT OR Apache-2.0") == {ATTRIBUTION}
    assert demands("CC0-1.0 OR Acme") == frozenset()
    assert demands("CC-BY-NC-4.0 AND OpenAI terms") == {ATTRIBUTION, NON_COMMERCIAL, NO_COMPETING_MODELS}
    assert demands("Apache-2.0 WITH LLVM-exception") == {ATTRIBUTION}
    assert demands("") == demands("(MIT) OR (ISC)") == {UNKNOWN}


@pytest.mark.parametrize(("terms", "use", "left"), [
    ("MIT", "train-open", set()),
    ("CC-BY-SA-4.0 AND Llama-3.1", "train-open", {USE_RULES}),
    ("Llama-3.1", "train-closed", set()),
    ("OpenAI terms", "train-open", {NO_COMPETING_MODELS}),
    ("OpenAI terms", "train-closed", {NO_COMPETING_MODELS}),
    ("OpenAI terms AND CC-BY-NC-4.0", "research", set()),
    ("CC-BY-NC-4.0", "train-closed", {NON_COMMERCIAL}),
    ("Llama-2", "research", {NO_OTHER_MODELS}),
    ("Llama-2", "evaluate", set()),
    ("CC-BY-NC-4.0 OR Llama-2", "research", set()),
    ("CC-BY-NC-4.0 OR Acme", "train-open", {NON_COMMERCIAL}),
])  # fmt: skip
def test_conflicts(terms, use, left):
    """What a use can not meet; of a choice the one that leaves least."""
    assert conflicts(terms, use) == left


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("terms", ["", "unstated", "Acme", "MIT AND Acme", "(MIT) OR (ISC)"])
def test_what_is_unknown_conflicts_with_every_use(terms, use):
    assert UNKNOWN in conflicts(terms, use)


def test_terms_are_let_pass_by_name():
    """Alone or as a part, in any spelling of a known name, and nothing beside them."""
    assert conflicts("OpenAI terms", "train-open", ["openai"]) == set()
    assert conflicts("OpenAI terms AND CC-BY-NC-4.0", "train-open", ["OpenAI terms"]) == {NON_COMMERCIAL}
    assert conflicts("MIT AND Acme", "train-open", ["Acme"]) == set()
    assert conflicts("", "train-open", ["unstated"]) == conflicts("(x)(y)", "research", ["(x)(y)"]) == set()
    assert conflicts("Acme", "train-open", ["unstated", "acme "]) == {UNKNOWN}
