"""Terms: what known licences ask of who uses a text, and the strictest of several.

A record that a model wrote stands under the terms of its teacher and of all its seeds. Each known licence is a set of
demands; one is stricter than another when it demands all that the other does and more. Licences that each demand
something that the other does not (non-commercial use; no competing models) hold together, written ``A AND B`` as SPDX
does. What is not known is a demand of its own that nothing meets: whoever mixes must be told.

This is a table for machines, not legal advice: it says what the texts of the licences say in one word each.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

__all__ = ["ATTRIBUTION", "KNOWN", "UNKNOWN", "UNSTATED", "USES", "Use", "conflicts", "demands", "strictest"]

UNSTATED: Final = "unstated"
"""What a record says whose terms nobody stated."""

ATTRIBUTION: Final = "attribution"
SHARE_ALIKE: Final = "share-alike"
NAMING: Final = "naming"
"""What is made with it must carry the model's name."""
USE_RULES: Final = "use-rules"
"""A list of uses is forbidden, and that must be passed on."""
NON_COMMERCIAL: Final = "non-commercial"
NO_DERIVATIVES: Final = "no-derivatives"
NO_COMPETING_MODELS: Final = "no-competing-models"
"""Models that compete with the teacher's maker may not be trained on it."""
NO_OTHER_MODELS: Final = "no-other-models"
"""No other language model may be improved with it."""
UNKNOWN: Final = "unknown"

_FREE: Final[frozenset[str]] = frozenset()
_BY: Final = frozenset({ATTRIBUTION})
_BY_SA: Final = _BY | {SHARE_ALIKE}

KNOWN: Final[dict[str, frozenset[str]]] = {
    **dict.fromkeys(("CC0-1.0", "Unlicense", "0BSD", "PDDL-1.0", "LicenseRef-Public-Domain", "MIT-0", "WTFPL"), _FREE),
    **dict.fromkeys(
        (
            "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "PSF-2.0", "Python-2.0", "PostgreSQL",
            "NCSA", "BSL-1.0", "Artistic-2.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0", "ODC-By-1.0", "CDLA-Permissive-2.0",
        ),
        _BY,
    ),
    **dict.fromkeys(
        (
            "CC-BY-SA-3.0", "CC-BY-SA-4.0", "ODbL-1.0", "MPL-2.0", "EPL-2.0", "LGPL-2.1", "LGPL-3.0", "GPL-2.0", "GPL-3.0",
            "AGPL-3.0", "GFDL-1.3",
        ),
        _BY_SA,
    ),
    "CC-BY-ND-4.0": _BY | {NO_DERIVATIVES},
    **dict.fromkeys(("CC-BY-NC-3.0", "CC-BY-NC-4.0"), _BY | {NON_COMMERCIAL}),
    **dict.fromkeys(("CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"), _BY_SA | {NON_COMMERCIAL}),
    "CC-BY-NC-ND-4.0": _BY | {NON_COMMERCIAL, NO_DERIVATIVES},
    **dict.fromkeys(("OpenRAIL", "OpenRAIL++", "BigScience-OpenRAIL-M", "BigCode-OpenRAIL-M", "Gemma"), _BY | {USE_RULES}),
    # Outputs may improve other models from 3.1 on, which then carry "Llama" in their names.
    **dict.fromkeys(
        ("Llama-3.1", "Llama-3.2", "Llama-3.3", "Llama-4"), _BY | {NAMING, USE_RULES}
    ),
    **dict.fromkeys(("Llama-2", "Llama-3"), _BY | {USE_RULES, NO_COMPETING_MODELS, NO_OTHER_MODELS}),
    **dict.fromkeys(
        ("OpenAI terms", "Anthropic terms", "Google AI terms", "Mistral AI terms", "Cohere terms"), frozenset({NO_COMPETING_MODELS})
    ),
}  # fmt: skip
"""Licences and terms by name, each with what it demands. SPDX names where there are any."""

_PLAIN: Final = re.compile(r"[^a-z0-9]+")
_SUFFIX: Final = re.compile(r"(?:-only|-or-later|\+)$")


def _fold(name: str) -> str:
    # Spellings of one name: "apache 2.0", "Apache-2.0", "GPL-3.0-or-later"; "cc-by-4.0" of a dataset's card.
    return _PLAIN.sub("", _SUFFIX.sub("", name.strip().lower()).removesuffix(" license").removesuffix(" licence"))


_FOLDED: Final = {_fold(name): name for name in KNOWN}
_ALIASES: Final = {
    _fold(other): name
    for name, others in {
        "OpenAI terms": ("OpenAI", "OpenAI terms of use", "OpenAI-ToU"),
        "Llama-2": ("llama2", "Llama 2 Community License"),
        "Llama-3": ("llama3", "Llama 3 Community License"),
        "Llama-3.1": ("llama3.1", "Llama 3.1 Community License"),
        "Llama-3.2": ("llama3.2", "Llama 3.2 Community License"),
        "Llama-3.3": ("llama3.3", "Llama 3.3 Community License"),
        "Llama-4": ("llama4", "Llama 4 Community License"),
        "LicenseRef-Public-Domain": ("public domain", "pd"),
        "ODC-By-1.0": ("ODC-By",),
        "Unlicense": ("The Unlicense",),
    }.items()
    for other in others
}


def _known(name: str) -> str | None:
    folded = _fold(name)
    return _FOLDED.get(folded) or _ALIASES.get(folded)


@dataclass(frozen=True)
class Use:
    """What texts are for.

    Attributes:
        about: in a few words.
        meets: demands that who uses them so can meet; any other is a conflict.
    """

    about: str
    meets: frozenset[str]


_DUTIES: Final = _BY | {SHARE_ALIKE, NAMING}
"""What who gives texts or weights on can do: say where they are from, under which licence and name."""

USES: Final[dict[str, Use]] = {
    "train-open": Use("models whose weights anybody may use for anything", _DUTIES),
    "train-closed": Use("models of one's own that earn money and are not given away", _DUTIES | {USE_RULES}),
    "research": Use(
        "models of non-commercial research that are neither given away nor sold",
        _DUTIES | {USE_RULES, NON_COMMERCIAL, NO_COMPETING_MODELS},
    ),
    "evaluate": Use(
        "measuring models; no model is trained on them, and they are not given on",
        _DUTIES | {USE_RULES, NON_COMMERCIAL, NO_DERIVATIVES, NO_COMPETING_MODELS, NO_OTHER_MODELS},
    ),
}
"""Uses that a recipe can declare (``use:``). None of them meets UNKNOWN."""


def demands(terms: str) -> frozenset[str]:
    """What terms ask for: of ``A AND B`` what either asks for, of ``A OR B`` what the milder one does.

    Nothing, an unknown name and anything more complicated than that ask for UNKNOWN.
    """
    # The mildest: nothing unknown before anything known, then the fewest demands, then the order in which they stand.
    return min(_choices(terms), key=lambda asked: (UNKNOWN in asked, len(asked)))


def conflicts(terms: str, use: str, allowed: Iterable[str] = ()) -> frozenset[str]:
    """What terms ask for that a use (of USES) does not meet; of ``A OR B`` the choice that leaves least. Empty: no conflict.

    ``allowed`` names terms that are let pass whatever they ask for, alone or as a part of ``A AND B``.
    """
    passed = frozenset(map(_name, allowed))
    if _name(terms) in passed:
        return frozenset()
    return min(
        (asked - USES[use].meets for asked in _choices(terms, passed)), key=lambda left: (UNKNOWN in left, len(left))
    )


def _name(terms: str) -> str:
    one = terms.strip() or UNSTATED
    return _known(one) or one


def _choices(terms: str, passed: frozenset[str] = frozenset()) -> list[frozenset[str]]:
    """What each choice of ``A OR B`` asks for."""
    if "(" in terms and not terms.strip().startswith("("):
        return [frozenset({UNKNOWN})]
    text = terms.strip().removeprefix("(").removesuffix(")")
    if "(" in text or ")" in text:
        return [frozenset({UNKNOWN})]
    choices = []
    for choice in re.split(r"\s+OR\s+", text):
        asked: frozenset[str] = frozenset()
        for one in re.split(r"\s+AND\s+", choice):
            known = _known(re.split(r"\s+WITH\s+", one)[0])
            if _name(one) not in passed:
                asked |= KNOWN[known] if known is not None else {UNKNOWN}
        choices.append(asked)
    return choices


def strictest(terms: Iterable[str]) -> str:
    """The terms that are as strict as all of these together; several that hold at once are joined by `` AND ``.

    Empty terms count as UNSTATED, which stays beside whatever is known. Of equally strict ones the first by name stays:
    a record names its seeds, each with its own. No terms at all: empty.
    """
    given = sorted({part for one in terms for part in (_parts(one) or [UNSTATED])})
    asked = {one: demands(one) for one in given}
    kept: list[str] = []
    for one in given:
        unknown = UNKNOWN in asked[one]
        # Two unknown ones may ask for different things: each stays.
        covered = any(
            asked[one] < asked[other] or (asked[one] == asked[other] and other < one)
            for other in given
            if other != one and UNKNOWN not in asked[other]
        )
        if unknown or not covered:
            kept.append(one)
    return " AND ".join(kept)


def _parts(terms: str) -> list[str]:
    """Terms that hold together, each by its known name; a choice is one."""
    if re.search(r"\s+OR\s+", terms) or "(" in terms:
        return [terms.strip()]
    return [_known(one) or one.strip() for one in re.split(r"\s+AND\s+", terms.strip()) if one.strip()]
