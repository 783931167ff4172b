"""The dataset card."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from curate.report.card import card, hub_licences
from curate.report.run_folder import finished_run
from curate.store.files import Store


@pytest.fixture(scope="module")
def text(small_run: Path) -> str:
    """The card as the run wrote it."""
    return (small_run / "README.md").read_text(encoding="utf-8")


def test_front_matter_is_what_the_hub_reads(text: str) -> None:
    """YAML with licences by the hub's ids, a size, and one config per dataset whose files are there."""
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == ["cc-by-4.0", "mit", "other"]
    assert front["size_categories"] == ["1K<n<10K"]
    assert [c["config_name"] for c in front["configs"]] == ["pages", "tokens", "documents"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "pages/*.arrow"}]
    assert [c.get("default") for c in front["configs"]] == [True, None, None]


def test_counts_are_those_of_the_rows(text: str) -> None:
    """Shares by source and licence, steps with reasons, decontamination, tokenizer."""
    row = next(line for line in text.splitlines() if line.startswith("| notes |"))
    cells = [c.strip() for c in row.strip("|").split("|")]
    # 60 of `notes`, and the huge line; one of the two p0 may have gone as a copy.
    assert cells[1] in ("61", "60") and cells[5].startswith("CC-BY-4.0 98%, not stated 2%")
    assert "| `rules` | filter.massivetext | docs | 127 | 125 | 2 | too_short 2 |" in text
    assert "- `too_short`: fewer words than min_words" in text
    assert "compared 123 documents with humaneval" in text
    assert "trained here by step `words`, 512 pieces" in text
    assert "Real : synthetic text, by bytes: 100.0% : 0.0%." in text


def test_quality_is_reported_as_it_is(text: str, small_run: Path) -> None:
    """What the classifier's own card says about held-out documents, in short, and where that card is."""
    line = text.split("## How good was told from bad\n\n")[1].split("\n", maxsplit=1)[0]
    said = re.fullmatch(
        r"- `(\w+)` \(.*[^.]\): ROC AUC (\S+), accuracy (\S+) on (\d+) held-out .* `\1/card.md`\.", line
    )
    assert said and said[2] in (small_run / said[1] / "card.md").read_text(encoding="utf-8")


def test_text_of_strangers_is_only_text(text: str) -> None:
    """No control character, no HTML, no broken table: sources and licences come from the rows themselves."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert "<script>" not in text and "&lt;script&gt;" in text and "<b>" not in text
    head = next(line for line in text.splitlines() if line.startswith("| source |"))
    hostile = next(line for line in text.splitlines() if "&lt;script&gt;" in line)
    assert len(re.findall(r"(?<!\\)\|", hostile)) == len(re.findall(r"(?<!\\)\|", head))


def test_the_card_has_no_time_and_no_path(small_run: Path, text: str) -> None:
    """Made again it is the same, and it does not say where it was made."""
    assert card(finished_run(Store(small_run))) == text
    assert str(small_run) not in text and not re.search(r"20\d\d-\d\d-\d\d", text)


@pytest.mark.parametrize(
    ("said", "ids"),
    [
        (["MIT OR Apache-2.0"], ["apache-2.0", "mit"]),
        (["GPL-3.0-or-later", "(BSD-3-Clause)"], ["bsd-3-clause", "gpl-3.0"]),
        (["LicenseRef-Own"], ["other"]),
        (["not stated"], ["unknown"]),
        ([], ["unknown"]),
    ],
)
def test_licences_by_the_hubs_ids(said: list[str], ids: list[str]) -> None:
    """SPDX expressions are taken apart; what the hub does not know is `other`."""
    assert hub_licences(said) == ids


def test_a_run_without_a_writer_says_so(tmp_path: Path, curate: Callable) -> None:
    """The card names the steps, and no dataset."""
    from recipes import write
    from small_run import steps, write_run

    write_run(tmp_path)
    recipe = write(tmp_path / "short.yaml", steps()[:3], name="short")
    curate.run(recipe, tmp_path / "run").ok()
    text = (tmp_path / "run/README.md").read_text(encoding="utf-8")
    assert "The recipe has no `write.*` step" in text and "configs:" not in text.split("---\n")[1]
    assert "## How to load it" not in text
