"""A mistake in a recipe is one line with file, line, cause and cure, exit code 2, before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Curate

from curate.recipe.recipe import RESERVED
from curate.run.events import FOLDER as EVENTS
from curate.run.lease import FOLDER
from curate.run.watch import LOGS
from curate.store.files import Store
from curate.store.kept import Kept
from curate.store.latest import LATEST

HEAD = """recipe: my
seed: 1
"""
GOOD = """steps:
  - id: docs
    use: read.jsonl
    with: {paths: [docs.jsonl]}
  - id: rules
    use: filter.massivetext
    with:
      min_words: 1
      min_word_length: 0
      min_alpha_words: 0
      min_stop_words: 0
  - id: out
    use: write.text
"""
TRAINED = """  - id: value
    use: train.classifier
    from: rules
    with: {label: id}
"""


def many(lines: int) -> str:
    return "".join(f"# {i} " + "x" * 1000 + "\n" for i in range(lines))


# name: (recipe, line or None, words of the message)
MISTAKES: dict[str, tuple[str | bytes, int | None, tuple[str, ...]]] = {
    "top-level key": (HEAD + "sead: 3\n" + GOOD, 3, ("'sead'", "did you mean 'seed'?")),
    "unlike any key": (HEAD + "zzzz: 3\n" + GOOD, 3, ("'zzzz'", "it has: ", "steps")),
    "step key": (
        HEAD + GOOD.replace("    use: write", "    uze: x\n    use: write"),
        15,
        ("'uze'", "did you mean 'use'?"),
    ),
    "stage": (
        HEAD + GOOD.replace("filter.massivetext", "filter.massivetex"),
        8,
        ("'filter.massivetex'", "did you mean 'filter.massivetext'?"),
    ),
    "unlike any stage": (HEAD + GOOD.replace("filter.massivetext", "qqqq"), 8, ("no stage 'qqqq'", "curate stages")),
    "setting": (
        HEAD + GOOD.replace("min_words", "min_word"),
        10,
        ("filter.massivetext has no setting 'min_word'", "did you mean 'min_words'?"),
    ),
    "setting without stage": (
        HEAD + GOOD.replace("      min_words: 1\n", "      colour: red\n"),
        10,
        ("'colour'", "min_words"),
    ),
    "type of a setting": (
        HEAD + GOOD.replace("min_words: 1", "min_words: many"),
        10,
        ("min_words", "integer", "'many'"),
    ),
    "bound of a setting": (
        HEAD + GOOD.replace("min_words: 1", "min_words: -1"),
        10,
        ("min_words", "greater than or equal to 0", "-1"),
    ),
    "type of a list": (HEAD + GOOD.replace("[docs.jsonl]", "3"), 6, ("paths", "list")),
    "missing setting": (HEAD + GOOD.replace("    with: {paths: [docs.jsonl]}\n", ""), 4, ("read.jsonl needs 'paths'",)),
    "nested setting": (
        HEAD + GOOD + TRAINED[:-1].replace("id}", "id, fasttext: {dims: 3}}") + "\n",
        19,
        ("'dims'", "did you mean 'dim'?"),
    ),
    "type of a nested setting": (
        HEAD + GOOD + TRAINED.replace("id}", "id, fasttext: {dim: x}}"),
        19,
        ("fasttext.dim", "integer"),
    ),
    "both forms of select.where": (
        HEAD + GOOD.replace("write.text", "select.where\n    with: {column: id, top: 0.5, at_least: 3}"),
        16,
        ("select.where", "at_least"),
    ),
    "type of seed": (HEAD.replace("1", "one") + GOOD, 2, ("seed", "'one'")),
    "negative seed": (HEAD.replace("1", "-1") + GOOD, 2, ("seed",)),
    "no steps": (HEAD, 1, ("needs 'steps'",)),
    "empty steps": (HEAD + "steps: []\n", 3, ("steps",)),
    "steps is a mapping": (HEAD + "steps: {a: 1}\n", 3, ("steps", "list")),
    "a step is a word": (HEAD + "steps:\n  - docs\n", 4, ("steps.0",)),
    "no name": ("seed: 1\n" + GOOD, 1, ("needs 'recipe'",)),
    "a name that is none": ("recipe: ../up\n" + GOOD, 1, ("'../up' is no name",)),
    "a step name that is none": (HEAD + GOOD.replace("id: rules", "id: a/b"), 7, ("'a/b' is no step name",)),
    "two steps of one name": (HEAD + GOOD.replace("id: rules", "id: docs"), 7, ("two steps are called 'docs'",)),
    "unknown from": (
        HEAD + GOOD.replace("  - id: out\n", "  - id: out\n    from: rulez\n"),
        15,
        ("no earlier step 'rulez'", "did you mean 'rules'?"),
    ),
    "from a later step": (
        HEAD + GOOD.replace("  - id: rules\n", "  - id: rules\n    from: out\n"),
        8,
        ("no earlier step 'out'", "docs"),
    ),
    "from itself": (
        HEAD + GOOD.replace("  - id: rules\n", "  - id: rules\n    from: [docs, rules]\n"),
        8,
        ("no earlier step 'rules'",),
    ),
    "from twice the same": (
        HEAD + GOOD.replace("  - id: rules\n", "  - id: rules\n    from: [docs, docs]\n"),
        None,
        ("twice",),
    ),
    "from for a source": (
        HEAD + GOOD + "  - {id: more, use: read.jsonl, from: docs, with: {paths: [docs.jsonl]}}\n",
        16,
        ("reads no earlier step",),
    ),
    "nothing to read": (HEAD + "steps:\n  - {id: rules, use: filter.massivetext}\n", 4, ("nothing to read", "read.")),
    "after a trainer": (
        HEAD + GOOD.replace("  - id: out\n", TRAINED + "  - id: out\n"),
        18,
        ("'value'", "gives no documents", "from"),
    ),
    "column": (
        HEAD + GOOD.replace("write.text", "write.text\n    with: {columns: [txt]}"),
        None,
        ("column 'txt'", "did you mean 'text'?"),
    ),
    "column of a step": (
        HEAD + GOOD.replace("write.text", "select.where\n    with: {column: value.score, top: 0.5}"),
        None,
        ("column 'value.score'",),
    ),
    "classifier": (
        HEAD + GOOD.replace("write.text", "score.classifier\n    with: {classifier: textbook-valeu}"),
        None,
        ("textbook-valeu", "did you mean 'textbook-value'?"),
    ),
    "model that is not declared": (
        HEAD + "models: {writer: {modle: x}}\n" + GOOD,
        3,
        ("'modle'", "did you mean 'model'?"),
    ),
    "model for what another one failed": (
        HEAD
        + "models: {writer: {}}\nuse: train-open\nbudget: {completion_tokens: 9}\n"
        + GOOD.replace("write.text", "generate.textbooks\n    with: {model: writer, passages: 2, then: largr}"),
        17,
        ("there is no model 'largr'", "there are: writer"),
    ),
    "model with a key in it": (
        HEAD + "models: {writer: {model: x, base_url: 'http://u:secret@h/v1'}}\n" + GOOD,
        3,
        ("base_url", "key_env"),
    ),
    "model without a price": (
        HEAD + "models: {mine: {}, writer: {model: x, base_url: 'http://h/v1'}}\n" + GOOD,
        3,
        ("'writer' states no price", "prompt_price: 0"),
    ),
    "half a price": (
        HEAD + "models: {writer: {model: x, base_url: 'http://h/v1', prompt_price: 2}}\n" + GOOD,
        3,
        ("a prompt_price and no completion_price",),
    ),
    "no price table there": (
        HEAD + "models: {mine: {}}\nprices: nowhere.yaml\n" + GOOD,
        4,
        ("no price table 'nowhere.yaml'",),
    ),
    "guard": (
        HEAD + GOOD.replace("  - id: rules\n", "  - id: rules\n    guard: {max_drops: 0.5}\n"),
        8,
        ("'max_drops'", "did you mean 'max_drop'?"),
    ),
    "guard beyond 1": (
        HEAD + GOOD.replace("  - id: rules\n", "  - id: rules\n    guard: {max_drop: 60}\n"),
        8,
        ("max_drop", "less than or equal to 1"),
    ),
    "a folder of the store": (HEAD + GOOD.replace("id: rules", "id: steps"), 7, ("'steps' is a folder", "rename")),
    "not a number": (HEAD + GOOD.replace("min_alpha_words: 0", "min_alpha_words: .nan"), 12, (".nan is not finite",)),
    "no bound": (HEAD + GOOD.replace("min_alpha_words: 0", "min_alpha_words: -.inf"), 12, ("-.inf is not finite",)),
    "a folder of damaged files": (
        HEAD + GOOD.replace("id: out", "id: damaged"),
        14,
        ("'damaged' is a folder", "rename"),
    ),
    "a folder of leases": (HEAD + GOOD.replace("id: out", "id: lease"), 14, ("'lease' is a folder",)),
    "no bound, in words": (
        HEAD + GOOD.replace("min_words: 1", "max_symbol_ratio: 'inf'"),
        10,
        ("'max_symbol_ratio': inf is not finite",),
    ),
    "more than 64 bits": (HEAD + GOOD.replace("min_words: 1", f"min_words: {10**23}"), 10, ("more than 64 bits",)),
    "more than 64 bits, in words": (
        HEAD + GOOD.replace("[docs.jsonl]", f"[docs.jsonl], max_document_bytes: '{2**63}'"),
        6,
        ("'max_document_bytes': an integer of more than 64 bits",),
    ),
    "half a character": (
        HEAD + GOOD.replace("[docs.jsonl]", r'[docs.jsonl], source: "\0\uD800"'),
        6,
        ("character 2 is half a character (U+D800)",),
    ),
    "half a character in a key": (HEAD + 'models: {"a\\uDFFF": {}}\n' + GOOD, 3, ("half a character (U+DFFF)",)),
    "budget": (HEAD + "budget: {dollar: 3}\n" + GOOD, 3, ("'dollar'", "did you mean 'dollars'?")),
    "the same key twice": (HEAD + GOOD + "seed: 3\n", 16, ("'seed' stands here twice",)),
    "the same setting twice": (
        HEAD + GOOD.replace("      min_words: 1\n", "      min_words: 1\n      min_words: 2\n"),
        11,
        ("'min_words' stands here twice",),
    ),
    "an anchor": (HEAD + GOOD.replace("min_words: 1", "min_words: &n 1"), 10, ("anchors and aliases are not allowed",)),
    "an alias": (HEAD + "about: &a [x]\n" + GOOD, 3, ("anchors and aliases",)),
    "a bomb": ("a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b]\n", 1, ("anchors and aliases",)),
    "merge key": (HEAD + "about: {<<: {a: b}}\n" + GOOD, 3, ("about",)),
    "tabs": (HEAD + GOOD.replace("    use: write", "\tuse: write"), 15, ("is no YAML", "tab")),
    "not closed": (HEAD + GOOD.replace("[docs.jsonl]}", "[docs.jsonl"), None, ("is no YAML",)),
    "two documents": (HEAD + GOOD + "---\n" + HEAD + GOOD, None, ("YAML",)),
    "not UTF-8": (HEAD.encode() + b"about: caf\xe9\n" + GOOD.encode(), None, ("not UTF-8",)),
    "UTF-16": ((HEAD + GOOD).encode("utf-16"), None, ("UTF-8",)),
    "control characters": (HEAD + "about: a\x07b\n" + GOOD, None, ("YAML",)),
    "NUL": (b"\0" * 100, None, ("YAML",)),
    "empty": ("", None, ("is empty",)),
    "only a comment": ("# nothing\n", None, ("is empty",)),
    "huge": (HEAD + many(1100) + GOOD, None, ("larger than",)),
    "deep": ("[" * 1_000_000, None, ("nested too deeply",)),
    "deep mapping": ("a: " + "{a: " * 5000 + "1" + "}" * 5000, None, ()),
    "a list": ("- recipe: my\n- steps\n", 1, ("a recipe is a mapping",)),
    "a word": ("hello\n", 1, ("a recipe is a mapping",)),
    "python tag": (HEAD + "about: !!python/object/apply:os.system ['touch pwned']\n" + GOOD, 3, ()),
    "python name": (HEAD + "about: !!python/name:os.system\n" + GOOD, 3, ()),
    "python tag on a mapping": (
        HEAD + GOOD.replace("    with: {", "    with: !!python/object:subprocess.Popen {"),
        6,
        ("not allowed",),
    ),
    "own tag": (HEAD + "about: !mine x\n" + GOOD, 3, ()),
    "timestamp": (HEAD + "about: 2023-06-20\n" + GOOD, 3, ("about", "string")),
    "key that is a list": (HEAD + "? [a, b]\n: c\n" + GOOD, 3, ("a key must be a plain word",)),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a good input."""
    texts = ["The first document has some words.", "And the second one has words too."]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return tmp_path


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(curate: Curate, home: Path, name: str) -> None:
    """One line: file and line of the mistake, what is wrong, what is right; exit 2; nothing written."""
    text, line, words = MISTAKES[name]
    recipe = home / "my recipe.yaml"
    recipe.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = curate("run", recipe, cwd=home)
    assert done.code == 2, done.out + done.err
    assert done.line.startswith(f"{recipe}:")
    assert done.err.count("\n") == 1
    assert len(done.line) < 1000
    if line is not None:
        assert done.line.startswith(f"{recipe}:{line}: "), done.line
    for word in words:
        assert word in done.line, done.line
    assert sorted(p.name for p in home.iterdir()) == ["docs.jsonl", "my recipe.yaml"]


def test_the_good_one_is_good(curate: Curate, home: Path) -> None:
    """What the mistakes are made of runs, also with CRLF and a byte order mark, from its own folder."""
    for number, text in enumerate((HEAD + GOOD, (HEAD + GOOD).replace("\n", "\r\n"), "\ufeff" + HEAD + GOOD)):
        (home / "good.yaml").write_bytes(text.encode())
        curate("run", "good.yaml", "--workers", 0, "--store", f"run{number}", cwd=home).ok()
        assert (home / f"run{number}" / "manifest.json").exists()


@pytest.mark.parametrize("command", ["run", "plan"])
def test_no_such_recipe(curate: Curate, home: Path, command: str) -> None:
    """By path, by name, a folder, and a name that is nearly right."""
    done = curate(command, "none.yaml", cwd=home)
    assert (done.code, done.line.split(": ")[0]) == (2, "none.yaml")
    done = curate(command, "no-such-recipe", cwd=home)
    assert done.code == 2
    assert "no-such-recipe" in done.line
    (home / "folder.yaml").mkdir()
    done = curate(command, "./folder.yaml", cwd=home)
    assert done.code == 2
    assert "folder.yaml" in done.line
    (home / "folder.yaml").rmdir()
    assert [p.name for p in home.iterdir()] == ["docs.jsonl"]


def test_plan_says_the_same(curate: Curate, home: Path) -> None:
    """`curate plan` finds a mistake as `curate run` does."""
    text, _, words = MISTAKES["setting"]
    (home / "r.yaml").write_text(str(text))
    done = curate("plan", "r.yaml", cwd=home)
    assert done.code == 2
    assert all(word in done.line for word in words)


@pytest.mark.parametrize(
    "argv",
    [
        ("--sample", "0"),
        ("--sample", "2"),
        ("--limit", "0"),
        ("--workers", "-1"),
        ("--split-mb", "x"),
        ("--wrkers", "1"),
        ("--partitions", "0"),
        ("--split-mb", "inf"),
        ("--sample", "nan"),
        ("--grace", "nan"),
        ("--worker-memory", "infGB"),
        ("--worker-memory", f"{10**400}GB"),
    ],
    ids=" ".join,
)
def test_arguments(curate: Curate, home: Path, argv: tuple[str, str]) -> None:
    """Wrong arguments are exit 2 as well, without a traceback."""
    (home / "r.yaml").write_text(HEAD + GOOD)
    done = curate("run", "r.yaml", *argv, cwd=home)
    assert done.code == 2
    assert argv[0] in done.err or argv[0].strip("-") in done.err
    assert "Traceback" not in done.err
    assert not (home / "runs").exists()


def test_folders_of_a_store_are_no_names_of_steps(curate: Curate, home: Path) -> None:
    """Whatever folders a run, one that goes on without its terminal, and what becomes of a damaged file leave in a store's root:
    each is reserved, and so is all that a disk has no need of."""
    (home / "r.yaml").write_text(HEAD + GOOD)
    curate("run", "r.yaml", "--workers", 0, "--store", "run", cwd=home).ok()
    curate("run", "r.yaml", "--workers", 0, "--store", "run", "--detach", cwd=home).ok()
    store = Store(home / "run")
    curate("logs", "run", "-f", cwd=home).ok()
    part = next(p for p in (home / "run" / "steps" / "rules").rglob("*.json"))
    assert store.set_aside(part.relative_to(store.root).as_posix())
    Kept(store).put("verdicts", "", {bytes(16): "passed"})
    there = {p.name for p in store.root.iterdir() if p.is_dir() and not p.is_symlink()}
    assert {FOLDER, EVENTS, "steps", "damaged", "kept"} <= there
    assert there | {LOGS, LATEST} <= set(RESERVED)
    # An id has no dot, so it can't be any other name that is there.
    assert all("." in p.name for p in store.root.iterdir() if p.is_file())
