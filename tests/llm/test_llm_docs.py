"""What docs/generation.md shows runs."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs/generation.md"


def test_the_example_of_a_teacher_runs():
    """With its own asserts."""
    blocks = [b for b in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "Teacher(" in b]
    assert len(blocks) == 1
    exec(compile(blocks[0], str(DOCS), "exec"), {})
