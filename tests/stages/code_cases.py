"""Documents made of code, for tests of filters on code."""

from __future__ import annotations

import json

import pyarrow as pa
from exchange import documents

from curate.text.batch import Batch


def files(texts: list[str], extension: str | None = "py") -> Batch:
    """One batch of documents from files with that extension; None: nothing says what they are."""
    rows = documents(list(texts)).combine_chunks().to_batches()[0] if texts else documents([]).combine_chunks()
    if isinstance(rows, pa.Table):
        rows = pa.RecordBatch.from_arrays([c.combine_chunks() for c in rows.columns], schema=rows.schema)
    if extension is not None:
        meta = [json.dumps({"path": f"a/{i}.{extension}"}, separators=(",", ":")) for i in range(len(texts))]
        rows = rows.set_column(
            rows.schema.get_field_index("meta"), rows.schema.field("meta"), pa.array(meta, pa.string())
        )
    return Batch(rows)


FACTORIAL = '''def factorial(n):
    """The product of the numbers from 1 to n."""
    result = 1
    for i in range(2, n + 1):
        result *= i
    return result
'''
LESSON = '''"""How binary search works, and why the list has to be sorted."""

from __future__ import annotations

import random


class Counter:
    """Counts comparisons."""

    def __init__(self):
        self.seen = 0

    def less(self, a, b):
        """Whether a is less than b; remembers that it was asked."""
        self.seen += 1
        return a < b


def find(values, wanted, counter):
    """The index of ``wanted`` in sorted ``values``, or -1.

    >>> find([1, 3, 5], 3, Counter())
    1
    """
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        # Half of what is left goes with each comparison.
        if counter.less(values[middle], wanted):
            low = middle + 1
        else:
            high = middle
    return low if low < len(values) and values[low] == wanted else -1


if __name__ == "__main__":
    numbers = sorted(random.sample(range(1000), 20))
    print(find(numbers, numbers[7], Counter()))
'''
GRID = """import numpy as np
import matplotlib.pyplot as plt

SIZE = 100
STEPS = [1, 2, 5]


def diffuse(grid, rate):
    inner = grid[1:-1, 1:-1]
    around = grid[:-2, 1:-1] + grid[2:, 1:-1] + grid[1:-1, :-2] + grid[1:-1, 2:]
    grid[1:-1, 1:-1] = inner + rate * (around - 4 * inner)
    return grid


for step in STEPS:
    grid = np.zeros((SIZE, SIZE))
    grid[SIZE // 2, SIZE // 2] = 1.0
    for _ in range(step):
        diffuse(grid, 0.1)
    plt.imshow(grid)
plt.show()
"""
TREE = '''from algorithms.tree.node import Node


def height(root):
    """Edges on the longest way down from root; -1 for no tree at all."""
    if root is None:
        return -1
    return 1 + max(height(root.left), height(root.right))


def mirror(root: Node) -> Node:
    """Swap left and right everywhere, in place."""
    if root:
        root.left, root.right = mirror(root.right), mirror(root.left)
    return root
'''
SCRIPT = """# Ask for numbers until an empty line, then say how they are spread.
numbers = []
while True:
    line = input("number: ")
    if not line:
        break
    numbers.append(float(line))

mean = sum(numbers) / len(numbers)
print("mean", mean)
for number in numbers:
    print(number, "above" if number > mean else "not above")
"""
GAME = '''import tkinter as tk


class Game:
    """Guess a number; the window says whether the guess was too low or too high."""

    def __init__(self, secret):
        self.secret = secret
        self.low, self.high = 1, 100
        self.window = tk.Tk()
        self.entry = tk.Entry(self.window)
        self.entry.pack()
        self.entry.bind("<Return>", self.guess)

    def guess(self, event):
        """Narrow down what is possible."""
        number = int(self.entry.get())
        if number < self.secret:
            self.low = max(self.low, number + 1)
        elif number > self.secret:
            self.high = min(self.high, number - 1)
        else:
            self.low = self.high = number
        left = self.high - self.low + 1
        self.window.title(f"{left} left")
        if left == 1:
            self.window.quit()
'''
GOOD = [FACTORIAL * 2, LESSON, GRID, TREE, SCRIPT, GAME]
"""What a textbook might print."""
