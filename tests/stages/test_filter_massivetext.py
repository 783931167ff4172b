"""filter.massivetext: each rule fires on what it is for under each way of counting; good prose passes all."""

from __future__ import annotations

import random

import pytest
from exchange import CONTEXT, batch

from curate.stages.filter_massivetext import MassiveText
from curate.text.massivetext import COUNTINGS

WORDS = (  # noqa: SIM905 - a list of strings would be a page long
    "time person year way day thing man world life hand part child eye woman place work week case point number group "
    "problem fact house water room mother area money story month lot right study book eyes job word business issue side"
).split()


def prose(seed: int = 1, lines: int = 12, words: int = 14) -> str:
    """Lines of words in an order that does not repeat, with a stop word in each line."""
    draw = random.Random(seed)
    return "\n".join(
        "The " + " ".join(draw.choice(WORDS) for _ in range(words)) + f" of {draw.choice(WORDS)} and that."
        for _ in range(lines)
    )


PROSE = prose()


def runs(length: int, copies: int, seed: int) -> str:
    """``copies`` of one run of ``length`` words among other words, on lines that differ."""
    draw = random.Random(seed)
    run = " ".join(draw.sample(WORDS, length))
    between = [" ".join(draw.choice(WORDS) + draw.choice("abcdefgh") for _ in range(8)) for _ in range(copies)]
    return "\n".join(f"the {run} and {other}" for other in between)


BROKEN = {
    "too_short": "The end of the story and that.",
    "too_long": "\n".join(prose(seed, 4000) for seed in range(2)),
    "short_words": "a b c d e f g h i j k l m n o p q r s t u v w x y z the of " * 2,
    "long_words": PROSE.replace(" ", "andsomethingmuchlongerthanaword ").replace("The", "The of"),
    "hashes": PROSE.replace("time", "#tag").replace("man", "#man").replace("room", "#room").replace("e ", "e #"),
    "ellipses": PROSE.replace("e ", "e... "),
    "symbols": PROSE.replace("e ", "e# "),
    "bullets": "\n".join("- " + line for line in PROSE.split("\n")),
    "ellipsis_lines": PROSE.replace(".\n", "\u2026\n"),
    "few_alpha_words": PROSE + "\n" + " ".join(str(10_000 + 7 * n) for n in range(60)),
    "no_stop_words": " ".join(WORDS * 2),
    "duplicate_lines": "\n".join([*PROSE.split("\n"), *["see also and the next"] * 12]),
    "duplicate_paragraphs": "\n\n".join([*PROSE.split("\n"), *["see also and the next"] * 12]),
    "duplicate_line_chars": PROSE + "\n" + "\n".join(PROSE.split("\n")[:5]),
    "duplicate_paragraph_chars": PROSE.replace("\n", "\n\n") + "\n\n" + "\n\n".join(PROSE.split("\n")[:5]),
    "top_2gram": PROSE.replace("The", "The extraordinary consideration").replace(
        " and", " extraordinary consideration"
    ),
    "top_3gram": PROSE.replace("The", "The extraordinary consideration notwithstanding"),
    "top_4gram": PROSE.replace("The", "The extraordinary consideration notwithstanding everything"),
    **{f"duplicate_{n}gram": runs(n, 12, n) for n in range(5, 11)},
}
ABSENT = {
    "paper": {"symbols"},
    "datatrove": {"symbols"},
    "dolma": {"hashes", "ellipses", "duplicate_paragraphs", "duplicate_paragraph_chars"},
    "dclm": {"hashes", "ellipses"},
}
"""Rules that a way of counting does not have, or never breaks."""


def broken(text: str, stage: MassiveText) -> set[str]:
    """Every rule that a text breaks, not the first alone."""
    signals = stage.measure(batch([text]), CONTEXT)
    return {reason for reason, condition in stage.rules(signals) if condition[0].as_py()}


@pytest.mark.parametrize("counting", COUNTINGS)
def test_good_prose_passes(counting: str) -> None:
    """Prose without repetition breaks no rule."""
    assert broken(PROSE, MassiveText(counting=counting)) == set()  # type: ignore[arg-type]


@pytest.mark.parametrize("counting", COUNTINGS)
@pytest.mark.parametrize("reason", MassiveText.reasons)
def test_each_rule_fires(counting: str, reason: str) -> None:
    """A text with one fault breaks the rule on it; with the threshold out of the way it does not."""
    stage = MassiveText(counting=counting)  # type: ignore[arg-type]
    found = broken(BROKEN[reason], stage)
    if reason in ABSENT[counting]:
        assert reason not in found
        return
    assert reason in found
    assert reason not in broken(PROSE, stage)


def test_settings_reach_their_rules() -> None:
    """Each threshold moves its own rule alone: with it at its widest the rule no longer breaks."""
    widest = {"min_words": 0, "min_word_length": 0.0, "min_alpha_words": 0.0, "min_stop_words": 0, "max_words": 10**9}
    rules = {
        "too_short": "min_words",
        "too_long": "max_words",
        "short_words": "min_word_length",
        "long_words": "max_word_length",
        "hashes": "max_symbol_ratio",
        "ellipses": "max_symbol_ratio",
        "bullets": "max_bullet_lines",
        "ellipsis_lines": "max_ellipsis_lines",
        "few_alpha_words": "min_alpha_words",
        "no_stop_words": "min_stop_words",
    }
    for reason in set(BROKEN) - {"symbols"}:
        setting = rules.get(reason, f"max_{reason}")
        stage = MassiveText.model_validate({setting: widest.get(setting, 1e9)})
        assert reason in broken(BROKEN[reason], MassiveText())
        assert reason not in broken(BROKEN[reason], stage), reason


def test_the_same_text_counted_four_ways() -> None:
    """What the ways differ in, on one text each: copies, bullets, case of stop words, median, dots with blanks."""

    def measured(text: str, counting: str, signal: str) -> float:
        signals = MassiveText(counting=counting).measure(batch([text]), CONTEXT)  # type: ignore[arg-type]
        return float(signals[signal][0].as_py())

    def ways(text: str, signal: str) -> list[float]:
        return [measured(text, counting, signal) for counting in COUNTINGS]

    assert ways("a\nb\na\nc", "duplicate_lines") == [0.25, 0.25, 0.5, 0.5]
    assert ways("a\n\nb\n\na\n\nc", "duplicate_paragraphs") == [0.25, 0.25, 0.0, 0.5]
    assert ways("* a\n\u25cf b\n\u2022 c\nd", "bullet_lines") == [0.75, 0.25, 0.25, 0.75]
    assert ways("so. . .\nso...\nso\u2026\nso", "ellipsis_lines") == [0.5, 0.5, 0.25, 0.75]
    assert ways("The cat, that; the THE (of)", "stop_words") == [3, 3, 1, 5]
    assert ways("a bb ccc dddd eeeeeeeeee", "word_length") == [4.0, 4.0, 3.0, 4.0]
    assert ways("a b a b a c", "top_2gram") == [4 / 6, 6 / 11, 4 / 6, 4 / 6]
    assert ways("a b c d", "top_2gram") == [0.0, 3 / 7, 0.5, 0.0]
    text = "a b c d e x a b c d e"
    assert ways(text, "duplicate_5gram") == [5 / 11, 5 / 21, 10 / 35, 10 / 11]


def test_dolmas_bound_on_duplicate_lines() -> None:
    """The paper has 0.2 and dolma's mixing configurations 0.3: a setting, and the paper's is the default of every way."""
    text = "the first of all lines\nand one more\nand one more\nthat is not the end of all lines here and some more to be read"
    assert "duplicate_line_chars" in broken(text, MassiveText(counting="dolma"))
    assert "duplicate_line_chars" not in broken(text, MassiveText(counting="dolma", max_duplicate_line_chars=0.3))
    assert "duplicate_line_chars" in broken(text, MassiveText(counting="dclm"))


def test_empty_and_wordless_texts() -> None:
    """A text without words has no mean word: it is too short and neither of short nor of long words."""
    for text in ("", " \n\u3000", "\n\n"):
        for counting in ("paper", "datatrove", "dclm"):
            stage = MassiveText(counting=counting)  # type: ignore[arg-type]
            assert stage.measure(batch([text]), CONTEXT)["word_length"][0].as_py() is None
            assert {"too_short", "no_stop_words"} <= broken(text, stage)
            assert not {"short_words", "long_words"} & broken(text, stage)
