"""Functions in normal form and their match rate: planted copies, look-alikes, hostile text, a slow twin."""

import numpy as np
import pyarrow as pa
import pytest

from curate.text.arrow import buffers
from curate.text.syntax import functions, main_functions, name_hash, tree_index, tree_matches, trees

KNOWN = '''
def has_close_elements(numbers: List[float], threshold: float) -> bool:
    """ Check if in given list of numbers, are any two closer to each other than the threshold. """
    for idx, elem in enumerate(numbers):
        for idx2, elem2 in enumerate(numbers):
            if idx != idx2:
                distance = abs(elem - elem2)
                if distance < threshold:
                    return True

    return False
'''


def found(*texts):
    return functions(*buffers(pa.array(texts, pa.large_string())))


def index(*texts):
    one = found(*texts)
    main = main_functions(one, [None] * len(texts))
    return tree_index(trees(one, main, np.arange(len(texts))))


def tau(text, known=KNOWN, least=0.05):
    """The best match rate of a text's functions with one body."""
    rates = tree_matches(found(text), index(known), least).tau
    return float(rates.max()) if len(rates) else 0.0


def test_a_function_is_found_wherever_it_stands():
    """In a class, a fence, a doctest, a docstring, a diff, without its head."""
    lines = KNOWN.strip().splitlines()
    body = lines[2:]
    around = {
        "class": "class A:\n    x = 1\n\n" + "\n".join("    " + line for line in lines),
        "fence": "Some prose, don't worry (much:\n\n```python\n" + "\n".join(lines) + "\n```\nAnd more.",
        "doctest": "Text.\n\n    >>> " + "\n    ... ".join(lines) + "\n    ...\n    >>> has_close_elements([1], 2)\n",
        "docstring": "def other():\n    '''Like this:\n\n    " + "\n    ".join(lines) + "\n    '''\n    return 1\n",
        "diff": "+" + "\n+".join(lines) + "\n-gone\n",
        "inner": "def outer(a):\n    " + "\n    ".join(lines) + "\n    return has_close_elements\n",
        "headless": "The answer:\n\n" + "\n".join(body) + "\n\nThat is it.\n",
        "dedented": "\n".join(line[4:] for line in body),
    }
    for where, text in around.items():
        assert tau(text) == 1.0, where


def test_names_of_functions_are_blind_to_case_and_underscores():
    assert name_hash("is_prime") == name_hash("isPrime") != name_hash("is_primes")
    one = found("def Is_Prime(n): return 1\n")
    assert one.names.tolist() == [name_hash("isprime")]


def test_a_bad_rate_is_refused():
    with pytest.raises(ValueError):
        tree_matches(found(KNOWN), index(KNOWN), 0)
