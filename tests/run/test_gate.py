"""A gate: simple queries stay with the small model, harder ones go to the large one, and what the small one failed follows."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

from command import Curate, dataset, manifest, results
from recipes import step, write

from curate.llm.teacher import Call, Say, Teacher
from curate.stages.answered import query_id

QUERIES = 16


def answered(path: Path) -> None:
    """What two models answered before: every fourth query only the large one could; the last is a long one."""
    lines = []
    for i in range(QUERIES + 1):
        more = " and so on" * 20 if i == QUERIES else ""
        messages = [{"role": "user", "content": f"{'Prove' if hard(i) else 'Add'} {i} and {i}{more}"}]
        for model, score in (("mini", 0 if hard(i) else 1), ("maxi", 1)):
            said = [*messages, {"role": "assistant", "content": f"{model} says"}]
            meta = {"messages": said, "query": query_id(said), "model": model, "score": score, "terms": "CC0-1.0"}
            lines.append(json.dumps({"id": f"{model}/{i}", "text": f"{i}", **meta}))
    path.write_text("\n".join(lines) + "\n")


def hard(i: int) -> bool:
    """Whether a query is."""
    return i % 4 == 0


def test_hard_queries_go_to_the_large_model_and_resume_gives_the_same(curate: Curate, tmp_path: Path) -> None:
    """The small model is asked the easy ones alone, the large one the hard ones and the one that the small one refused; the
    ledger tells both; killed and run again nothing differs and nothing received is asked twice."""
    asked: Counter[tuple[str, str]] = Counter()

    def say(call: Call) -> Say:
        time.sleep(0.01)
        query = call.body["messages"][-1]["content"]
        asked[call.body["model"], query] += 1
        if call.body["model"] == "small" and query == "Add 5 and 5":
            return Say("I'm sorry, but I can't help with that.")
        return Say(f"{call.body['model']} answers: {query}")

    answered(tmp_path / "answers.jsonl")
    gate = {"column": "routes.gap", "at_least": 0.5, "model": "large"}
    steps = [
        step("answers", "read.jsonl", paths=["answers.jsonl"]),
        step("routes", "route.answers", small="mini", large="maxi"),
        step(
            "taught", "generate.answers", model="small", gate=gate, then="large", round=4, ahead=0, max_query_chars=99
        ),
        step("out", "write.text"),
    ]
    with Teacher(say) as teacher:
        served = {"base_url": teacher.base_url, "licence": "CC0-1.0", "concurrency": 2}
        prices = {
            "small": {"prompt_price": 1, "completion_price": 1},
            "large": {"prompt_price": 9, "completion_price": 9},
        }
        models = {name: {"model": name, **prices[name], **served} for name in ("small", "large")}
        path = write(tmp_path / "r.yaml", steps, models=models)
        told = curate.run(path, tmp_path / "run").ok()
        assert "taught: not asked: 1 longer than max_query_chars" in told.out
        once = asked.copy()
        easy = {f"Add {i} and {i}" for i in range(QUERIES) if not hard(i)}
        proofs = {f"Prove {i} and {i}" for i in range(QUERIES) if hard(i)}
        assert once == Counter(
            {**{("small", q): 1 for q in easy}, **{("large", q): 1 for q in proofs | {"Add 5 and 5"}}}
        )

        rows = {
            json.loads(row["meta"])["messages"][0]["content"]: json.loads(row["meta"])
            for row in dataset(tmp_path / "run")
        }
        assert {q: meta["model"] for q, meta in rows.items()} == {
            **dict.fromkeys(easy, "small"), **dict.fromkeys(proofs, "large"), "Add 5 and 5": "large",
        }  # fmt: skip
        assert {meta["gate"] for q, meta in rows.items() if q in proofs} == {1.0}

        family = manifest(tmp_path / "run")["steps"]["taught"]["report"]["families"]["plain"]
        assert (family["asked"], family["gated"], family["then"]) == (QUERIES + 1, len(proofs), 1)
        (cascade,) = json.loads(curate("ledger", str(tmp_path / "run"), "--json").ok().out)["cascades"]
        assert (cascade["first"], cascade["then"], cascade["gated"]) == ("small", "large", len(proofs))
        assert cascade["asked"] == [len(easy), len(proofs) + 1]
        assert cascade["spent"] < cascade["alone"]
        shown = curate("ledger", str(tmp_path / "run")).ok().out
        assert "large was asked for 4 that the gate sent to it and 1 of what small failed" in shown

        asked.clear()

        def kill(pid: int) -> None:
            while asked.total() < 6:
                time.sleep(0.002)
            os.kill(pid, signal.SIGKILL)

        assert curate.run(path, tmp_path / "killed", meanwhile=kill).code == -signal.SIGKILL
        curate.run(path, tmp_path / "killed").ok()
        assert results(tmp_path / "killed") == results(tmp_path / "run")
        assert set(asked) == set(once)
        assert asked.total() <= once.total() + 2
