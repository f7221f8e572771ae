"""Accuracy of a question-answering demo model by question type: what its evaluate script shares with others.

Pictures are drawn at 320 x 320 and go through the folder's own image processor.
An answer counts only if the whole generated string equals the expected one.

Splits: `held_scene` has new scenes made of combinations seen in training;
`held_combo` asks about an object whose colour x shape combination no training
scene contained; `blank` repeats the `held_scene` questions over an empty
picture, which is what guessing from the question alone would reach.
"""

import argparse
import collections
import json

import numpy as np
import torch
from PIL import Image

import scenes

DRAWN = 320


def arguments(doc):
    p = argparse.ArgumentParser(description=doc.splitlines()[0])
    p.add_argument("--model", required=True)
    p.add_argument("--out")
    p.add_argument("--per-type", type=int, default=500)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--show", type=int, default=0, help="print this many wrong answers per split")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    return args


def questions(asked, split, per_type):
    """`per_type` (scene index, kind, question, answer) rows for every question type."""
    rows = []
    for t, kind in enumerate(asked.TYPES):
        index, got = t * 1000000, 0
        while got < per_type:
            scene = asked.make_scene(split, index)
            rng = np.random.default_rng([5, index])
            pair = asked.ask(scene, rng, kind, target=0 if split == "held_combo" else None)
            if pair:
                rows.append((index, kind) + pair)
                got += 1
            index += 1
    return rows


def answer_all(asked, encode, generate, split, rows, blank=False, batch=100):
    """Generated answers of all rows; those with equally many ids go together, so that nothing is padded."""
    lengths = collections.defaultdict(list)
    ids = [encode(r[2]) for r in rows]
    for i, t in enumerate(ids):
        lengths[len(t)].append(i)
    out = [None] * len(rows)
    for group in lengths.values():
        for a in range(0, len(group), batch):
            part = group[a:a + batch]
            pics = [Image.new("RGB", (DRAWN, DRAWN), (232, 232, 232)) if blank else
                    scenes.draw_scene(asked.make_scene(split, rows[i][0]), DRAWN, 2) for i in part]
            for i, text in zip(part, generate(torch.tensor([ids[i] for i in part]), pics)):
                out[i] = text.strip()
    return out


def write_report(path, report):
    if path:
        with open(path, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=2)
            f.write("\n")


def measure(args, asked, encode, generate):
    """Ask and count; `asked` is the module with TYPES, make_scene and ask."""
    report = {"weights": "float16, computed in float32", "decoding": "greedy",
              "questions_per_type": args.per_type, "picture_size": DRAWN}
    for name in ("held_scene", "held_combo", "blank"):
        split = "held_scene" if name == "blank" else name
        rows = questions(asked, split, args.per_type)
        got = answer_all(asked, encode, generate, split, rows, blank=name == "blank")
        right = collections.Counter(r[1] for r, g in zip(rows, got) if g == r[3])
        report[name] = {k: round(right[k] / args.per_type, 4) for k in asked.TYPES}
        report[name]["all"] = round(sum(right.values()) / len(rows), 4)
        print(name, report[name], flush=True)
        wrong = [(r[0], r[2], r[3], g) for r, g in zip(rows, got) if g != r[3]]
        for w in wrong[:args.show if name != "blank" else 0]:
            print("  scene %d: %s expected %s, got %s" % w)
    write_report(args.out, report)
