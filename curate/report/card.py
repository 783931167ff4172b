"""The dataset card: README.md of a run's folder, made from its manifest and the rows its writers read.

The same run gives the same card: there is no time, host or path in it. Hugging Face reads the YAML at its top.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from curate.report.families import curves_of, families_of, family_section
from curate.report.judge import second_looks
from curate.report.kept import kept_by, label
from curate.report.markdown import line as _line
from curate.report.markdown import table as _table
from curate.report.origins import UNSTATED, Origin, count_origins
from curate.report.pairs import pair_section
from curate.report.plain import edited_line, number, one_line, size
from curate.report.reconciliation import RECONCILED, reconciliation
from curate.report.run_folder import RunFolder, finished_run
from curate.report.step import Step
from curate.stages.generator import Generator
from curate.stages.source import Source
from curate.stages.terms import USES, conflicts, demands
from curate.stages.writer import Writer
from curate.store.files import Store
from curate.store.records import Counts

_HUB_LICENCES: Final = """
apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear cc0-1.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-
by-sa-4.0 cc-by-nc-4.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 wtfpl zlib isc unlicense postgresql ncsa mpl-2.0 lgpl-2.1
lgpl-3.0 gpl-2.0 gpl-3.0 agpl-3.0 artistic-2.0 epl-1.0 epl-2.0 eupl-1.1 afl-3.0 ecl-2.0 ms-pl osl-3.0 ofl-1.1
pddl odc-by odbl bsl-1.0 lppl-1.3c openrail gfdl
"""
"""Licences by the ids of https://huggingface.co/docs/hub/repositories-licenses; others are ``other`` there."""
_SIZES: Final = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"),
                 (10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"))  # fmt: skip
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")
_MOST_SOURCES: Final = 200
_MOST_STRATA: Final = 40
_MOST_FERTILITY: Final = 8


def write_card(store: Store) -> None:
    """Write ``README.md`` in a finished run's folder, and the curves of prompt families that it shows."""
    run = finished_run(store)
    for name, svg in curves_of(run).items():
        store.replace(name, svg.encode())
    store.replace("README.md", card(run).encode())


def card(run: RunFolder, only: Step | None = None, origins: dict[str, Origin] | None = None) -> str:
    """The card's text: of the whole run, or of the dataset of one of its writers, as it lies on the hub.

    ``origins`` are those of the rows (see count_origins), counted here where they are not given.
    """
    origins = count_origins(run, only) if origins is None else origins
    writers = [s for s in run.steps.values() if s.is_a(Writer) and only in (None, s)]
    name = _line(run.manifest.get("recipe", ""))
    sections = [
        _front(run, origins, writers),
        f"# {name}\n\n{_line(run.manifest.get('about', '')) or 'A dataset made with curate.'}",
        _contents(run, writers),
        _sources(origins),
        _terms(run, origins),
        _models(run),
        _quality(run),
        _selected(run),
        pair_section(run),
        _made(run),
        _reconciled(writers),
        _decontaminated(run),
        _load(writers),
        _again(run, only),
    ]
    return "\n\n".join(s for s in sections if s) + "\n"


# -- front matter --------------------------------------------------------------------------------------------


def hub_licences(spdx: Iterable[str]) -> list[str]:
    """Ids that the hub knows for SPDX expressions, sorted; ``other`` for what it has no id for."""
    found = set()
    for expression in spdx:
        for name in re.split(r"\s+(?:OR|AND|WITH)\s+|[()]", expression):
            if name.strip():
                plain = name.strip().lower().removesuffix("-only").removesuffix("-or-later")
                found.add(plain if plain in _HUB_LICENCES.split() else "unknown" if plain == UNSTATED else "other")
    return sorted(found - {"unknown"}) or ["unknown"]


def _front(run: RunFolder, origins: dict[str, Origin], writers: Sequence[Step]) -> str:
    licences = hub_licences(name for o in origins.values() for name in o.licences)
    code = any(s.use in ("read.code", "filter.code_rules", "verify.execute") for s in run.steps.values())
    languages = {n for o in origins.values() for n in o.languages if _LANGUAGE.fullmatch(n)} | (
        {"code"} if code else set()
    )
    rows = sum(s["rows"] for w in writers for s in w.record.shards) or sum(o.rows for o in origins.values())
    synthetic = any(o.generated for o in origins.values())
    tags = ["curate", "pretraining", *(["synthetic"] if synthetic else []), *(["code"] if code else [])]
    lines = ["---", *_list("license", licences), *_list("language", sorted(languages))]
    lines += [f"pretty_name: {_quoted(run.manifest.get('recipe', ''))}", *_list("task_categories", ["text-generation"])]
    lines += _list("size_categories", [next((name for most, name in _SIZES if rows < most), "n>1T")])
    lines += _list("tags", tags)
    if writers:
        lines.append("configs:")
        for number, writer in enumerate(writers):
            lines += [f"- config_name: {writer.id}", *(["  default: true"] if number == 0 else []), "  data_files:"]
            lines += ["  - split: train", f"    path: {_quoted(f'{writer.id}/*.arrow')}"]
    return "\n".join([*lines, "---"])


def _list(name: str, values: Sequence[str]) -> list[str]:
    return [f"{name}:", *(f"- {_quoted(v) if not v.isalnum() else v}" for v in values)] if values else []


def _quoted(value: object) -> str:
    # A JSON string is a YAML string.
    return json.dumps(one_line(value, 200))


# -- sections ------------------------------------------------------------------------------------------------


def _contents(run: RunFolder, writers: Sequence[Step]) -> str:
    if not writers:
        return "## What it is\n\nThe recipe has no `write.*` step: the rows lie in the store only."
    rows = []
    for step in writers:
        shards, settings = step.record.shards, step.settings
        tokens = sum(s.get("tokens", 0) for s in shards)
        shape = f"sequences of {settings['sequence']:,} tokens" if "sequence" in settings else "documents"
        about = f"{tokens:,} tokens" if tokens else f"{size(sum(s.get('bytes', 0) for s in shards))} of text"
        rows.append(
            [
                f"`{step.id}`",
                shape,
                f"{sum(s['rows'] for s in shards):,}",
                about,
                str(len(shards)),
                _tokenizer(run, step),
            ]
        )
    head = ["folder", "rows are", "rows", "size", "shards", "tokenizer"]
    return "## What it is\n\n" + _table(head, rows, ("rows", "shards"))


def _tokenizer(run: RunFolder, step: Step) -> str:
    encoded = run.steps.get(str(step.settings.get("tokens", "")))  # a writer names the step that encoded
    settings = encoded.settings if encoded is not None else step.settings
    if "tokenizer" not in settings:
        return ""
    name = settings["tokenizer"]
    if name in run.steps:
        trained = run.steps[name]
        size = next((v for k, v in trained.settings.items() if k in ("vocabulary", "vocab_size", "size")), None)
        said = f"trained here by step `{name}`" + (f", {size:,} pieces" if isinstance(size, int) else "")
        per = trained.record.report.get("bytes_per_token", {}).get("by_source", {})
        by = [f"{_line(s, 40)} {f['bytes_per_token']:.2f}" for s, f in per.items() if f["bytes_per_token"]]
        more = f" and {len(by) - _MOST_FERTILITY} more" if len(by) > _MOST_FERTILITY else ""
        return said + (f"; bytes per token: {', '.join(by[:_MOST_FERTILITY])}{more}" if by else "")
    return _line(name)


def _sources(origins: dict[str, Origin]) -> str:
    if not origins:
        return ""
    rows, total = sum(o.rows for o in origins.values()), sum(o.bytes for o in origins.values())
    ordered = sorted(origins.items(), key=lambda item: (-item[1].rows, item[0]))
    table = [
        [
            _line(name, 80),
            f"{o.rows:,}",
            f"{o.rows / rows:.1%}",
            size(o.bytes),
            "yes" if o.generated else "",
            _licences(o),
        ]
        for name, o in ordered[:_MOST_SOURCES]
    ]
    rest = ordered[_MOST_SOURCES:]
    if rest:
        left = sum(o.rows for _, o in rest)
        table.append(
            [
                f"{len(rest):,} more",
                f"{left:,}",
                f"{left / rows:.1%}",
                size(sum(o.bytes for _, o in rest)),
                "",
                "",
            ]
        )
    made = sum(o.bytes for o in origins.values() if o.generated)
    share = f"Real : synthetic text, by bytes: {1 - made / total:.1%} : {made / total:.1%}." if total else ""
    head = ["source", "documents", "share", "text", "synthetic", "licence (as each document states it)"]
    return "\n\n".join(["## Sources", _table(head, table, ("documents", "share", "text")), share])


def _licences(origin: Origin) -> str:
    ordered = sorted(origin.licences.items(), key=lambda item: (-item[1], item[0]))
    shown = [_line(name, 80) + (f" {rows / origin.rows:.0%}" if len(ordered) > 1 else "") for name, rows in ordered[:6]]
    return ", ".join(shown) + (f", {len(ordered) - 6} more" if len(ordered) > 6 else "")


def _terms(run: RunFolder, origins: dict[str, Origin]) -> str:
    """Under which terms the rows stand, what those ask for, and how they go with the use that was declared."""
    if not origins:
        return ""
    rows: Counter[str] = Counter()
    for origin in origins.values():
        rows.update(origin.licences)
    use, allowed = run.manifest.get("use"), run.manifest.get("allow_terms", [])
    table = []
    for name, count in sorted(rows.items(), key=lambda item: (-item[1], item[0]))[:_MOST_SOURCES]:
        terms = "" if name == UNSTATED else name
        asked = conflicts(terms, use) if use in USES else frozenset()
        passed = f"**{', '.join(sorted(asked))}**: let pass by allow_terms" if asked else ""
        table.append([_line(name, 80), f"{count:,}", ", ".join(sorted(demands(terms))) or "nothing", passed])
    head = ["terms", "documents", "they ask for", "against the use"]
    if use in USES:
        said = f"Declared use: `{use}` ({USES[use].about})."
        said += f" Let pass aloud: {', '.join(_line(name, 80) for name in allowed)}." if allowed else ""
    else:
        said, head = "No use was declared: nothing was refused for its terms.", head[:-1]
        table = [row[:-1] for row in table]
    return "\n\n".join(["## Terms", said, _table(head, table, ("documents",))])


def _models(run: RunFolder) -> str:
    asked = [s for s in run.steps.values() if s.is_a(Generator)]
    if not asked:
        return ""
    models = run.manifest.get("models", {})
    rows = []
    for step in asked:
        said = models.get(step.settings.get("model"), {})
        counts = step.record.counts
        rows.append(
            [
                f"`{step.id}`",
                step.use,
                _line(step.record.report.get("model") or said.get("model", "")),
                _line(said.get("licence") or UNSTATED),
                f"{counts.rows_in:,}",
                f"{counts.rows_out:,}",
            ]
        )
    head = ["step", "stage", "model", "licence of its outputs", "answers", "accepted"]
    text = "## Models that were asked\n\n" + _table(head, rows, ("answers", "accepted"))
    return "\n\n".join([text, *(family_section(step) for step in asked if families_of(step))])


def _quality(run: RunFolder) -> str:
    """How far a classifier, and the model that was its judge, can be trusted."""
    lines = []
    for step in run.steps.values():
        report = step.record.report
        if held := report.get("held_out") if step.use == "train.classifier" else None:
            lines.append(
                f"- `{step.id}` ({_line(report.get('about') or 'a classifier').rstrip('.')}): ROC AUC {number(held['roc_auc'])}, accuracy "
                f"{number(held['accuracy'])} on {held['rows']:,} held-out documents, against labels by source. "
                f"The whole card: `{step.id}/card.md`."
            )
        label = report.get("label") if step.use == "label.llm" else None
        if label and label["agreement"] is not None:
            lines.append(
                f"- `{step.id}` ({_line(report.get('model', 'a model'))}) agrees with the labels on "
                f"{label['agreement']:.0%} of {label['rows']:,} documents (Cohen's kappa {number(label['cohen_kappa'])})."
            )
        if step.use == "label.llm":
            lines += [f"- `{step.id}` {line}." for line in second_looks(report)]
    return "## How good was told from bad\n\n" + "\n".join(lines) if lines else ""


def _selected(run: RunFolder) -> str:
    """What selections left of each source (or stratum) and class of length: where a topic was emptied, it shows."""
    texts = []
    for step in run.steps.values():
        for column, found in kept_by(step.record.counts.kept_by).items():
            rows = [
                [_line(label(column, k.value)), f"{k.rows_in:,}", f"{k.rows_out:,}", f"{k.rows_out / k.rows_in:.1%}"]
                for k in (found or [])[:_MOST_STRATA]
            ]
            if rows:
                more = len(found or []) - len(rows)
                head = [f"`{step.id}`, by {_line(column)}", "before", "after", "kept"]
                texts.append(_table(head, rows, head[1:]) + (f"\n\n{more:,} others are not shown." if more else ""))
    return "## What the selection kept\n\n" + "\n\n".join(texts) if texts else ""


def _made(run: RunFolder) -> str:
    rows = []
    for step in run.steps.values():
        counts = step.record.counts
        said = _reasons(counts)
        reads = ", ".join(step.inputs) if not step.is_a(Source) else ""
        gone = sum(counts.reasons.values())
        rows.append(
            [
                f"`{step.id}`",
                step.use,
                reads,
                f"{counts.rows_in:,}",
                f"{counts.rows_out:,}",
                f"{gone:,}" if gone else "",
                ", ".join([*([said] if said else []), *edited_line(vars(counts))]),
            ]
        )
    head = ["step", "stage", "reads", "in", "out", "dropped", "because"]
    text = "## How it was made\n\n" + _table(head, rows, ("in", "out", "dropped"))
    used = {(s.id, r): s.sentence(r) for s in run.steps.values() for r in s.record.counts.reasons}
    sentences = sorted({(reason, why) for (_, reason), why in used.items() if why})
    if sentences:
        # Sentences of our own, with Markdown for names of settings.
        text += "\n\nWhat the reasons mean:\n\n" + "\n".join(f"- `{reason}`: {why}" for reason, why in sentences)
    return text


def _reasons(counts: Counts) -> str:
    """Why rows went, and how many, the most first."""
    reasons = sorted(counts.reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {n:,}" for reason, n in reasons)


def _decontaminated(run: RunFolder) -> str:
    lines = []
    for step in (s for s in run.steps.values() if s.use == "decontaminate"):
        counts, settings = step.record.counts, step.settings
        said = f" ({_reasons(counts)})" if counts.reasons else ""
        cut = "; the lines that hold items were cut out, and" if settings.get("verdict") == "cut" else ":"
        lines.append(
            f"- `{step.id}` compared {counts.rows_in:,} documents with {', '.join(map(_line, settings.get('against', [])))}"
            f"{cut} {sum(counts.reasons.values()):,} went{said}. `curate benchmarks report` names the items."
        )
    if not lines:
        return (
            "## Decontamination\n\nNone: the recipe has no `decontaminate` step. Do not evaluate on public benchmarks."
        )
    return "## Decontamination\n\n" + "\n".join(lines)


def _load(writers: Sequence[Step]) -> str:
    if not writers:
        return ""
    name = writers[0].id
    return (
        "## How to load it\n\n```python\nimport datasets\n\n"
        f'data = datasets.load_from_disk("{name}")  # this folder, memory-mapped\n'
        f'data = datasets.load_dataset("arrow", data_files="{name}/*.arrow", split="train")\n```'
    )


def _reconciled(writers: Sequence[Step]) -> str:
    """From documents to tokens, by component of the mixture: what came in is what was written or dropped."""
    texts = []
    for step in writers:
        head, rows = reconciliation(step.record.report, step.settings, step.record.shards)
        if rows:
            texts.append(f"`{step.id}`:\n\n" + _table(head, [[_line(c, 80) for c in row] for row in rows], head[1:]))
    return "\n\n".join(["## From documents to tokens", *texts, RECONCILED]) if texts else ""


def _again(run: RunFolder, only: Step | None) -> str:
    manifest = run.manifest
    facts = "manifest.json" if only is None else f"{only.id}/provenance.json"
    options = ", ".join(f"{k} {v}" for k, v in sorted(manifest.get("options", {}).items()))
    versions = ", ".join(f"{k} {v}" for k, v in sorted(manifest.get("versions", {}).items()))
    return (
        "## To make it again\n\n"
        f"`curate run` with the recipe {_line(manifest.get('recipe', ''))}, curate {manifest.get('curate', '')}, seed {manifest.get('seed', 0)}"
        f"{f', {options}' if options else ''}. Digests of all inputs, settings and shards are in `{facts}`; the libraries were "
        f"{versions}. What became of a single document: `curate explain . ID`."
    )
