"""Write ``chat-log.jsonl.zst``: an invented log of requests to two models, as a gateway might keep it.

Questions and answers were written for this project. Nobody in it lives: names are common ones, and every address, telephone number,
card, account and key is made from a seed; each is formed as a real one is, for otherwise nothing could be tested on it.

    python data/samples/chat_log.py [FILE]

The same file each time. What is planted is counted in ``PLANTED``.
"""

from __future__ import annotations

import json
import random
import string
import sys
from pathlib import Path
from typing import Any

import zstandard

HERE = Path(__file__).resolve().parent
SEED = 10
SMALL, LARGE = "small-1b", "large-70b"

# Task, question, a large model's answer, a small model's answer.
ASKED: list[tuple[str, str, str, str]] = [
    ("python", "How do I reverse a list in Python without changing it?", "Use slicing: `items[::-1]` gives a new list in reverse order, and `items` stays as it was. `list(reversed(items))` does the same.", "Call items.reverse()."),
    ("python", "What is the difference between a list and a tuple?", "A list can be changed after it was made, a tuple can't. So a tuple of hashable values may be a key of a dictionary. Use a list for many things of one kind, a tuple for a record of a few.", "A tuple uses round brackets and a list uses square ones."),
    ("python", "Write a function that counts the vowels in a string.", "```python\ndef count_vowels(text):\n    return sum(letter in 'aeiou' for letter in text.lower())\n```\nIt goes through the letters once; `True` counts as 1.", "```python\ndef count_vowels(s):\n    return len(s)\n```"),
    ("python", "Why does `0.1 + 0.2 == 0.3` give False?", "Floats are binary fractions, and 0.1 has no finite one. The sum is 0.30000000000000004. Compare with `math.isclose`, or count in whole cents.", "Because Python has a bug with decimals."),
    ("python", "How can I read a file line by line?", "```python\nwith open(path, encoding='utf-8') as file:\n    for line in file:\n        print(line.rstrip('\\n'))\n```\nThe file is closed at the end of the block, and no more than a line is held at a time.", "Use open(path).read()."),
    ("python", "What does the `yield` keyword do?", "A function with `yield` gives a generator. Each `next` runs it up to the next `yield`, hands out that value and waits there. So values are made one at a time, when somebody asks.", "It returns a value from the function and ends it."),
    ("python", "How do I sort a list of dictionaries by the key 'age'?", "`sorted(people, key=lambda person: person['age'])`. With `operator.itemgetter('age')` instead of the lambda it says the same. `reverse=True` puts the oldest first.", "Use people.sort('age')."),
    ("python", "My loop skips items when I remove from the list. Why?", "Removing an item moves all later ones one place down, and the loop goes on at the next place: the one that moved there is passed over. Build a new list with a comprehension, or loop over a copy.", "You should use a while loop."),
    ("maths", "What is 17 percent of 340?", "10 percent is 34, 7 percent is 23.8. Together: 57.8.", "About 60."),
    ("maths", "A train goes 180 km in 2.5 hours. How fast is it on average?", "Speed is distance by time: 180 km / 2.5 h = 72 km/h.", "180 / 2.5 = 72, so 72 km/h."),
    ("maths", "Solve 3x + 7 = 31.", "Take 7 from both sides: 3x = 24. Divide by 3: x = 8. Check: 3 * 8 + 7 = 31.", "x = 8"),
    ("maths", "What is the area of a circle with radius 5?", "The area is pi times the radius squared: 25 pi, about 78.54.", "2 * pi * 5 = 31.4"),
    ("maths", "Is 221 a prime number?", "No: 221 = 13 * 17. It is enough to try primes up to 14, as 15 * 15 is larger than 221.", "Yes, 221 is prime."),
    ("maths", "I toss a coin three times. How likely are exactly two heads?", "There are 8 results, all equally likely; in 3 of them (HHT, HTH, THH) there are two heads. So 3/8.", "2/3"),
    ("maths", "How many days are there in 2024?", "366. 2024 can be divided by 4 and is no full century, so it is a leap year.", "366 days, a leap year."),
    ("writing", "Write a polite sentence that turns down an invitation to dinner.", "Thank you so much for the invitation; I would have loved to come, but I am not free that evening and hope we can find another one soon.", "No, I can't come to dinner."),
    ("writing", "Give me three titles for a story about a lighthouse.", "1. The Lamp Above the Fog\n2. Nobody Asks the Keeper\n3. Salt on the Glass", "1. The Lighthouse\n2. A Lighthouse\n3. My Lighthouse"),
    ("writing", "Make this shorter: 'Due to the fact that it was raining, we made the decision to stay at home.'", "Because it was raining, we stayed at home.", "Due to rain we made the decision to stay home."),
    ("writing", "What is a good opening line for a letter of complaint?", "Name the matter and the date at once: 'On 3 May I ordered a lamp from you (order 118); it arrived broken, and I ask you to replace it.'", "I am writing to complain."),
    ("writing", "Explain irony in two sentences.", "Irony says one thing and means another, mostly the opposite. 'Lovely weather', said in a storm, is ironic: speaker and listener both know better.", "Irony is when something is funny."),
    ("everyday", "How long do I boil an egg so that the yolk stays soft?", "About six minutes in boiling water for a medium egg from the fridge. Put it into cold water then, or it goes on cooking.", "Boil it for six minutes."),
    ("everyday", "My houseplant has yellow leaves. What can be wrong?", "Mostly too much water: feel the soil, and wait until its top is dry. Other causes are too little light, a pot that is too small, or old age of the lowest leaves.", "It needs more water."),
    ("everyday", "How do I get red wine out of a white shirt?", "Blot it, don't rub. Pour cold mineral water on it, then put salt or a paste of baking soda on, wait, and wash it cold. Heat fixes the stain.", "Wash it hot."),
    ("everyday", "What should I pack for three days in the mountains in autumn?", "Layers: a shirt that dries fast, a fleece, a rain jacket; a hat and gloves; boots that are walked in. Water, food, a map on paper, a lamp, a small first-aid kit, and a power bank.", "Warm clothes and shoes."),
    ("geography", "What is the capital of Australia?", "Canberra. Sydney is larger, which is why many take it for the capital.", "The capital is Sydney."),
    ("geography", "Why is it warmer at the equator than at the poles?", "The sun stands high there, so its light falls on less ground and through less air. Near the poles the same light is spread over more ground, and ice sends much of it back.", "Because the equator is closer to the sun."),
    ("geography", "Which is the longest river in Africa?", "The Nile, with about 6,650 km.", "The Nile."),
    ("geography", "What makes the tides?", "The moon's pull, and less so the sun's: it is stronger on the near side of the earth and weaker on the far side, so that the sea rises on both. The earth turns below these two hills of water.", "The wind makes the tides."),
    ("science", "Why is the sky blue?", "Air scatters short waves of light more than long ones, so blue reaches us from all of the sky. In the evening the way through the air is long, and the red is what is left.", "Because it reflects the ocean."),
    ("science", "What is the difference between weather and climate?", "Weather is what happens now or this week; climate is what weather is like over decades. One cold winter says little about the climate.", "They are the same thing."),
]  # fmt: skip

# What people say of themselves around a question; {kind} is put in.
SAID = [
    "Hi, I'm {name} ({email}). ", "Please answer to {email}. ", "My number is +1 {nanp} if that helps. ", "You can reach me at {phone_de}. ",
    "This is {name}, call me at {nanp}. ", "I am at {ip} and it is slow today. ", "My SSN is {ssn}, do you need it? ",
    "I pay with {card}. ", "Send the refund to {iban}. ", "My key is {key}, by the way. ",
]  # fmt: skip
NAMES = ["Maria Lopez", "Jens Becker", "Aisha Khan", "Tom Willis", "Wei Zhang", "Sofia Rossi"]
PLANTED = {"asked of both models": 30, "without consent": 14, "said again": 12, "said again in other words": 8, "failed": 4, "cut short": 3, "held back": 3,
           "with a tool": 2, "with a picture": 2, "of a benchmark": 2, "with personal data": 40}  # fmt: skip


def personal(rng: random.Random) -> dict[str, str]:
    """One of each kind, nobody's."""

    def digits(count: int) -> str:
        return "".join(rng.choices(string.digits, k=count))

    name = rng.choice(NAMES)
    body = "4539" + digits(11)
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(body))]
    card = body + str(-sum(v - 9 * (v > 9) for v in doubled) % 10)
    account = digits(18)
    check = 98 - int(account + "131400") % 97
    return {
        "name": name,
        "email": f"{name.lower().replace(' ', '.')}{rng.randrange(10, 99)}@{rng.choice(['gmail.com', 'web.de', 'mail.co.uk'])}",
        "nanp": f"{rng.randrange(201, 989)}-{rng.randrange(600, 899)}-{digits(4)}",
        "phone_de": f"+49 171 {rng.randrange(1000, 9999)}{digits(3)}",
        "ip": f"{rng.choice([46, 81, 185])}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
        "ssn": f"536-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}",
        "card": " ".join(card[i : i + 4] for i in range(0, 16, 4)),
        "iban": f"DE{check:02d}{account}",
        "key": "sk-proj-" + "".join(rng.choices(string.ascii_letters + string.digits, k=40)) + "7",
    }


def record(
    rng: random.Random, task: str | None, asked: str, answer: str | None, model: str, **more: Any
) -> dict[str, Any]:
    """A request and its response."""
    choice = {"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    words = len(asked.split()), len((answer or "").split())
    user = {"id": f"user-{rng.randrange(12):02d}", "ip": personal(rng)["ip"], "consent": True}
    return {
        "time": f"2026-03-{rng.randrange(1, 29):02d}T{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}Z",
        "user": user,
        **({"task": task} if task else {}),
        "terms": "CC0-1.0",
        "request": {"model": model, "messages": [{"role": "user", "content": asked}], "temperature": 0.7},
        "response": {"model": f"{model}-2026-01", "choices": [choice], "usage": {"prompt_tokens": words[0], "completion_tokens": words[1]}},
        **more,
    }  # fmt: skip


def log() -> list[dict[str, Any]]:
    """All records, in the order in which they stand in the file."""
    rng = random.Random(SEED)
    found = [record(rng, task, asked, answer, model) for task, asked, large, small in ASKED for model, answer in ((LARGE, large), (SMALL, small))]  # fmt: skip
    for number in range(PLANTED["with personal data"]):
        task, asked, large, _ = ASKED[number % len(ASKED)]
        facts = personal(rng)
        said = SAID[number % len(SAID)].format(**facts)
        made = record(rng, task, said + asked, f"Hello {facts['name'].split()[0]}! {large}", LARGE)
        if number % 4 == 0:
            made["request"]["messages"].insert(
                0, {"role": "system", "content": f"You help {facts['email']}. Be brief."}
            )
        found.append(made)
    for number in range(PLANTED["said again"]):
        task, asked, large, _ = ASKED[number * 2]
        found.append(record(rng, task, asked, large, LARGE))
    for number in range(PLANTED["said again in other words"]):
        task, asked, large, _ = ASKED[number * 3 + 1]
        again = f"{asked} Thanks a lot in advance!" if number % 2 else asked.lower().rstrip("?.")
        found.append(record(rng, task, again, f"{large} Anything else?", LARGE))
    for number in range(PLANTED["without consent"]):
        task, asked, large, _ = ASKED[number + 5]
        made = record(rng, task, f"{asked} (private)", large, LARGE)
        made["user"] |= {"consent": False} if number % 2 else {}
        if number % 2 == 0:
            del made["user"]["consent"]
        found.append(made)
    found += _bad(rng)
    for code in ("has_close_elements", "separate_paren_groups"):
        found.append(record(rng, "python", _benchmark(code), "I would loop over all pairs.", SMALL, terms="MIT"))
    rng.shuffle(found)
    return [{"id": f"req-{number:04d}", **made} for number, made in enumerate(found)]


def _bad(rng: random.Random) -> list[dict[str, Any]]:
    """Requests that were not answered in words."""
    found = []
    for kind in ("failed", "cut short", "held back", "with a tool", "with a picture"):
        for number in range(PLANTED[kind]):
            task, asked, large, _ = ASKED[number + 11]
            made = record(rng, task, f"{asked} ({kind})", large, LARGE)
            choice = made["response"]["choices"][0]
            if kind == "failed":
                made |= {"response": None, "error": {"code": 503, "message": "overloaded"}}
            elif kind == "cut short":
                choice |= {"finish_reason": "length", "message": {"role": "assistant", "content": large[:20]}}
            elif kind == "held back":
                choice |= {
                    "finish_reason": "content_filter",
                    "message": {"role": "assistant", "content": None, "refusal": "I can't help with that."},
                }
            elif kind == "with a tool":
                call = {"id": "call-1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
                choice |= {
                    "finish_reason": "tool_calls",
                    "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                }
            else:
                part = {"type": "image_url", "image_url": {"url": "https://pictures.example/1.png"}}
                made["request"]["messages"][0]["content"] = [{"type": "text", "text": asked}, part]
            found.append(made)
    return found  # fmt: skip


def _benchmark(entry: str) -> str:
    """A problem of HumanEval (MIT), pasted as people paste homework: something for decontamination to find."""
    for line in (HERE.parent / "benchmarks/humaneval.jsonl").read_text().splitlines():
        item = json.loads(line)
        if item["entry_point"] == entry:
            return f"Complete this:\n\n{item['prompt']}"
    raise ValueError(entry)


def packed() -> bytes:
    """The file."""
    lines = b"".join(json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for made in log())
    return zstandard.ZstdCompressor(level=19).compress(lines)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "chat-log.jsonl.zst"
    target.write_bytes(packed())
