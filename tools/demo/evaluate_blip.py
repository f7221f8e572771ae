"""Greedy generate() accuracy of the BLIP demo model, by question type.

Usage: python evaluate_blip.py --model MODELDIR --out blip_accuracy.json

Pictures are drawn at 320 x 320 and go through the folder's own image processor
(PIL backend, bicubic), questions through its own tokenizer, unpadded; the
stored float16 weights are computed with in float32.  An answer counts only if
the whole generated string equals the expected one.

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
from transformers import AutoTokenizer, BlipForQuestionAnswering
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

import scenes

DRAWN = 320


def questions(split, per_type):
    """`per_type` (scene index, kind, question, answer) rows for every question type."""
    rows = []
    for t, kind in enumerate(scenes.TYPES):
        index, got = t * 1000000, 0
        while got < per_type:
            scene = scenes.make_scene(split, index)
            rng = np.random.default_rng([5, index])
            pair = scenes.ask(scene, rng, kind, target=0 if split == "held_combo" else None)
            if pair:
                rows.append((index, kind) + pair)
                got += 1
            index += 1
    return rows


def answer_all(model, tok, proc, split, rows, blank=False, batch=100):
    """Generated answers of all rows, batched by question length."""
    lengths = collections.defaultdict(list)
    ids = [tok(r[2])["input_ids"] for r in rows]
    for i, t in enumerate(ids):
        lengths[len(t)].append(i)
    out = [None] * len(rows)
    for group in lengths.values():
        for a in range(0, len(group), batch):
            part = group[a:a + batch]
            pics = [Image.new("RGB", (DRAWN, DRAWN), (232, 232, 232)) if blank else
                    scenes.draw_scene(scenes.make_scene(split, rows[i][0]), DRAWN, 2) for i in part]
            x = proc(pics, return_tensors="pt")["pixel_values"]
            y = model.generate(input_ids=torch.tensor([ids[i] for i in part]), pixel_values=x,
                               do_sample=False, max_new_tokens=5)
            for i, text in zip(part, tok.batch_decode(y, skip_special_tokens=True)):
                out[i] = text.strip()
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--model", required=True)
    p.add_argument("--out")
    p.add_argument("--per-type", type=int, default=500)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--show", type=int, default=0, help="print this many wrong answers per split")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    model = BlipForQuestionAnswering.from_pretrained(args.model, dtype=torch.float32).eval()
    tok = AutoTokenizer.from_pretrained(args.model)
    proc = BlipImageProcessorPil.from_pretrained(args.model)
    report = {"weights": "float16, computed in float32", "decoding": "greedy",
              "questions_per_type": args.per_type, "picture_size": DRAWN}
    for name in ("held_scene", "held_combo", "blank"):
        split = "held_scene" if name == "blank" else name
        rows = questions(split, args.per_type)
        got = answer_all(model, tok, proc, split, rows, blank=name == "blank")
        right = collections.Counter(r[1] for r, g in zip(rows, got) if g == r[3])
        report[name] = {k: round(right[k] / args.per_type, 4) for k in scenes.TYPES}
        report[name]["all"] = round(sum(right.values()) / len(rows), 4)
        print(name, report[name], flush=True)
        wrong = [(r[0], r[2], r[3], g) for r, g in zip(rows, got) if g != r[3]]
        for w in wrong[:args.show if name != "blank" else 0]:
            print("  scene %d: %s expected %s, got %s" % w)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=2)
            f.write("\n")


if __name__ == "__main__":
    main()
