"""What a plan needs of workers, and the line in which one is refused that lacks it."""

from __future__ import annotations

import os
import pickle
from importlib.metadata import version
from pathlib import Path

import pytest
from recipes import step, write

from curate import assets
from curate.errors import InputError, VersionError
from curate.recipe.plan import make_plan
from curate.recipe.recipe import load_recipe
from curate.run import worker
from curate.run.flights import Flights
from curate.run.needs import Needs, lacking, needs_of
from curate.run.segment import SegmentTask
from curate.run.trained import Assets
from curate.store import near
from curate.store.files import Store


@pytest.fixture
def plan(tmp_path: Path):
    """Scores by a shipped classifier, runs code, embeds."""
    steps = [
        step("docs", "read.jsonl", paths=["docs.jsonl"]),
        step("scored", "score.classifier", classifier="textbook-value"),
        step("proven", "verify.execute"),
        step("vectors", "embed.static"),
        step("clean", "decontaminate", against=["humaneval"]),
    ]
    return make_plan(load_recipe(write(tmp_path / "r.yaml", steps)))


def test_needs(plan):
    """Packages of extras with the driver's versions, files by digest, kinds of workers by the steps that ask for them."""
    found = needs_of(plan)
    assert found.packages == {name: version(name) for name in ("tokenizers", "wordllama")}
    assert found.kinds == {"sandbox": ("proven",), "embed": ("vectors",)}
    (own, path), digest = next(said for name, said in found.assets.items() if "step 'scored'" in name)
    assert (own, path) == (True, "classifiers/textbook-value")
    assert digest == plan.steps["scored"].digests["classifier"]
    assert Needs.load(found.dump()).assets == found.assets
    assert lacking(found) == []


def test_each_difference_is_named(tmp_path):
    """A package that is absent, another version, a file that is missing, another file of that name: with the worker."""
    (tmp_path / "a").write_text("x")
    needs = Needs(
        {"numpy": "0.1", "no-such-package": "1"},
        {"a (x of step 's')": ((False, str(tmp_path / "a")), "other"), "b": ((False, str(tmp_path / "b")), "")},
    )
    said = lacking(needs)
    assert said == [
        f"numpy {version('numpy')} instead of 0.1",
        "no-such-package absent instead of 1",
        f"another a (x of step 's') at {tmp_path}/a",
        f"no b: {tmp_path}/b is not there",
    ]
    with pytest.raises(VersionError) as found:
        worker.check_needs({"tcp://a:1": said, "tcp://b:1": []})
    assert str(found.value).startswith("workers of the cluster lack what the recipe needs (tcp://a:1: numpy ")
    assert "; and 1 more); install the same in both" in str(found.value)
    assert worker.our_facts()["machine"]


def test_assets_of_ours_go_by_name(tmp_path, monkeypatch):
    """curate may be installed elsewhere on a worker: its own assets are found there, other files where they are."""
    given = Assets({"own": assets.ROOT / "data", "other": tmp_path}, Store(tmp_path), {})
    said = pickle.dumps(given)
    monkeypatch.setattr(assets, "ROOT", tmp_path / "there")
    found = pickle.loads(said)
    assert (found["own"], found["other"]) == (tmp_path / "there" / "data", tmp_path)


class Client:
    """Notes what is asked of each task's worker."""

    loop = type("Loop", (), {"add_callback": lambda *_: None})()

    def __init__(self) -> None:
        self.asked: list = []

    def map(self, _: object, tasks: list, **how: object):
        self.asked += [how["resources"]] * len(tasks)
        return [type("Future", (), {"key": key}) for key in how["key"]]


def test_kinds_are_asked_for_where_they_are_offered(plan):
    """A task of a step that runs code goes to a worker that offers that, if any does."""
    from curate.run.row_step import RowStep
    from curate.stages.base import Context

    rows = tuple(RowStep(n, plan.steps[n].stage, Context(n, 0), "") for n in ("scored", "proven"))
    task = SegmentTask(Store(plan.recipe.path.parent), "f", "k", "r", rows)
    other = SegmentTask(task.store, "f", "l", "r", ())
    for offered, asked in (
        (frozenset(), None),
        (frozenset({"sandbox", "gpu"}), {"sandbox": 1}),
        (frozenset({"embed"}), None),
    ):
        client = Client()
        Flights(client, lambda _: None, "x", offered).begin([task, other])
        assert client.asked == [asked, None]


# -- near ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Makes this process one of a node with a scratch folder of its own; the folder ``shared`` passes for a network's."""
    monkeypatch.setenv("CURATE_SHARED", str(tmp_path / "shared"))
    monkeypatch.setattr(near, "_active", True)
    (tmp_path / "shared").mkdir()

    def be(name: str) -> Path:
        monkeypatch.setenv("CURATE_SCRATCH", str(tmp_path / name))
        return tmp_path / name

    return be


def test_once_a_node(node, tmp_path, monkeypatch):
    """Two nodes copy a model once each, however often it is asked for; another content is refused, and not kept."""
    from curate.fingerprint import tree_digest

    model = tmp_path / "shared" / "model"
    model.mkdir()
    (model / "model.bin").write_bytes(b"m" * 1000)
    digest = tree_digest(model)
    copied: list[Path] = []
    real = near.shutil.copytree
    monkeypatch.setattr(near.shutil, "copytree", lambda a, b: copied.append(a) or real(a, b))
    for name in ("one", "two"):
        place = node(name)
        found = [Assets({"m": model}, Store(tmp_path), {}, {"m": digest})["m"] for _ in range(3)]
        assert found[0].is_relative_to(place)
        assert found[1] == found[2] == found[0]
        assert (found[0] / "model.bin").read_bytes() == b"m" * 1000
    assert copied == [model, model]
    (model / "model.bin").write_bytes(b"another")
    with pytest.raises(InputError, match="is not what the driver has under this name"):
        near.near(model, "0" * 32)
    assert near.near(model, digest) == found[0]  # what is near stays right


def test_a_digest_is_made_once_a_node(node, tmp_path, monkeypatch):
    """Every worker is asked for it before the first task: one of a node reads the file."""
    node("one")
    (tmp_path / "a").write_text("x")
    made: list[Path] = []
    real = near.tree_digest
    monkeypatch.setattr(near, "tree_digest", lambda path: made.append(path) or real(path))
    first = near.known_digest(tmp_path / "a")
    assert near.known_digest(tmp_path / "a") == first
    assert len(made) == 1
    (tmp_path / "a").write_text("xy")
    assert near.known_digest(tmp_path / "a") != first


def test_a_share_hides_its_automounter(tmp_path, monkeypatch):
    """Both are mounted at one place."""
    monkeypatch.setattr(near, "_mounts", lambda: (("/", "ext4"), (str(tmp_path), "autofs"), (str(tmp_path), "nfs4")))
    assert near.on_network(tmp_path / "model")
    assert not near.on_network(tmp_path.parent)


def test_on_a_machine_alone_nothing_is_copied(tmp_path):
    """Without a cluster, assets are read where they are."""
    assert near.near(tmp_path / "nothing", "0" * 32) == tmp_path / "nothing"


def test_kernels_are_kept_near(node, tmp_path, monkeypatch):
    """Where the package lies on a network, numba's cache is a folder of the node; old ones go; what the user says stays."""
    from numba.core import config

    monkeypatch.setattr(config, "CACHE_DIR", config.CACHE_DIR)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    place = node("one")
    near.kernels_near()
    assert "NUMBA_CACHE_DIR" not in os.environ  # the checkout is this user's, on a disk
    monkeypatch.setenv("CURATE_SHARED", str(Path(near.__file__).parents[1]))
    for version_ in "abcd":
        monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
        monkeypatch.setattr(near, "_version", lambda v=version_: (v,))
        near.kernels_near()
    assert os.environ["NUMBA_CACHE_DIR"] == config.CACHE_DIR
    assert Path(config.CACHE_DIR).parent == place / "kernels"
    assert len(list((place / "kernels").iterdir())) == near.KERNELS_KEPT
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/mine")
    near.kernels_near()
    assert os.environ["NUMBA_CACHE_DIR"] == "/mine"
