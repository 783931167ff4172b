"""TokenDataset gives what pyarrow reads, row by row, of any stream that can be mapped."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_shards import dataset, stream, table

from curate.errors import DamagedInputError, InputError, RecipeError
from curate.load import Ragged, TokenDataset
from curate.load.dataset import Rows


def plain(found: Rows, row: int) -> dict[str, Any]:
    """One of several rows as Python values."""
    one = {}
    for name, values in found.items():
        if isinstance(values, Ragged):
            values = [values.values[a:b] for a, b in zip(values.offsets, values.offsets[1:], strict=False)]
        one[name] = values[row].tolist()
    return one


def truth(data: pa.Table) -> list[dict[str, Any]]:
    """What pyarrow says, without columns of text."""
    return data.drop_columns(["doc_ids"] if "doc_ids" in data.column_names else []).to_pylist()


@given(st.data())
@settings(max_examples=25)
def test_every_row_is_what_pyarrow_reads(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever the columns, the dtype, the batches' sizes, and whether shards.json is there."""
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(sum))
    per: Any = data.draw(st.sampled_from([1, 3, 4, 64, (2, 0, 5, 1, 1, 3), (1, 9)]))
    full, listed = data.draw(st.booleans()), data.draw(st.booleans())
    dtype = data.draw(st.sampled_from([np.uint16, np.uint32, np.int32]))
    rows = table(sum(sizes), data.draw(st.integers(1, 9)), dtype, full=full)
    found = TokenDataset(dataset(tmp_path_factory.mktemp("dataset"), rows, sizes, per, listed=listed))
    wanted = truth(rows)
    assert len(found) == len(wanted)
    order = data.draw(st.lists(st.integers(-len(found), len(found) - 1), max_size=12))
    taken = found[np.array(order, np.int64)]
    assert [plain(taken, i) for i in range(len(order))] == [wanted[i] for i in order]
    assert found[:]["input_ids"].dtype == dtype
    part = found[1 : len(found) - 1]
    assert [plain(part, i) for i in range(len(part["input_ids"]))] == wanted[1 : len(found) - 1]
    for i in range(len(found)):
        assert {name: values.tolist() for name, values in found[i].items()} == wanted[i]


def test_what_lies_in_one_piece_is_a_view_of_the_map(tmp_path: Path) -> None:
    """A row, and a slice inside of a record batch; not more."""
    found = TokenDataset(dataset(tmp_path, table(20), [12, 8]))
    whole = found._region.data
    for view in (found[5]["input_ids"], found[4:8]["input_ids"], found[12:16]["input_ids"]):
        assert np.shares_memory(view, whole)
        assert not view.flags.writeable
    for copy in (found[3:5], found[10:14], found[[4, 5]], found[4:8:2]):
        assert not np.shares_memory(copy["input_ids"], whole)
        assert copy["input_ids"].flags.writeable
    row = found[19]["input_ids"]
    del found, whole
    assert row.tolist() == table(20)["input_ids"][19].as_py()


def test_shards_are_mapped_when_they_are_wanted_and_keep_no_file_open(tmp_path: Path) -> None:
    """shards.json says how many rows each has: a thousand shards cost nothing until one is read."""
    folder = dataset(tmp_path, table(40), [4] * 10)
    before = len(list(Path("/proc/self/fd").iterdir()))
    found = TokenDataset(folder)
    found[4:6]
    assert found._index.known.tolist() == [False, True] + [False] * 8
    found[:]
    assert found._index.known.all()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_rows_go_into_arrays_that_are_given(tmp_path: Path) -> None:
    """Pinned memory, for example; another shape or dtype is refused."""
    found = TokenDataset(dataset(tmp_path, table(20), [20]))
    out = np.zeros((3, 8), np.uint16)
    taken = found.take([7, 7, 2], ["input_ids"], {"input_ids": out})
    assert taken["input_ids"] is out
    assert out[:, 0].tolist() == [7, 7, 2]
    for wrong in (np.zeros((3, 8), np.int32), np.zeros((2, 8), np.uint16), np.zeros((3, 16), np.uint16)[:, ::2]):
        with pytest.raises(ValueError, match="needs a contiguous array"):
            found.take([7, 7, 2], ["input_ids"], {"input_ids": wrong})


def test_several_folders_are_one(tmp_path: Path) -> None:
    """One's rows after another's; their tokens must mean the same."""
    one = dataset(tmp_path / "one", table(10), [6, 4])
    two = dataset(tmp_path / "two", table(7, seed=5), [7])
    both = TokenDataset([one, two])
    assert len(both) == 17
    assert (
        both[:]["input_ids"].tolist() == table(10)["input_ids"].to_pylist() + table(7, seed=5)["input_ids"].to_pylist()
    )
    assert both.fingerprint not in (TokenDataset(one).fingerprint, TokenDataset([two, one]).fingerprint)
    said = json.loads((two / "shards.json").read_text())
    (two / "shards.json").write_text(json.dumps({**said, "end_of_text": 3}))
    with pytest.raises(InputError, match=r"its end-of-text is 3, that of .* 65001; open them as datasets of their own"):
        TokenDataset([one, two])
    other = dataset(tmp_path / "other", table(3, 16), [3])
    with pytest.raises(InputError, match="its columns differ from those of"):
        TokenDataset([one, other])[12]


def test_what_a_folder_says(tmp_path: Path) -> None:
    """Facts come from shards.json; the fingerprint stands for content and no path."""
    folder = dataset(tmp_path / "one", table(20, full=True), [12, 8])
    found = TokenDataset(folder)
    assert (found.sequence, found.vocab_size, found.end_of_text, found.padding) == (8, 65_003, 65_001, 65_002)
    assert list(found.columns) == ["input_ids", "position_ids", "loss_mask", "segments", "quality"]
    moved = Path(shutil.copytree(folder, tmp_path / "two"))
    assert TokenDataset(moved).fingerprint == found.fingerprint
    again = pickle.loads(pickle.dumps(found))
    assert (again.fingerprint, again[3]["input_ids"].tolist()) == (found.fingerprint, found[3]["input_ids"].tolist())
    (moved / "shards.json").unlink()
    bare = TokenDataset(moved)
    assert (len(bare), bare.vocab_size) == (20, None)
    (moved / "state.json").unlink()
    assert len(TokenDataset(moved)) == 20


def test_what_datasets_saves_is_read(tmp_path: Path) -> None:
    """A folder of ``Dataset.save_to_disk``: its own order of shards, its own batches."""
    import datasets

    data = table(2500, full=True)
    datasets.Dataset(data).save_to_disk(tmp_path / "saved", num_shards=2)
    found = TokenDataset(tmp_path / "saved")
    assert len(found) == 2500
    assert [found[i]["input_ids"].tolist() for i in (0, 999, 1250, 2499)] == [
        data["input_ids"][i].as_py() for i in (0, 999, 1250, 2499)
    ]


def test_a_null_list_reads_as_an_empty_one(tmp_path: Path) -> None:
    """What of a document is trained on, where all is; a null inside of a list is refused."""
    lists = pa.array([[1], None, [2, 3], []], pa.list_(pa.int32()))
    found = TokenDataset(dataset(tmp_path, table(4).append_column("trained", lists), [4]))
    assert [plain(found[:], i)["trained"] for i in range(4)] == [[1], [], [2, 3], []]
    holes = table(1).append_column("trained", pa.array([[1, None]], pa.list_(pa.int32())))
    with pytest.raises(InputError, match="a column of tokens has nulls"):
        TokenDataset(dataset(tmp_path / "holes", holes, [1]))[0]


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def nulls(path: Path) -> None:
    stream(path, pa.table({"input_ids": pa.array([[1, 2], None], pa.list_(pa.uint16(), 2))}))


def packed(path: Path) -> None:
    stream(path, table(20), options=pa.ipc.IpcWriteOptions(compression="zstd"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), "the shard is not there; copy the folder again"),
        (lambda p: cut(p, 700), "cut short; copy it again"),
        (lambda p: p.write_bytes(b"PAR1" * 300), "no Arrow IPC stream, or one that is cut short; copy it again"),
        (lambda p: p.write_bytes(b""), "no Arrow IPC stream, or one that is cut short; copy it again"),
        (nulls, "a column of tokens has nulls; fill them where the dataset is written"),
        (packed, "its batches are compressed, which can't be mapped; write it without compression"),
    ],
)
def test_damaged_shards_are_refused(tmp_path: Path, damage: Any, message: str) -> None:
    """In one line with the file and a cure, and never by a signal."""
    folder = dataset(tmp_path, table(20), [20], listed=False)
    damage(folder / "data-00000-of-00001.arrow")
    with pytest.raises(InputError, match=message) as raised:
        TokenDataset(folder)
    assert "data-00000-of-00001.arrow" in str(raised.value)


def test_shards_that_are_not_what_the_list_says_are_refused(tmp_path: Path) -> None:
    """Size, rows, format, and the list itself."""
    folder = dataset(tmp_path, table(20, full=True), [12, 8])
    said = json.loads((folder / "shards.json").read_text())

    def opened(**changed: Any) -> TokenDataset:
        (folder / "shards.json").write_text(json.dumps({**said, **changed}))
        return TokenDataset(folder)

    rows = [{**said["shards"][0], "rows": 11}, said["shards"][1]]
    with pytest.raises(DamagedInputError, match="the shard has 12 rows instead of 11"):
        opened(shards=rows)[0]
    with pytest.raises(DamagedInputError, match="bytes instead of 5; copy it again"):
        opened(shards=[{**said["shards"][0], "size": 5}])
    with pytest.raises(
        InputError, match=r"format 'curate.tokens/9' is not known; read it with the version that wrote it"
    ):
        opened(format="curate.tokens/9")
    with pytest.raises(DamagedInputError, match="not the list of shards it should be"):
        opened(shards=[{"name": "a"}])
    with pytest.raises(InputError, match="a dataset without shards"):
        opened(shards=[])
    (folder / "shards.json").write_text("{")
    with pytest.raises(DamagedInputError, match="damaged JSON"):
        TokenDataset(folder)


def test_bad_requests_are_refused(tmp_path: Path) -> None:
    """Rows and columns that are not there, folders that are none."""
    found = TokenDataset(dataset(tmp_path / "data", table(5), [5]))
    for row in (5, -6):
        with pytest.raises(IndexError):
            found[row]
    with pytest.raises(IndexError, match="whole numbers"):
        found[[0.5]]  # type: ignore[list-item]
    with pytest.raises(RecipeError, match=r"no column 'input_id'; did you mean 'input_ids'?"):
        found.take([0], ["input_id"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \*.arrow file in it; give the folder of a dataset"):
        TokenDataset(tmp_path / "empty")
    with pytest.raises(InputError, match="no folder that can be read"):
        TokenDataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match="'ftp' is no protocol that is read; use s3"):
        TokenDataset("ftp://somewhere/data")
    with pytest.raises(InputError, match="no dataset is named"):
        TokenDataset([])
