"""Rules on source code after StarCoder, StarCoder2 and The Stack, and after the phi-1 paper's complaints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from curate.stages.base import Context, Filter, Signals
from curate.stages.bounds import Bound
from curate.stages.registry import register
from curate.text.batch import Batch


class Limits(BaseModel):
    """Limits for the files of one extension; what is not given is as the general settings say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_lines: int | None = Field(None, ge=0, description="beside the general one")
    min_chars: int | None = Field(None, ge=0, description="beside the general one")
    max_chars: int | None = Field(None, ge=0, description="beside the general one")
    max_line_chars: int | None = Field(None, ge=0, description="in place of the general one")
    max_mean_line_chars: float | None = Field(None, ge=0, description="in place of the general one")
    min_alphabetic: float | None = Field(None, ge=0, le=1, description="in place of the general one")


@register("filter.code_rules")
class CodeRules(Filter):
    """Drop source files that no textbook would print: generated, minified, encoded, tables, configuration, fragments.

    Defaults are those of The Stack (Kocetkov et al. 2022), SantaCoder (Ben Allal et al. 2023), StarCoder (Li et al.
    2023, section 3.2) and StarCoder2 (Lozhkov et al. 2024, section 2.1). The last five rules follow the complaints of
    the phi-1 paper (Gunasekar et al. 2023, section 2.1) about code that teaches little: it depends on other modules,
    does no more than define constants or set up a graphical interface, or buries its logic without a comment.

    The language is that of the extension in ``meta`` (path, file_path, ... as `read.code` and The Stack write it), or
    else in the record's own id. What it bears on: comments, HTML, limits of its own (HTML, JSON, Markdown, TeX, text,
    XML, YAML, ...: ``curate.text.code_languages``), and for Python the rules after phi-1. Files without a known
    extension are judged by the rules that hold for all languages. Shares are 0 to 1; a share of nothing is 0.
    """

    revision: ClassVar[int] = 2
    reasons: ClassVar[Mapping[str, str]] = {
        "too_short": "fewer characters than min_chars, or than its format should have",
        "too_long": "more characters or lines than max_chars, max_lines, or than its format should have",
        "generated": "says near its beginning that a program wrote it",
        "xml_header": "begins like XML (in the first 100 characters) and is neither XSLT nor HTML",
        "long_lines": "a line longer than max_line_chars",
        "long_mean_line": "lines longer than max_mean_line_chars on average",
        "encoded_data": "base64, hexadecimal or escaped bytes, in one long run or as a large share of the file",
        "few_alphanumeric": "fewer letters and digits than min_alphanumeric",
        "few_alphabetic": "fewer letters than min_alphabetic",
        "mostly_digits": "more digits than max_digits",
        "few_comments": "fewer comments than min_comments",
        "mostly_comments": "more comments than max_comments",
        "few_html_text": "HTML with less visible text than min_html_text or min_html_chars",
        "only_imports": "Python: little but imports, more than max_import_lines",
        "only_constants": "Python: little but imports, constants and class headers, more than max_constant_lines",
        "gui_boilerplate": "Python: a graphical interface, set up by more of the statements than max_gui_calls",
        "not_self_contained": "Python: more imports of the file's own project than max_local_imports",
        "undocumented": "Python: long functions without a comment or docstring make up more than max_undocumented",
    }

    default_extension: str = Field(
        "", pattern=r"^[a-z0-9+_-]{0,12}$", description="extension of files without a known one, such as py"
    )
    min_chars: int = Field(64, ge=0, description="shorter files are `too_short` (ours)")
    max_chars: int = Field(1_000_000, ge=1, description="longer files are `too_long` (The Stack: 1 MB)")
    max_lines: int = Field(100_000, ge=1, description="files of more lines are `too_long` (StarCoder2: 100000)")
    drop_generated: bool = Field(True, description="drop what says that a program wrote it (StarCoder2)")
    drop_xml_header: bool = Field(True, description="drop XML that is called something else (StarCoder)")
    max_line_chars: int = Field(1000, ge=1, description="longest line allowed (The Stack, StarCoder: 1000)")
    max_mean_line_chars: float = Field(100.0, gt=0, description="mean line length allowed (The Stack, StarCoder: 100)")
    max_encoded_run: int = Field(1024, ge=23, description="bytes of the longest run of encoded data (StarCoder2: 1024)")
    max_encoded: float = Field(0.5, ge=0, le=1, description="share of encoded bytes (StarCoder2: 0.5)")
    min_alphanumeric: float = Field(0.25, ge=0, le=1, description="share of characters (The Stack, StarCoder: 0.25)")
    min_alphabetic: float = Field(0.25, ge=0, le=1, description="share of characters (StarCoder2: 0.25)")
    max_digits: float = Field(0.3, ge=0, le=1, description="share of digits in what is no white space (ours)")
    min_comments: float = Field(
        0.0, ge=0, le=1, description="share of characters in comments and docstrings (SantaCoder: 0.01; off)"
    )
    max_comments: float = Field(
        0.9,
        ge=0,
        le=1,
        description="share of characters in comments and docstrings (SantaCoder: 0.8; well explained functions reach 0.85)",
    )
    min_html_text: float = Field(0.2, ge=0, le=1, description="share of visible characters (StarCoder: 0.2)")
    min_html_chars: int = Field(100, ge=0, description="visible characters (StarCoder: 100)")
    max_import_lines: float = Field(0.8, ge=0, le=1, description="share of code lines (phi-1's complaint; ours)")
    max_constant_lines: float = Field(0.95, ge=0, le=1, description="share of code lines (phi-1's complaint; ours)")
    max_gui_calls: float = Field(
        0.5, ge=0, le=1, description="share of statements, in files that import a toolkit (phi-1's complaint; ours)"
    )
    max_local_imports: float = Field(
        0.1,
        ge=0,
        le=1,
        description="imports of what is neither standard nor widely known, after the first, as a share of statements (ours)",
    )
    max_undocumented: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of code lines in functions of 20 lines or more that explain nothing (phi-1's complaint; ours)",
    )

    explained: float = Field(
        0.2, ge=0, le=1, description="share of comments at which no file counts as `undocumented` (ours)"
    )

    language_limits: dict[str, Limits] = Field(
        {},
        description="by extension, in place of what StarCoder2 has for that language (txt, csv, dot, owl, yaml, json: 512 lines; "
        "yaml, json: 50 to 5,000 characters, letters 0.5; html, md, tex, xml and other text: lines of 100,000); "
        "as in {txt: {max_lines: 5000}}, or {txt: {}} for none",
    )

    bounds: ClassVar[Sequence[Bound]] = (
        Bound("too_short", "chars", "<", "min_chars"),
        Bound("too_long", "chars", ">", "max_chars"),
        Bound("too_long", "lines", ">", "max_lines"),
        Bound("generated", "generated", "is", "drop_generated"),
        Bound("xml_header", "xml_header", "is", "drop_xml_header"),
        Bound("long_lines", "longest_line", ">", "max_line_chars"),
        Bound("long_mean_line", "mean_line", ">", "max_mean_line_chars"),
        Bound("encoded_data", "encoded_run", ">", "max_encoded_run"),
        Bound("encoded_data", "encoded", ">", "max_encoded"),
        Bound("few_alphanumeric", "alphanumeric", "<", "min_alphanumeric"),
        Bound("few_alphabetic", "alphabetic", "<", "min_alphabetic"),
        Bound("mostly_digits", "digits", ">", "max_digits"),
        Bound("few_comments", "comments", "<", "min_comments"),
        Bound("mostly_comments", "comments", ">", "max_comments"),
        Bound("few_html_text", "html_text", "<", "min_html_text"),
        Bound("few_html_text", "html_chars", "<", "min_html_chars"),
        Bound("only_imports", "import_lines", ">", "max_import_lines"),
        Bound("only_constants", "constant_lines", ">", "max_constant_lines"),
        Bound("gui_boilerplate", "gui_calls", ">", "max_gui_calls"),
        Bound("not_self_contained", "local_imports", ">", "max_local_imports"),
        Bound("undocumented", "undocumented", ">", "max_undocumented"),
    )
    decide_settings: ClassVar[frozenset[str]] = frozenset({"explained", "language_limits"})

    signals: ClassVar[Mapping[str, pa.DataType]] = {
        "extension": pa.string(),
        "chars": pa.int64(),
        "lines": pa.int64(),
        "longest_line": pa.int64(),
        "mean_line": pa.float64(),
        "alphanumeric": pa.float64(),
        "alphabetic": pa.float64(),
        "digits": pa.float64(),
        "encoded": pa.float64(),
        "encoded_run": pa.int64(),
        "generated": pa.bool_(),
        "xml_header": pa.bool_(),
        "comments": pa.float64(),
        "html_chars": pa.int64(),
        "html_text": pa.float64(),
        "statements": pa.int64(),
        "functions": pa.int64(),
        "classes": pa.int64(),
        "documented": pa.float64(),
        "import_lines": pa.float64(),
        "constant_lines": pa.float64(),
        "gui_calls": pa.float64(),
        "local_imports": pa.float64(),
        "undocumented": pa.float64(),
    }

    def measure(self, docs: Batch, ctx: Context) -> Signals:
        """See ``signals``: counts int64, shares float64; null where the language does not have the thing measured."""
        from curate.text.code_encoded import encoded_data
        from curate.text.code_paths import languages
        from curate.text.code_shape import code_shape

        extension, numbers = languages(docs.column("meta"), docs.column("origin"), self.default_extension)
        n = code_shape(*docs.utf8)
        total, longest = encoded_data(*docs.utf8)
        offsets, _ = docs.utf8
        chars = np.maximum(n["chars"], 1)
        values: dict[str, Any] = {
            "extension": extension,
            "chars": n["chars"],
            "lines": n["lines"],
            "longest_line": n["longest_line"],
            "mean_line": n["line_chars"] / np.maximum(n["lines"], 1),
            "alphanumeric": (n["alphabetic"] + n["digits"]) / chars,
            "alphabetic": n["alphabetic"] / chars,
            "digits": n["digits"] / np.maximum(n["solid"], 1),
            "encoded": total / np.maximum(np.diff(offsets), 1),
            "encoded_run": longest,
            "generated": n["generated"] > 0,
            "xml_header": n["xml_header"] > 0,
        }
        values |= _by_language(docs, numbers, chars)
        return {name: value if isinstance(value, pa.Array) else pa.array(value) for name, value in values.items()}

    def rules(self, signals: Signals) -> list[tuple[str, pa.Array]]:
        """The table's, with the limits of each row's language in place of, or beside, the settings."""
        found = dict(super().rules(signals))
        limits = _limits(signals["extension"], self.language_limits)

        def above(name: str, limit: str) -> pa.Array:
            return pc.greater(signals[name], limits[limit])

        def instead(reason: str, limit: str, broken: pa.Array) -> None:
            found[reason] = pc.if_else(pc.is_null(limits[limit]), found[reason], broken)

        def also(reason: str, *broken: pa.Array) -> None:
            for each in broken:
                found[reason] = pc.or_kleene(found[reason], each)

        also("too_short", pc.less(signals["chars"], limits["min_chars"]))
        also("too_long", above("chars", "max_chars"), above("lines", "max_lines"))
        instead("long_lines", "max_line_chars", above("longest_line", "max_line_chars"))
        instead("long_mean_line", "max_mean_line_chars", above("mean_line", "max_mean_line_chars"))
        instead("few_alphabetic", "min_alphabetic", pc.less(signals["alphabetic"], limits["min_alphabetic"]))
        found["xml_header"] = pc.and_not(found["xml_header"], limits["xml_header"])
        found["undocumented"] = pc.and_(found["undocumented"], pc.less(signals["comments"], self.explained))
        return list(found.items())


def _by_language(docs: Batch, languages: npt.NDArray[np.int64], chars: npt.NDArray[np.int64]) -> dict[str, pa.Array]:
    """Signals that depend on the language (an index into LANGUAGES), null where it has no such thing."""
    from curate.text.code_comments import comment_chars, html_text
    from curate.text.code_languages import EXTENSIONS
    from curate.text.code_paths import python_files
    from curate.text.python_outline import python_outline

    python = python_files(languages)
    p = python_outline(*docs.utf8, python)
    comments = comment_chars(*docs.utf8, np.where(python, -1, languages))
    comments = np.where(python, p["comment_chars"] + p["docstring_chars"], comments)
    visible = html_text(*docs.utf8, languages, EXTENSIONS["html"])
    code_lines = np.maximum(p["code_lines"], 1)
    statements = np.maximum(p["statements"], 1)
    gui = np.where(p["gui_imports"] > 0, p["gui_calls"], 0)
    shares = {
        "documented": p["documented"] / np.maximum(p["functions"], 1),
        "import_lines": p["import_lines"] / code_lines,
        "constant_lines": (p["import_lines"] + p["constant_lines"]) / code_lines,
        "gui_calls": gui / statements,
        "local_imports": np.maximum(p["local_imports"] - 1, 0) / statements,
        "undocumented": p["undocumented_lines"] / code_lines,
    }
    counts = {name: p[name] for name in ("statements", "functions", "classes")}
    return {
        "comments": pa.array(comments / chars, mask=comments < 0),
        "html_chars": pa.array(visible, mask=visible < 0),
        "html_text": pa.array(visible / chars, mask=visible < 0),
        **{name: pa.array(value, mask=~python) for name, value in (shares | counts).items()},
    }


@cache
def _sourced() -> dict[str, Limits]:
    """The limits of StarCoder2 by extension."""
    from curate.text.code_languages import EXTENSIONS, LANGUAGES, LONG_LINE

    return {
        extension: Limits(
            max_lines=x.max_lines,
            min_chars=x.min_chars,
            max_chars=x.max_chars,
            max_line_chars=LONG_LINE if x.long_lines else None,
            max_mean_line_chars=np.inf if x.long_lines else None,
            min_alphabetic=x.min_alphabetic,
        )
        for extension, x in ((extension, LANGUAGES[number]) for extension, number in EXTENSIONS.items())
    }


def _limits(extension: pa.Array, instead: Mapping[str, Limits]) -> dict[str, pa.Array]:
    """Limits of each row's language by name, null where it has none of its own; ``xml_header`` is never null."""
    from curate.text.code_languages import EXTENSIONS, LANGUAGES

    limits = {**_sourced(), **instead}
    index = pc.index_in(extension, pa.array(limits, pa.string()))
    kinds = {
        name: pa.float64() if name in ("max_mean_line_chars", "min_alphabetic") else pa.int64()
        for name in Limits.model_fields
    }
    found = {
        name: pa.array([getattr(x, name) for x in limits.values()], kind).take(index) for name, kind in kinds.items()
    }
    xml = pa.array([e for e, number in EXTENSIONS.items() if LANGUAGES[number].xml_header], pa.string())
    return found | {"xml_header": pc.is_in(extension, xml)}
