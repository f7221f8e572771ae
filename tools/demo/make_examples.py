"""Draw the example pictures and the question table.

Usage: python make_examples.py --out EXAMPLESDIR

Writes images/ (composed 320 x 320 pictures), scenes/ (pictures from the
`examples` split, named by 12-digit number) and scenes.csv, a table of
question-answer rows in the layout of the COCO-QA lists; objects/ (64 x 64
pictures of one object, each combination once and some twice) and objects.csv,
their labels.
"""

import argparse
import csv
import os

import numpy as np

import scenes

COMPOSED = {
    "red-circle-blue-square.png": [("red", "circle", .30, .36, .17), ("blue", "square", .71, .62, .16)],
    "green-star-yellow-cross-purple-circle.png": [
        ("green", "star", .50, .23, .15), ("yellow", "cross", .24, .70, .15),
        ("purple", "circle", .76, .68, .15)],
    "three-blue-triangles-red-square.png": [
        ("blue", "triangle", .24, .26, .13), ("blue", "triangle", .73, .30, .14),
        ("blue", "triangle", .70, .76, .12), ("red", "square", .25, .70, .13)],
    "orange-star-black-cross-blue-circle-red-triangle.jpg": [
        ("orange", "star", .50, .19, .13), ("black", "cross", .19, .52, .13),
        ("blue", "circle", .81, .50, .13), ("red", "triangle", .50, .81, .14)],
    "green-square-yellow-circle.png": [
        ("green", "square", .27, .50, .16), ("yellow", "circle", .76, .47, .15)],
    # two combinations that no training scene contains
    "red-star-green-circle.png": [("red", "star", .32, .60, .17), ("green", "circle", .72, .36, .15)],
}


def composed(objects, seed):
    objs = [{"color": scenes.COLORS.index(c), "shape": scenes.SHAPES.index(s), "x": x, "y": y,
             "r": r, "rgb": list(scenes.RGB[scenes.COLORS.index(c)]), "rot": 0.05 * (-1) ** k}
            for k, (c, s, x, y, r) in enumerate(objects)]
    return {"objects": objs, "bg_seed": 1000 + seed}


def save(img, path):
    if path.endswith(".jpg"):
        img.save(path, quality=90)
    else:
        img.save(path, optimize=True)


def write_objects(out, count):
    """One-object pictures and the table of their labels, which are the ViT demo model's classes."""
    os.makedirs(os.path.join(out, "objects"), exist_ok=True)
    with open(os.path.join(out, "objects.csv"), "w", newline="", encoding="utf-8") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(["image", "label"])
        for k in range(count):
            pair = scenes.ALL_PAIRS[k * 13 % len(scenes.ALL_PAIRS)]
            scene = scenes.make_object("object_examples", k, pair)
            save(scenes.draw_scene(scene, 64, 4), os.path.join(out, "objects", f"{k:02d}.png"))
            w.writerow([f"objects/{k:02d}.png", scenes.pair_label(pair)])


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", required=True)
    p.add_argument("--scenes", type=int, default=16)
    p.add_argument("--size", type=int, default=224)
    p.add_argument("--objects", type=int, default=48)
    args = p.parse_args()
    for sub in ("images", "scenes"):
        os.makedirs(os.path.join(args.out, sub), exist_ok=True)
    for k, (name, objects) in enumerate(COMPOSED.items()):
        save(scenes.draw_scene(composed(objects, k), 320, 4), os.path.join(args.out, "images", name))
    rng = np.random.default_rng(11)
    rows, numbers = [], set()
    for k in range(args.scenes):
        scene = scenes.make_scene("examples", k, n=1 + (k + 1) % 4)
        number = 17 if k == 0 else int(rng.integers(20, 999))
        while number in numbers:
            number = int(rng.integers(20, 999))
        numbers.add(number)
        name = f"{number:012d}." + ("png" if k % 4 == 3 else "jpg")
        save(scenes.draw_scene(scene, args.size, 4), os.path.join(args.out, "scenes", name))
        asked = set()
        for kind in scenes.TYPES:
            for _ in range(20):
                pair = scenes.ask(scene, rng, kind)
                if pair and pair[0].rstrip("?") not in asked:
                    asked.add(pair[0].rstrip("?"))
                    rows.append((kind, number, pair[0].rstrip("?"), pair[1]))
                    break
    rows.sort(key=lambda r: scenes.TYPES.index(r[0]))
    with open(os.path.join(args.out, "scenes.csv"), "w", newline="", encoding="utf-8") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(["", "train_image_id_count", "question_count", "answer_count"])
        for i, r in enumerate(rows):
            w.writerow([i, *r[1:]])
    write_objects(args.out, args.objects)
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main()
