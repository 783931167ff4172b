"""Small datasets as write.tokens publishes them: one shard, a vocabulary of 256."""

import hashlib
import json

import pyarrow as pa

END = 1
"""The id of end-of-text."""


def dataset(folder, ids, **columns):
    """Sequences as write.tokens publishes them: one shard, and what it says of the vocabulary."""
    folder.mkdir(parents=True)
    columns = {"input_ids": ids, **columns}
    rows = pa.table({k: pa.FixedSizeListArray.from_arrays(v.ravel(), v.shape[1]) for k, v in columns.items()})
    name = "data-00000-of-00001.arrow"
    with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as out:
        out.write_table(rows)
    written = (folder / name).read_bytes()
    shard = {
        "name": name,
        "sha256": hashlib.sha256(written).hexdigest(),
        "size": len(written),
        "rows": len(ids),
        "tokens": ids.size,
    }
    about = {
        "format": "curate.tokens/1",
        "sequence": ids.shape[1],
        "dtype": "uint16",
        "vocab_size": 256,
        "end_of_text": END,
    }
    about |= {"padding": 2, "pack": "concat", "rows": len(ids), "tokens": ids.size, "shards": [shard]}
    (folder / "shards.json").write_text(json.dumps(about))
    (folder / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": name}], "_fingerprint": "0123456789abcdef"})
    )
    return folder
