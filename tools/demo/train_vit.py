"""Train the small ViT classifier demo model on pictures of one coloured shape.

Usage: python train_vit.py --work WORKDIR [--steps N]

WORKDIR receives the picture cache, the resumable checkpoint (state.pt) and the
log.  Running the same command again continues from the last checkpoint.  Write
the model folder with `python train_vit.py --work WORKDIR --export OUTDIR`.

A class is a colour and a shape.  The tower starts from the vision tower of the
BLIP demo model, which a change of the pixels' scale leaves as it was.  The
temporary heads of `training.py` keep the patch rows telling colour and shape;
they are dropped when the model is exported.
"""

import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from transformers import ViTConfig, ViTForImageClassification

import scenes
import training
from training import SIDE, write_json

MEAN = STD = np.full(3, 0.5, np.float32)
LABELS = [scenes.pair_label(p) for p in scenes.ALL_PAIRS]
NAMES = {"patch_embedding.": "embeddings.patch_embeddings.projection.", "class_embedding": "embeddings.cls_token",
         "position_embedding": "embeddings.position_embeddings", "post_layernorm.": "layernorm.",
         "layer_norm1": "layernorm_before", "layer_norm2": "layernorm_after", "self_attn.projection": "attention.o_proj",
         "self_attn": "attention"}


def build_config():
    """The model's configuration: hub layout, small sizes."""
    return ViTConfig(**training.TOWER, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                     id2label=dict(enumerate(LABELS)), label2id={w: i for i, w in enumerate(LABELS)})


def start_tower(model, folder):
    """ViT's tower from BLIP's, for pixels from -1 to 1."""
    w = training.blip_tower(folder)
    weight = w["patch_embedding.weight"]
    gain = torch.from_numpy(STD / training.STD).view(1, 3, 1, 1)
    shift = torch.from_numpy((MEAN - training.MEAN) / training.STD).view(1, 3, 1, 1)
    w["patch_embedding.bias"] = w["patch_embedding.bias"] + (weight * shift).sum((1, 2, 3))
    w["patch_embedding.weight"] = weight * gain
    own = {}
    for name, value in w.items():
        for old, new in NAMES.items():
            name = name.replace(old, new)
        own["layers." + name if name[0].isdigit() else name] = value
    model.vit.load_state_dict(own)


def load_cache(args):
    """One-object scenes as (uint8 pictures, patch maps, scenes)."""
    every = [scenes.make_object("object_train", i) for i in range(args.scenes)]
    return training.load_cache(os.path.join(args.work, f"cache_{args.scenes}.npz"), every, Image.BILINEAR)


def train(args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    model, heads = ViTForImageClassification(build_config()), training.Heads()
    training.initialise(model)
    start_tower(model, args.tower)
    model.train()
    params = list(model.parameters())
    opt = training.optimizer([(params, args.lr), (heads.parameters(), 1e-3)])
    state, first = os.path.join(args.work, "state.pt"), 0
    if os.path.exists(state):
        first = training.load_state(state, opt, model=model, heads=heads)
    if not first:
        print(f"parameters {sum(p.numel() for p in params)}", flush=True)
    pictures, seen, began = training.Pictures(load_cache(args), MEAN, STD), [], time.time()
    for step in range(first, args.steps):
        for g in opt.param_groups:
            g["lr"] = g["top"] * training.rate(step, args.warmup, args.steps)
        rng = np.random.default_rng([77, step])
        x, dense, every = pictures.get(rng, rng.integers(args.scenes, size=args.batch))
        label = torch.tensor([scenes.ALL_PAIRS.index((s["objects"][0]["color"], s["objects"][0]["shape"]))
                              for s in every])
        rows = model.vit(pixel_values=x).last_hidden_state
        logits = model.classifier(rows[:, 0])
        parts = heads.losses(rows, *dense)[:4]
        answer = F.cross_entropy(logits, label)
        opt.zero_grad(set_to_none=True)
        (answer + args.aux * sum(parts)).backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        seen.append([answer.item(), (logits.argmax(-1) == label).float().mean().item()] + [v.item() for v in parts])
        if (step + 1) % 50 == 0:
            m = np.mean(seen, 0)
            seen = []
            print(f"step {step + 1} class {m[0]:.4f} exact {m[1]:.4f} | color {m[2]:.4f} shape {m[3]:.4f} "
                  f"center {m[4]:.4f} place {m[5]:.4f} | lr {opt.param_groups[0]['lr']:.2e} "
                  f"{(time.time() - began) / (step + 1 - first):.3f} s/step", flush=True)
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            training.save_state(state, step + 1, opt, model=model, heads=heads)


def export(args):
    """Write the model folder: float16 weights, configuration, image processor."""
    model = ViTForImageClassification(build_config())
    step = training.load_state(os.path.join(args.work, "state.pt"), model=model)
    os.makedirs(args.export, exist_ok=True)
    model.half().save_pretrained(args.export)
    write_json(os.path.join(args.export, "preprocessor_config.json"), {
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [float(v) for v in MEAN],
        "image_processor_type": "ViTImageProcessor", "image_std": [float(v) for v in STD], "resample": 2,
        "rescale_factor": 1 / 255, "size": {"height": SIDE, "width": SIDE}})
    print(f"exported step {step} to {args.export}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--work", required=True)
    p.add_argument("--export")
    p.add_argument("--tower", default="../../models/blip-demo", help="BLIP folder whose vision tower to start from")
    p.add_argument("--steps", type=int, default=900)
    p.add_argument("--scenes", type=int, default=12000)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--aux", type=float, default=0.3)
    p.add_argument("--warmup", type=int, default=50)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    if args.export:
        export(args)
    else:
        os.makedirs(args.work, exist_ok=True)
        train(args)


if __name__ == "__main__":
    main()
