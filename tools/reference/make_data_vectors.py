"""Writes tests/data/study/vectors.json: random choices of numpy and pandas, WRatio of RapidFuzz, Python literals.

randint: RandomState(seed).randint(n) called for each n in order. sample: the index of a frame of n rows after
.sample(k, random_state=seed). alike: fuzz.WRatio(a, b) without a processor. literals: text and what
ast.literal_eval makes of it, as JSON. select: a table with groups, order and generated answers, and the rows that
N0d-style selections keep, drawn group by group with .sample(n, random_state=1).

Usage: make_data_vectors.py [OUTPUT]
"""

import ast
import json
import pathlib
import platform
import random
import sys

import numpy as np
import pandas as pd
import rapidfuzz
from rapidfuzz import fuzz

OUTPUT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/study/vectors.json"


def randint(seed):
    state = np.random.RandomState(seed)
    sizes = [1, 2, 3, 6, 10, 33, 58, 1, 64, 65, 1000, 2**20 + 1, 2, 7]
    return {"seed": seed, "n": sizes, "values": [int(state.randint(n)) for n in sizes]}


def sample(n, k, seed):
    frame = pd.DataFrame({"row": range(n)})
    return {"n": n, "k": k, "seed": seed, "index": [int(i) for i in frame.sample(k, random_state=seed).index]}


WORDS = [
    "man", "woman", "walk", "walking", "walks", "sit", "sitting", "run", "running", "ride", "riding", "rides", "dog",
    "dogs", "dog?", "grass", "a", "on", "the", "lie", "lying", "lay", "hold", "holding", "snowboard", "snow", "skate",
    "skateboarding", "child", "children", "is", "or", "sand", "stand", "standing", "understanding", "caf\u00e9", "cafe",
    "x", "counterrevolutionaries", "art", "cart", "carts", "tra", "trap", "abcabcab", "bc", "zzzzzzzzzzzzzzzzzzzz",
]


def alike():
    pairs = [(a, b) for a in WORDS for b in WORDS if a != b]
    random.Random(5).shuffle(pairs)
    letters = random.Random(7)
    for _ in range(200):
        a, b = ("".join(letters.choice("abcd") for _ in range(letters.randint(1, 12))) for _ in range(2))
        pairs.insert(0, (a, b))
    return [[a, b, fuzz.WRatio(a, b)] for a, b in pairs[:900]]


LITERALS = [
    "[]", "{}", "()", " [ ] ", "['a', \"b\", 'it\\'s']", "[1, -2, +3, 2.5, -1e3, True, False, None]",
    "[{'question': 'Is it \"red\"?', 'answer': 1}, {'question': \"it's\", 'answer': 0},]",
    "('a', ('b',), [])", "{'a': {'b': [1, {'c': 'd'}]}}", "'tab\\tline\\nbell\\x07 \\u00e9 \\101 \\q \\\\'",
    "'caf\u00e9 \\U0001F600'", "['girl,sit,grass', 'girl,sit,field']", "['a'\n, 'b']",
]


def plain(value):
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def select():
    random.seed(3)
    rows = []
    for i in range(160):
        group = random.choice(["happy", "sad", "fearful"])
        rows.append({
            "sample": f"s{i}", "group": group, "correct": group, "incorrect": "angry",
            "correct_first": random.randint(0, 1), "generated": random.choice([group, group, group, "angry"]),
            "picture": random.choice(["positive", "negative"]),
        })
    frame = pd.DataFrame(rows)
    kept = frame[frame.generated == frame.correct]
    halves = {}
    for column, values in (("correct_first", [1, 0]), ("picture", ["positive", "negative"])):
        taken = []
        for group in kept.group.unique():
            for value in values:
                part = kept[(kept.group == group) & (kept[column] == value)]
                taken += list(part.sample(min(12, len(part)), random_state=1)["sample"])
        halves[column] = taken
    return {"rows": rows, "count": 12, "taken": halves}


def main():
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    versions = {"python": platform.python_version(), "numpy": np.__version__, "pandas": pd.__version__,
                "rapidfuzz": rapidfuzz.__version__}
    print(versions)
    output.parent.mkdir(parents=True, exist_ok=True)
    data = {
        "versions": versions,
        "randint": [randint(seed) for seed in (0, 1, 12345, 2**32 - 1)],
        "sample": [sample(*c) for c in ((1, 1, 1), (2, 1, 1), (5, 5, 1), (10, 3, 1), (1000, 20, 1), (257, 25, 7),
                                        (65537, 10, 1), (300, 30, 0))],
        "alike": alike(),
        "literals": [[text, plain(ast.literal_eval(text.strip()))] for text in LITERALS],
        "select": select(),
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in data.items()]
    output.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
