"""Datasets pushed to a hub on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from command import Curate
from hub_pushed import PART, Hub

from curate import environment
from curate.errors import CurateError, EndpointError, InputError, RecipeError
from curate.export.push import Pushed, push, token
from curate.report.publish import publication
from curate.report.run_folder import RunFolder, open_run
from curate.store.dataset import open_dataset
from curate.store.files import Store

KEY = "hf_secretsecretsecret"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own call


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that is this process's. Files go by the LFS protocol: the other one, Xet, is a service of its own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with Hub(KEY) as found:
        monkeypatch.setenv("HF_ENDPOINT", found.url)
        yield found


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path | bytes]:
    """A card, three shards, one of them of several parts."""
    draw = random.Random(1)
    made: dict[str, Path | bytes] = {"README.md": b"---\nlicense: mit\n---\n# Data\n"}
    for number, size in enumerate((1000, 2 * PART + 17, 5000)):
        path = tmp_path / f"data-{number:05d}-of-00003.arrow"
        path.write_bytes(draw.randbytes(size))
        made[f"dataset/{path.name}"] = path
    return made


def pushed(files: dict[str, Path | bytes], repo: str = "owner/data", key: str = KEY, public: bool = False) -> Pushed:
    """Push as the command does."""
    return push(files, repo, key, public=public, message="a dataset", folders=("dataset",))


def content(files: dict[str, Path | bytes]) -> dict[str, bytes]:
    """What the hub should have."""
    return {name: data if isinstance(data, bytes) else data.read_bytes() for name, data in files.items()}


def test_a_dataset_is_there_after_one_commit_and_private(hub: Hub, files: dict[str, Path | bytes]) -> None:
    """Files as they are, large ones in parts; the storage never sees the token; again: nothing is sent twice."""
    done = pushed(files)
    there = hub.state.repositories["owner/data"]
    assert there.private and there.files == content(files) and there.commits == ["a dataset"]
    assert done.files == 4 and done.commit in done.url and hub.state.leaked == []
    whole = hashlib.sha256(content(files)["dataset/data-00001-of-00003.arrow"]).hexdigest()
    assert sorted(part for oid, part in hub.state.puts if oid == whole) == [1, 2, 3]
    sent = len(hub.state.puts)
    pushed(files)
    assert len(hub.state.puts) == sent


def test_what_a_cut_left_goes_on_where_it_was(hub: Hub, files: dict[str, Path | bytes]) -> None:
    """Nothing shows before all is there; what was sent is not sent again."""
    # Files go several at once: without the one in parts the first that is taken is there as a whole.
    files = {name: data for name, data in files.items() if "00001-of" not in name}
    hub.state.cut_after = 1
    with pytest.raises(EndpointError, match=r"BadRequestError.*what was uploaded is not sent again"):
        pushed(files)
    assert hub.state.repositories["owner/data"].files == {} and len(hub.state.objects) == 1
    hub.state.cut_after = None
    pushed(files)
    assert hub.state.repositories["owner/data"].files == content(files)
    assert len(hub.state.puts) == len(set(hub.state.puts)) == 2


def test_files_of_an_older_version_go_and_others_stay(hub: Hub, files: dict[str, Path | bytes]) -> None:
    """The folder in the repository is the dataset, no more; what else is there is somebody's."""
    pushed({**files, "other/notes.txt": b"mine"})
    fewer = {name: data for name, data in files.items() if "00002-of" not in name}
    done = pushed(fewer)
    assert done.removed == ["dataset/data-00002-of-00003.arrow"]
    assert hub.state.repositories["owner/data"].files == {**content(fewer), "other/notes.txt": b"mine"}


def test_what_the_hub_refuses_is_one_line_without_the_token(hub: Hub, files: dict[str, Path | bytes]) -> None:
    """A wrong token, another's namespace, a name that is none, a public repository that was thought private."""
    for arguments, kind, said in (
        ({"key": "hf_wrongwrong"}, InputError, "does not let this token write"),
        ({"repo": "someone/data"}, InputError, "does not let this token write"),
        ({"repo": "no/such/name"}, RecipeError, "write OWNER/NAME"),
    ):
        with pytest.raises(kind, match=said) as told:
            pushed(files, **arguments)
        assert "hf_" not in str(told.value)
    pushed(files, public=True)
    assert not hub.state.repositories["owner/data"].private
    with pytest.raises(RecipeError, match="say --public"):
        pushed(files)


def test_a_hub_that_is_away(monkeypatch: pytest.MonkeyPatch, files: dict[str, Path | bytes]) -> None:
    """One line with what to do."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EndpointError, match="HF_ENDPOINT"):
        pushed(files)


def test_the_token_leaves_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the variable or from a file; none at all is said with where to get one."""
    monkeypatch.setattr(environment, "_held", {})
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CurateError, match="settings/tokens"):
        token()
    monkeypatch.setenv("HF_TOKEN", KEY)
    assert token() == KEY and "HF_TOKEN" not in os.environ
    assert environment.redacted(f"Bearer {KEY}") == "Bearer ***"
    monkeypatch.setattr(environment, "_held", {})
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("HF_TOKEN_FILE", str(tmp_path / "key"))
    assert token() == KEY


def test_a_dataset_goes_to_the_hub_with_its_card_and_the_table_beside_it(
    hub: Hub, curate: Curate, small_run: Path
) -> None:
    """As the command does it: terms that nobody knows are refused until they are accepted; the card names the dataset."""
    env = {"HF_ENDPOINT": hub.url, "HF_TOKEN": KEY, "HF_HUB_DISABLE_XET": "1"}
    refused = curate("push", small_run / "tokens", "owner/small", env=env)
    assert refused.code == 2 and "rows under 'unstated' (unknown)" in refused.err
    assert "--accept-terms unknown" in refused.err and hub.state.repositories == {}
    told = curate("push", small_run / "tokens", "owner/small", "--accept-terms", "unknown", "--json", env=env).ok()
    assert KEY not in told.out + told.err and json.loads(told.out)["accepted"]["unstated"] >= 1
    there = hub.state.repositories["owner/small"]
    assert there.private
    for end in ("", ".sequences"):
        for path in (small_run / f"tokens{end}").iterdir():
            assert there.files[f"tokens{end}/{path.name}"] == path.read_bytes()
    card = there.files["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert [c["config_name"] for c in front["configs"]] == ["tokens"] and "mit" in front["license"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "tokens/*.arrow"}]
    assert "## From documents to tokens" in card and "## Terms" in card and "`tokens/provenance.json`" in card
    assert "## Decontamination" in card and str(small_run) not in card
    alone = curate("push", small_run / "steps", "owner/small", env=env)
    assert alone.code == 3


def test_terms_that_ask_for_more_are_refused_by_name(small_run: Path) -> None:
    """Each has to be accepted; what was declared not to be given on is not, whatever is accepted."""
    run = open_run(str(small_run))
    dataset = open_dataset(Store(small_run / "documents"))
    with pytest.raises(RecipeError, match="ask for more than to be named"):
        publication(dataset, run, "documents", ["MIT"])
    ready = publication(dataset, run, "documents", ["unknown"])
    assert set(ready.accepted) >= {"unstated"} and ready.folders == ("documents", "documents.sequences")
    assert {"README.md", "documents/shards.json"} <= ready.files.keys()
    evaluated = RunFolder(run.store, {**run.manifest, "use": "evaluate"}, list(run.steps.values()))
    with pytest.raises(RecipeError, match="use: evaluate"):
        publication(dataset, evaluated, "documents", ["unknown"])
