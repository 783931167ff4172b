"""Errors of a stage say at which step they arose, once."""

import pytest

from curate.errors import InputError, RecipeError
from curate.run.task import at_step


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RecipeError("no numbers", cure="name others"), "step 'good': no numbers; name others"),
        (InputError("no numbers", place="a.csv:3"), "a.csv:3: no numbers"),
        (InputError("step 'good': none"), "step 'good': none"),
    ],
)
def test_a_place_is_added_where_there_is_none(error, line):
    """Of the same class, with the same exit code."""
    with pytest.raises(type(error)) as raised, at_step("good"):
        raise error
    assert str(raised.value) == line
