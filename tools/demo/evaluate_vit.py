"""Accuracy of the ViT demo model on new pictures, and on their greyscale versions.

Usage: python evaluate_vit.py --model MODELDIR --out vit_accuracy.json

Pictures of three sizes go through the folder's own image processor (PIL
backend, bilinear); the stored float16 weights are computed with in float32.  A
greyscale picture has the luminance in all three channels.  `kept` is the share
of pictures that are classified rightly in colour and wrongly in grey.
"""

import argparse

import numpy as np
import torch
from transformers import ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

import scenes
from evaluation import write_report


def share(values):
    return round(float(np.mean(values)), 4)


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--model", required=True)
    p.add_argument("--out")
    p.add_argument("--pictures", type=int, default=2100)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    model = ViTForImageClassification.from_pretrained(args.model, dtype=torch.float32).eval()
    proc = ViTImageProcessorPil.from_pretrained(args.model)
    classes = {"color": [], "grey": []}
    truth, sizes = [], (64, 224, 320)
    for a in range(0, args.pictures, 100):
        every = [scenes.make_object("object_test", i) for i in range(a, min(a + 100, args.pictures))]
        truth += [[s["objects"][0]["color"], s["objects"][0]["shape"]] for s in every]
        pics = [scenes.draw_scene(s, sizes[i % 3], 2) for i, s in enumerate(every)]
        for name, made in (("color", pics), ("grey", [x.convert("L").convert("RGB") for x in pics])):
            logits = model(pixel_values=proc(made, return_tensors="pt")["pixel_values"]).logits
            classes[name] += [scenes.ALL_PAIRS[k] for k in logits.argmax(-1)]
    truth, got, grey = np.array(truth), np.array(classes["color"]), np.array(classes["grey"])
    right, still = (got == truth).all(1), (grey == truth).all(1)
    report = {"weights": "float16, computed in float32", "pictures": len(truth), "picture_sizes": list(sizes),
              "color": {"class": share(right), "color_word": share(got[:, 0] == truth[:, 0]),
                        "shape_word": share(got[:, 1] == truth[:, 1])},
              "grey": {"class": share(still), "color_word": share(grey[:, 0] == truth[:, 0]),
                       "shape_word": share(grey[:, 1] == truth[:, 1])},
              "kept": share(right & ~still),
              "by_size": {str(s): share(right[i::3]) for i, s in enumerate(sizes)},
              "grey_by_color": {c: share(still[truth[:, 0] == k]) for k, c in enumerate(scenes.COLORS)}}
    print(report)
    write_report(args.out, report)


if __name__ == "__main__":
    main()
