"""The ablation: what is held out is held out, a bit per byte is one, and what is told is what was measured."""

import dataclasses
import json
import math
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from curate.recipe.recipe import load_recipe
from curate.stages.write_tokens import WriteTokens

torch = pytest.importorskip("torch", reason="the ablation trains with torch: make torch")

import ablate  # noqa: E402 - needs torch
from phi import IGNORED, Phi, Shape  # noqa: E402
from published import END, dataset  # noqa: E402


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return ablate.Ablation(out=tmp_path_factory.mktemp("ablation"), measured=40_000)


@pytest.fixture(scope="module")
def held(settings):
    return ablate.split(settings)


def test_no_package_is_on_both_sides(settings, held):
    packages = {package for sources in ablate.HELD_OUT.values() for package in sources}
    trained, texts = set(), set()
    for name in ("web", "code"):
        for line in (settings.out / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            trained.add(row["package"])
            texts.add(row["text"])
    assert not trained & packages
    assert len(trained) > 50
    for name, sample in held.items():
        assert 40_000 <= sum(map(len, sample)) < 140_000, name
        assert not set(sample) & texts


@pytest.mark.parametrize("synthetic", [False, True])
def test_the_recipe_is_one(settings, held, synthetic):
    """Every arm but raw has the tokens of the curated one, or as many as are asked for."""
    written = ""
    if synthetic:
        rows = pa.table({"text": pa.array(["a"], pa.large_string())})
        folder = settings.out / "written"
        folder.mkdir()
        with (
            pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as sink,
            pa.ipc.new_stream(sink, rows.schema) as out,
        ):
            out.write_table(rows)
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
        (folder / "dataset_info.json").write_text("{}")
        written = str(folder)
    for unique, expected in ((0, 700_000), (250_000, 250_000), (900_000, 700_000)):
        told = ablate.recipe(dataclasses.replace(settings, unique=unique, synthetic=written), 700_000)
        path = settings.out / "arms.yaml"
        path.write_text(json.dumps(told))
        arms = {s.id: s.stage for s in load_recipe(path).steps if isinstance(s.stage, WriteTokens)}
        names = {"raw", "all-curated", "random", "curated", *(["synthetic"] if synthetic else [])}
        assert set(arms) == names
        assert {n: arms[n].mix.tokens for n in names - {"raw", "all-curated"}} == dict.fromkeys(
            names - {"raw", "all-curated"}, expected
        )


def test_windows_predict_every_token_once():
    """The slow way: all that a document's targets are, in order, is the document; behind each the token before it."""
    rng = np.random.default_rng(0)
    documents = [rng.integers(2, 50, n).astype(np.uint16) for n in (1, 7, 8, 9, 16, 30)]
    batches = list(ablate.windows(documents, END, 8, 3))
    ids, targets = (torch.cat([getattr(b, name) for b in batches]).numpy() for name in ("ids", "targets"))
    assert targets[targets != IGNORED].tolist() == np.concatenate(documents).tolist()
    before = np.concatenate([[END, *d[:-1]] for d in documents])
    assert ids[targets != IGNORED].tolist() == before.tolist()


class Letters:
    """A tokenizer whose tokens are bytes."""

    end_of_text = END

    def encode(self, text):
        return pa.array([list(t.as_py().encode()) for t in text], pa.large_list(pa.uint16()))


def test_bits_per_byte_of_a_model_that_knows_nothing_are_the_bits_of_a_token():
    model = Phi(Shape(1, 16, 2, vocabulary=256, context=8))
    for weight in model.parameters():
        torch.nn.init.zeros_(weight)
    trainer = SimpleNamespace(
        model=model, device=torch.device("cpu"), loss=lambda m, s: m(s.ids, s.positions, None, s.targets)
    )
    texts = ["a", "bcdé", "longer than one window of eight"]
    assert ablate.bits_per_byte(trainer, Letters(), texts) == pytest.approx(math.log2(256), rel=1e-6)


def test_models_are_trained_measured_and_kept(tmp_path, monkeypatch, settings):
    """Of two arms one repeats the held-out text: its loss is lower. A second call trains nothing."""
    text = b"the loop ends when the list is empty; "
    said = {}
    for arm, source in (("raw", bytes(range(3, 256))), ("random", text)):
        ids = np.resize(np.frombuffer(source, np.uint8), (64, 32)).astype(np.uint16)
        dataset(tmp_path / "arms" / arm, ids)
        said[arm] = {"tokens": ids.size}
    monkeypatch.setattr(ablate, "split", lambda _: {part: [text.decode()] for part in ablate.SETS})
    monkeypatch.setattr(ablate, "write_arms", lambda _: said)
    monkeypatch.setattr(ablate, "load", lambda _: Letters())
    monkeypatch.setitem(ablate.SHAPES, "tiny", Shape(1, 32, 2))
    small = dataclasses.replace(settings, out=tmp_path, tokens=2_560, sequence=32, seeds=1)
    results = ablate.ablate(small)
    losses = results["bits_per_byte"]
    assert max(losses["random"]["code"]) < min(losses["raw"]["code"]) - 1
    assert results["arms"]["raw"] == {"tokens": 2_048, "passes": 1.25}
    times = {p: p.stat().st_mtime_ns for p in tmp_path.glob("models/*/checkpoint-*.pt")}
    assert len(times) == 2
    assert ablate.ablate(small)["bits_per_byte"] == losses
    assert times == {p: p.stat().st_mtime_ns for p in tmp_path.glob("models/*/checkpoint-*.pt")}
    assert json.loads((tmp_path / "results.json").read_text())["bits_per_byte"] == losses
    assert (tmp_path / "table.md").read_text() == ablate.table(results)


RESULTS = {
    "arms": {"raw": {"tokens": 900, "passes": 1.0}, "random": {"tokens": 300, "passes": 3.0}},
    "bits_per_byte": {
        "raw": {"textbooks": [2.0, 2.2], "code": [1.5, 1.5], "reference": [1.0, 1.0]},
        "random": {"textbooks": [2.4, 2.4], "code": [1.5, 1.5], "reference": [1.1, 0.9]},
    },
}


def test_the_table_says_means_spreads_and_differences():
    lines = ablate.table(RESULTS).splitlines()
    assert lines[2] == (
        "| raw | 900, 1.0 | 2.100 ± 0.141 (-0.300 ± 0.100) | 1.500 ± 0.000 (+0.000 ± 0.000) | 1.000 ± 0.000 (+0.000 ± 0.100) |"
    )
    assert lines[3] == "| random | 300, 3.0 | 2.400 ± 0.000 | 1.500 ± 0.000 | 1.000 ± 0.141 |"


def test_the_picture_has_a_bar_for_each_arm_and_a_dot_for_each_seed():
    picture = ET.fromstring(ablate.bars(RESULTS))
    names = [each.tag.rpartition("}")[2] for each in picture.iter()]
    assert names.count("rect") == 1 + 2 * 3
    assert names.count("circle") == 2 * 2 * 3


def test_rows_of_all_frames_are_read(tmp_path):
    frames = [zstandard.compress(json.dumps({"id": i}).encode() + b"\n") for i in range(3)]
    (tmp_path / "f.zst").write_bytes(b"".join(frames))
    assert [r["id"] for r in ablate.rows(tmp_path / "f.zst")] == [0, 1, 2]


def test_a_set_without_documents_is_refused(tmp_path):
    (tmp_path / "f.zst").write_bytes(zstandard.compress(b'{"id": 1, "text": "a", "source": "b", "package": "c"}\n'))
    with pytest.raises(ablate.InputError, match="no document of the held-out set 'textbooks'"):
        ablate.split(ablate.Ablation(out=tmp_path, web=tmp_path / "f.zst", code=tmp_path / "f.zst"))


def test_the_recipe_of_synthetic_texts_is_one():
    recipe = load_recipe(ablate.ROOT / "examples" / "ablation" / "synthetic.yaml")
    assert recipe.steps[-1].id == "synthetic"
