"""The trainer's tiny twin: what it computes, that it learns, and that a stopped run goes on as if nothing had happened."""

import dataclasses
import json

import numpy as np
import pytest

from curate.errors import RecipeError

torch = pytest.importorskip("torch", reason="the trainer needs torch: make torch")
create_block_mask = pytest.importorskip("torch.nn.attention.flex_attention").create_block_mask
FlopCounterMode = pytest.importorskip("torch.utils.flop_counter").FlopCounterMode

import phi  # noqa: E402 - needs torch
import pretrain_phi as trainer  # noqa: E402
from published import END, dataset  # noqa: E402

LENGTH = 32
PLANTED = np.array([17, 201, 33, 150, 99, 62, 240, 18, 77, 131, 214, 45])
CONTROL = np.array([71, 20, 133, 250, 19, 162, 40, 118, 177, 31, 114, 245])


def corpus(sequences=64):
    """Sequences of random tokens, in each of them the planted sentence; the control stands in none."""
    ids = np.random.default_rng(0).integers(3, 256, (sequences, LENGTH)).astype(np.uint16)
    ids[:, 8 : 8 + len(PLANTED)] = PLANTED
    return ids


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return dataset(tmp_path_factory.mktemp("planted") / "dataset", corpus())


def run(shards, out, **values):
    values = {"steps": 60, "batch": 8, "micro": 4, "rate": 3e-3, "warmup": 5, "every": 20, "preset": "tiny", **values}
    return trainer.pretrain(trainer.Settings(str(shards), out, **values))


def logged(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def sentence_loss(model, tokens):
    ids = torch.from_numpy(tokens.astype(np.int64))[None]
    with torch.no_grad():
        logits = model(ids, torch.arange(len(tokens))[None], None)[0]
    return float(torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:]))


def test_loss_falls_and_what_repeats_is_memorised(shards, tmp_path):
    trained = run(shards, tmp_path)
    losses = [line["loss"] for line in logged(tmp_path)]
    assert losses[0] == pytest.approx(np.log(256), abs=0.15)  # nothing known: all of the vocabulary is as likely
    assert np.mean(losses[-5:]) < losses[0] - 1
    model = trained.model.eval()
    planted, control = sentence_loss(model, PLANTED), sentence_loss(model, CONTROL)
    assert planted < 0.5 < 4 < control
    assert (tmp_path / "loss.svg").read_text().startswith("<svg")
    assert {"step", "tokens", "loss", "norm", "rate", "tokens_per_s", "mfu", "data"} == set(logged(tmp_path)[0])


def test_a_stopped_run_goes_on_bit_by_bit(shards, tmp_path):
    undisturbed = run(shards, tmp_path / "a", steps=12, every=4, dropout=0.1)
    run(shards, tmp_path / "b", steps=12, every=4, dropout=0.1, stop=6)
    (tmp_path / "b" / "checkpoint-00000006.pt").unlink()  # killed after step 6, before its checkpoint was there
    resumed = run(shards, tmp_path / "b", steps=12, every=4, dropout=0.1)
    for name, weight in undisturbed.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name
    kept = ("step", "tokens", "loss", "norm", "rate")
    a, b = ([{k: line[k] for k in kept} for line in logged(tmp_path / each)] for each in "ab")
    assert a == b
    assert [p.name for p in trainer.checkpoints(tmp_path / "b")] == ["checkpoint-00000008.pt", "checkpoint-00000012.pt"]


def test_another_run_in_the_same_folder_is_refused(shards, tmp_path):
    run(shards, tmp_path, steps=2)
    with pytest.raises(RecipeError, match=r"made with rate 0\.003, not 0\.1; give another --out"):
        run(shards, tmp_path, steps=2, rate=0.1)


def test_micro_batches_give_the_same_step(shards, tmp_path):
    whole = run(shards, tmp_path / "a", steps=3, micro=8)
    split = run(shards, tmp_path / "b", steps=3, micro=2)
    for name, weight in whole.model.state_dict().items():
        torch.testing.assert_close(weight, split.model.state_dict()[name], rtol=1e-3, atol=1e-5, msg=name)


def batch(*columns, ids=None):
    rng = np.random.default_rng(1)
    ids = rng.integers(3, 256, (2, LENGTH)).astype(np.uint16) if ids is None else ids
    return {name: torch.from_numpy(values.astype(np.int64)) for name, values in (("input_ids", ids), *columns)}


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("blocks", [False, True])
def test_a_documents_logits_do_not_depend_on_its_neighbours(blocks):
    torch.manual_seed(0)
    model = phi.Phi(phi.Shape(2, 64, 4, vocabulary=256, context=LENGTH)).eval()
    ids = batch()["input_ids"].numpy()
    ids[:, [9, 20]] = END
    other = np.random.default_rng(2).integers(3, 256, ids.shape).astype(np.uint16)
    other[:, 9:21] = ids[:, 9:21]

    def logits(ids, documents):
        s = trainer.Sequences.of(batch(ids=ids), END, documents=documents)
        with torch.no_grad():
            return model(s.ids, s.positions, s.mask(create_block_mask if blocks else None) if documents else None)[
                :, 10:21
            ]

    torch.testing.assert_close(logits(ids, True), logits(other, True), rtol=0, atol=1e-6)
    assert (logits(ids, False) - logits(other, False)).abs().max() > 1e-3
    alone = trainer.Sequences.of(batch(ids=ids[:, 10:21].copy()), END, documents=False)  # nor on where it stands
    with torch.no_grad():
        torch.testing.assert_close(model(alone.ids, alone.positions, None), logits(ids, True), rtol=0, atol=1e-5)


def test_what_a_sequence_says_of_its_documents():
    """The slow way: token by token. Pieces by position_ids, else by end-of-text; the last one predicts nothing."""
    ids = batch()["input_ids"].numpy()
    ids[0, [4, 5, 30]] = END
    positions = np.stack([np.r_[0:5, 0:1, 0:25, 0:1], np.r_[0:12, 0:20]])  # in row 1 a cut document, and no end-of-text
    mask = np.ones(ids.shape, np.uint8)
    mask[1, 25:] = 0
    for documents in (True, False):
        for starts_by in ("position_ids", "end of text"):
            columns = [("loss_mask", mask), *([("position_ids", positions)] if starts_by == "position_ids" else [])]
            got = trainer.Sequences.of(batch(*columns, ids=ids), END, documents=documents)
            for row in range(2):
                piece, place = 0, 0
                for t in range(LENGTH):
                    begins = positions[row, t] == 0 if starts_by == "position_ids" else t == 0 or ids[row, t - 1] == END
                    if documents and begins:
                        piece, place = piece + 1, 0
                    assert int(got.positions[row, t]) == place
                    if t:
                        alike = bool(got.document[row, t] == got.document[row, t - 1])
                        assert alike == (not (documents and begins))
                        target = int(got.targets[row, t - 1])
                        assert target == (int(ids[row, t]) if alike and mask[row, t] else phi.IGNORED)
                    place += 1
            assert (got.targets[:, -1] == phi.IGNORED).all()
            dense, blocks = got.mask(None), got.mask(create_block_mask)
            q, k = torch.meshgrid(torch.arange(LENGTH), torch.arange(LENGTH), indexing="ij")
            for b in range(2):
                assert torch.equal(dense[b, 0], blocks.mask_mod(torch.tensor(b), torch.tensor(0), q, k))


def test_logits_and_gradients_are_those_of_transformers():
    transformers = pytest.importorskip("transformers", reason="compares with PhiForCausalLM: pip install transformers")
    shape = phi.Shape(2, 64, 4, vocabulary=128, context=LENGTH)
    torch.manual_seed(0)
    ours = phi.Phi(shape)
    for weight in ours.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    config = transformers.PhiConfig(
        vocab_size=128, hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=LENGTH,
    )  # fmt: skip
    theirs = transformers.PhiForCausalLM(config)
    theirs.load_state_dict(ours.state_dict())
    ids = torch.randint(0, 128, (3, LENGTH))
    targets = torch.nn.functional.pad(ids[:, 1:], (0, 1), value=phi.IGNORED)
    positions = torch.arange(LENGTH).expand_as(ids)
    torch.testing.assert_close(ours(ids, positions, None), theirs(ids).logits, rtol=0, atol=1e-5)
    (ours(ids, positions, None, targets) / (targets != phi.IGNORED).sum()).backward()
    theirs(ids, labels=ids).loss.backward()
    gradients = dict(theirs.named_parameters())
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, gradients[name].grad, rtol=1e-3, atol=1e-6)


def test_published_folder_opens_in_transformers(shards, tmp_path):
    transformers = pytest.importorskip("transformers", reason="opens the published model: pip install transformers")
    trained = run(shards, tmp_path, steps=1)
    opened = transformers.PhiForCausalLM.from_pretrained(tmp_path)
    ids = batch()["input_ids"]
    positions = torch.arange(LENGTH).expand_as(ids)
    torch.testing.assert_close(trained.model.eval()(ids, positions, None), opened(ids).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("preset", "parameters"), [("1.3b", 1_418_270_720), ("350m", 356_794_368)])
def test_parameters_and_flops(preset, parameters):
    """1,418,270,720 is the size of the released microsoft/phi-1. The FLOPs are held against torch's own counter."""
    with torch.device("meta"):
        assert sum(p.numel() for p in phi.Phi(phi.PRESETS[preset]).parameters()) == parameters
        model = phi.Phi(dataclasses.replace(phi.PRESETS[preset], layers=2))
        ids = torch.zeros(1, 2_048, dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            model(ids, ids, None, ids).backward()
    half = 6 * 2 * model.shape.width * 2_048  # the counter takes attention for a full one
    assert counter.get_total_flops() / 2_048 == pytest.approx(model.flops + half, rel=0.01)


def test_learning_rate_is_the_papers():
    s = trainer.Settings("corpus")
    rates = [s.learning_rate(step) for step in (0, 374, 749, 750, 18_375, 35_999)]
    assert rates == pytest.approx([1e-3 / 750, 5e-4, 1e-3, 1e-3, 5e-4, 1e-3 / 35_250])


def test_command_line_has_every_setting(capsys):
    s = trainer.parse(trainer.Settings, None, ["D", "--preset", "tiny", "--rate", "0.01"])
    assert (s.data, s.preset, s.rate, s.batch) == ("D", "tiny", 0.01, 1_024)
    with pytest.raises(SystemExit):
        trainer.parse(trainer.Settings, None, ["--help"])
    said = capsys.readouterr().out
    assert all(f"--{f.name} " in said for f in dataclasses.fields(trainer.Settings) if f.name != "data")
