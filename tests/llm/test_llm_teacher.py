"""The default script: deterministic, mostly right, and wrong on purpose."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections import Counter

import pytest

from curate.llm.script import TROUBLES
from curate.llm.teacher import Allowance, Call, Say, Teacher, default_script, repeating, troubled


def say(prompt: str, draw: int):
    return default_script(Call(f"{prompt}{draw}", 0, {"messages": [{"role": "user", "content": prompt}]}, ""))


def outcome(text: str) -> str:
    """What running an answer's block comes to: the teacher's own code, nobody else's."""
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    if not block:
        return "cut"
    try:
        exec(block[1], {})
    except AssertionError:
        return "wrong"
    return "vacuous" if "assert True" in block[1] else "right"


def test_exercises_are_mostly_right_and_sometimes_each_kind_of_wrong():
    """Every kind of fault that a check must catch occurs, and no answer fails in a way that was not meant."""
    says = [say("Write a Python exercise about loops.", draw) for draw in range(300)]
    assert says == [say("Write a Python exercise about loops.", draw) for draw in range(300)]
    refusals = [s for s in says if "can't help" in s.text]
    kinds = [outcome(s.text) for s in says if s not in refusals]
    assert refusals
    assert all(kinds.count(kind) > 5 for kind in ("wrong", "vacuous", "cut"))
    assert kinds.count("right") > 150
    assert any(s.text.startswith("Sure!") for s in says)
    assert len({s.text for s in says}) > 150


def test_ratings_are_scores_and_other_prompts_get_a_passage():
    """A score line from 0 to 5; a passage with a heading and a word of the prompt."""
    scores = [re.search(r"Educational score: ([0-5])$", say("Rate this; give a score.", d).text) for d in range(50)]
    assert all(scores)
    assert len({s[1] for s in scores}) == 6
    passages = [say("Explain recursion to beginners.", d).text for d in range(20)]
    assert sum(p.startswith("# About ") for p in passages) > 15


def test_it_runs_as_a_command():
    """It prints its base_url and answers a plain HTTP client."""
    child = subprocess.Popen([sys.executable, "-m", "curate.llm.teacher", "--port", "0"], stdout=subprocess.PIPE)
    try:
        url = child.stdout.readline().decode().split()[-1]
        body = {"model": "m", "messages": [{"role": "user", "content": "Write a function."}], "max_tokens": 3}
        request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode())
        with urllib.request.urlopen(request) as response:
            reply = json.load(response)
        assert reply["usage"]["completion_tokens"] <= 3
        with urllib.request.urlopen(f"{url}/models") as response:
            assert json.load(response)["data"]
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_it_counts_what_it_receives(ask_at, request_of):
    """Per key, and how many at once: what tests of money rely on."""
    with Teacher() as teacher:
        ask_at([[request_of(f"function {i}", max_tokens=500) for i in range(10)]], teacher.base_url)
    assert sorted(teacher.received.values()) == [1] * 10
    assert teacher.received == teacher.answered
    assert 1 <= teacher.peak <= 4


def test_troubles_befall_their_share_and_a_run_gets_all_its_answers(ask_at, request_of):
    """Each kind at once: every request is answered in the end, each trouble is in the accounts under its kind."""
    with pytest.raises(ValueError, match="no trouble is called thunder"):
        troubled(default_script, {"thunder": 1.0})
    rates = dict.fromkeys((*TROUBLES, "truncated", "no_usage"), 0.05)
    script = troubled(lambda call: Say(f"answer to {call.prompt} in words"), rates)
    met = Counter(script(Call(f"{i}", 0, {}, "")).fault for i in range(2000))
    assert all(50 < met[fault] < 160 for fault in ("drop", "html", "garbage", "no_choices", "cut_body"))
    script = troubled(
        lambda call: Say(f"answer to {call.prompt} in words"), {**rates, "unavailable": 0, "rate_limited": 0.02}
    )
    with Teacher(script) as teacher:
        asked = ask_at([[request_of(f"r{i}") for i in range(40)]], teacher.base_url, concurrency=16, attempts=9)
    assert None not in asked.rounds[0]
    kinds = Counter(a.finish_reason for a in asked.rounds[0])
    assert kinds["stop"] > 25 and kinds["refusal"] and kinds["length"]
    assert set(asked.accounts["errors"]) <= {
        "rate_limited", "server_error", "dropped", "bad_reply", "no_content"
    }  # fmt: skip


def test_a_teacher_that_collapses_has_few_answers():
    """As many to each prompt as it is told, whatever the draw."""
    few = repeating(default_script, 3)
    for prompt in ("Explain recursion to beginners.", "Write a function."):
        texts = {few(Call(f"{i}", 0, {"messages": [{"content": prompt}]}, "")).text for i in range(100)}
        assert 2 <= len(texts) <= 3


def test_an_allowance_is_enforced_and_told(ask_at, request_of):
    """Requests beyond it get 429 with Retry-After; headers say what is left, and who reads them is not refused."""
    for window in (0.0, 1.0):
        with Teacher(lambda _: Say("yes"), allowance=Allowance(requests_per_minute=600, window=window)) as teacher:
            waits = [teacher.admit(Call("k", 0, {}, ""))[0] for _ in range(700)]
        assert sum(w == 0 for w in waits) in range(10 if window else 600, 25 if window else 615)
    with Teacher(lambda _: Say("yes"), allowance=Allowance(requests_per_minute=1800, window=1.0)) as teacher:
        began = time.monotonic()
        asked = ask_at([[request_of(f"r{i}") for i in range(45)]], teacher.base_url, concurrency=8)
        assert all(asked.rounds[0])
        assert time.monotonic() - began > 0.5
        assert asked.accounts["errors"].get("rate_limited", 0) <= 3
