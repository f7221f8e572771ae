"""Draw minimal pairs: two pictures that differ in one attribute of one object.

Usage: python make_pairs.py --model ../../models/blip-demo --out ../../examples/study

Group "color" asks for the colour of a shape, and the two pictures differ in that colour; group "shape" asks for the
shape of a coloured object, and they differ in that shape. Everything else, background included, is equal pixel for
pixel outside the object. A pair is kept when the model answers both pictures correctly and the two questions have one
text. Writes pictures/ (64 x 64 PNG) and pairs.csv, a sample table of `fovea run`.
"""

import argparse
import csv
import os
import sys

import numpy as np
import PIL
import torch
import transformers
from PIL import Image, ImageDraw
from transformers import AutoTokenizer, BlipForQuestionAnswering
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

import scenes

QUESTION = {"color": "what color is the {}", "shape": "what shape is the {} object"}


def make_object(rng, color, shape, place):
    x, y, r = place
    return {"color": color, "shape": shape, "x": float(x), "y": float(y), "r": float(r),
            "rgb": list(scenes.RGB[color]), "rot": float(rng.uniform(-0.25, 0.25))}


def candidate(kind, index):
    """A pair of scenes, the question about both, and its two answers."""
    rng = np.random.default_rng([77, scenes.TYPES.index(kind), index])
    n = int(rng.choice([2, 3]))
    colors = rng.permutation(len(scenes.COLORS))
    shapes = rng.permutation(len(scenes.SHAPES))
    objects = [make_object(rng, int(colors[k]), int(shapes[k]), p) for k, p in enumerate(scenes._place(rng, n))]
    other = [dict(o) for o in objects]
    if kind == "color":
        other[0]["color"] = int(colors[n])
        other[0]["rgb"] = list(scenes.RGB[int(colors[n])])
        about, answers = scenes.SHAPES[objects[0]["shape"]], [scenes.COLORS[o[0]["color"]] for o in (objects, other)]
    else:
        other[0]["shape"] = int(shapes[n])
        about, answers = scenes.COLORS[objects[0]["color"]], [scenes.SHAPES[o[0]["shape"]] for o in (objects, other)]
    seed = int(rng.integers(1, 1 << 30))
    return [{"objects": o, "bg_seed": seed} for o in (objects, other)], QUESTION[kind].format(about), answers


def draw(scene):
    """The scene at 64 x 64 on a plain background, so that its file is about a kilobyte."""
    big = 256
    rng = np.random.default_rng(scene["bg_seed"])
    tint = np.clip(rng.uniform(212, 250) + rng.uniform(-8, 8, 3), 0, 255).astype(int)
    picture = Image.new("RGB", (big, big), tuple(int(v) for v in tint))
    pen = ImageDraw.Draw(picture)
    for o in scene["objects"]:
        scenes._paint(pen, o, big, tuple(o["rgb"]))
    return picture.resize((64, 64), Image.BOX)


def answers(model, tokenizer, processor, pictures, questions):
    pixels = processor([p for p in pictures], return_tensors="pt").pixel_values
    text = tokenizer(questions, return_tensors="pt", padding=True)
    with torch.no_grad():
        out = model.generate(pixel_values=pixels, input_ids=text.input_ids, attention_mask=text.attention_mask)
    return [tokenizer.decode(o, skip_special_tokens=True).strip() for o in out]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--model", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--pairs", type=int, default=120, help="per group")
    args = p.parse_args()
    print(f"python {sys.version.split()[0]}, torch {torch.__version__}, transformers {transformers.__version__}, "
          f"numpy {np.__version__}, pillow {PIL.__version__}")
    torch.set_num_threads(1)
    model = BlipForQuestionAnswering.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    processor = BlipImageProcessorPil.from_pretrained(args.model)
    os.makedirs(os.path.join(args.out, "pictures"), exist_ok=True)
    rows, tried = [], 0
    for kind in ("color", "shape"):
        kept, index = 0, 0
        while kept < args.pairs:
            batch = [candidate(kind, index + k) for k in range(32)]
            index += 32
            pictures = [draw(s) for c in batch for s in c[0]]
            said = answers(model, tokenizer, processor, pictures, [c[1] for c in batch for _ in range(2)])
            for k, (_, question, expected) in enumerate(batch):
                tried += kept < args.pairs
                if kept >= args.pairs or said[2 * k:2 * k + 2] != expected:
                    continue
                names = [f"pictures/{kind}-{kept:03d}-{side}.png" for side in "ab"]
                for name, picture in zip(names, pictures[2 * k:2 * k + 2]):
                    picture.save(os.path.join(args.out, name), optimize=True)
                rows.append([f"{kind}-{kept:03d}", *names, question, *expected, kind])
                kept += 1
    with open(os.path.join(args.out, "pairs.csv"), "w", newline="", encoding="utf-8") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(["sample", "image", "corrupt_image", "question", "correct", "incorrect", "group"])
        w.writerows(rows)
    print(f"{len(rows)} of {tried} pairs kept")


if __name__ == "__main__":
    main()
