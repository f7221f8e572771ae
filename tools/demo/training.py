"""What the training scripts of the demo models share.

The picture cache, the dense targets and temporary heads of a vision tower, its
weights under the names of other families, the learning rate, the optimizer,
resumable states and the JSON files of a model folder.
"""

import json
import math
import os

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import nn

import scenes

SIDE, PATCH, WIDTH, LAYERS, HEADS = 64, 8, 128, 4, 4
GRID = SIDE // PATCH
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
COUNTS = 1 + len(scenes.SHAPES) + len(scenes.COLORS)
TOWER = dict(hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=LAYERS,
             num_attention_heads=HEADS, image_size=SIDE, patch_size=PATCH)


class Heads(nn.Module):
    """Temporary linear heads on the vision rows, the class row first."""

    def __init__(self):
        super().__init__()
        self.color = nn.Linear(WIDTH, len(scenes.COLORS) + 1)
        self.shape = nn.Linear(WIDTH, len(scenes.SHAPES) + 1)
        self.center = nn.Linear(WIDTH, 2)
        self.place = nn.Linear(WIDTH, 2)
        self.side = nn.Linear(WIDTH, 4)
        self.count = nn.Linear(WIDTH, COUNTS * 5)

    def losses(self, image, color, shape, center, place, side, count):
        rows = image[:, 1:].reshape(-1, WIDTH)
        on = place[:, 0] > -1
        return [F.cross_entropy(self.color(rows), color), F.cross_entropy(self.shape(rows), shape),
                F.cross_entropy(self.center(rows), center),
                10 * F.mse_loss(self.place(rows[on]), place[on]),
                F.cross_entropy(self.side(rows[on]), side[on]),
                F.cross_entropy(self.count(image[:, 0]).view(-1, 5), count)]


def load_cache(path, every, resample=Image.BICUBIC):
    """Uint8 pictures and patch maps of the scenes `every`; drawn once, then read from `path`."""
    if not os.path.exists(path):
        pix = np.empty((len(every), SIDE, SIDE, 3), np.uint8)
        maps = np.empty((len(every), GRID, GRID), np.int8)
        for i, s in enumerate(every):
            size = (192, 256, 320)[i % 3]
            pix[i] = scenes.draw_scene(s, size).resize((SIDE, SIDE), resample)
            maps[i] = scenes.patch_map(s, GRID)
        np.savez(path, pix=pix, maps=maps)
    z = np.load(path)
    return z["pix"], z["maps"], every


class Pictures:
    """Cached pictures with their patch targets, half of them mirrored when drawn."""

    def __init__(self, cache, mean=MEAN, std=STD):
        self.pix, self.maps, self.scenes = cache
        self.flipped = [scenes.flip_scene(s) for s in self.scenes]
        self.mean, self.std = mean, std

    def get(self, rng, idx):
        """Pixels, dense targets of `Heads.losses` and scenes of the pictures `idx`."""
        b = len(idx)
        flip = rng.random(b) < 0.5
        pix = self.pix[idx]
        pix[flip] = pix[flip, :, ::-1]
        maps = self.maps[idx].astype(np.int64)
        maps[flip] = maps[flip, :, ::-1]
        color = np.where(maps == -1, 0, -100)
        shape = color.copy()
        center = np.zeros_like(maps)
        place = np.full(maps.shape + (2,), -9, np.float32)
        side = np.full(maps.shape, -100, np.int64)
        count = np.zeros((b, COUNTS), np.int64)
        every = [(self.flipped if flip[j] else self.scenes)[idx[j]] for j in range(b)]
        for j, s in enumerate(every):
            for k, o in enumerate(s["objects"]):
                on = maps[j] == k
                color[j][on] = o["color"] + 1 if o["color"] >= 0 else -100
                shape[j][on] = o["shape"] + 1 if o["shape"] >= 0 else -100
                center[j, int(o["y"] * GRID), int(o["x"] * GRID)] = 1
                place[j][on] = 2 * o["x"] - 1, 2 * o["y"] - 1
                word = scenes.position_word(o)
                if word:
                    side[j][on] = scenes.SIDES.index(word)
                count[j, 0] += 1
                if o["shape"] >= 0:
                    count[j, 1 + o["shape"]] += 1
                if o["color"] >= 0:
                    count[j, 1 + len(scenes.SHAPES) + o["color"]] += 1
        x = (pix.astype(np.float32) / 255 - self.mean) / self.std
        x = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
        t = torch.from_numpy
        dense = [t(color).flatten(), t(shape).flatten(), t(center).flatten(),
                 t(place).view(-1, 2), t(side).flatten(), t(count).flatten()]
        return x, dense, every


def blip_tower(folder):
    """Weights of a BLIP folder's vision tower by short names, queries, keys and values apart, float32."""
    prefix, out = "vision_model.", {}
    for name, w in load_file(os.path.join(folder, "model.safetensors")).items():
        if not name.startswith(prefix):
            continue
        name, w = name[len(prefix):].replace("encoder.layers.", ""), w.float()
        if ".qkv." in name:
            for part, rows in zip("qkv", w.chunk(3)):
                out[name.replace("qkv", part + "_proj")] = rows
        else:
            out[name.replace("embeddings.", "")] = w
    return out


def initialise(model, embedding=0.08):
    """Re-draw the linear maps: the library's default scale suits wide models only."""
    for m in model.modules():
        if isinstance(m, nn.Linear):
            nn.init.xavier_uniform_(m.weight)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
        elif isinstance(m, nn.Embedding):
            nn.init.normal_(m.weight, std=embedding)
        elif isinstance(m, nn.Conv2d):
            nn.init.normal_(m.weight, std=(1 / (3 * PATCH * PATCH)) ** 0.5)


def rate(step, warmup, steps):
    """Share of the learning rate: linear warmup, then half a cosine down to 1 %."""
    if step < warmup:
        return (step + 1) / warmup
    t = min(1.0, (step - warmup) / max(1, steps - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * t))


def optimizer(groups):
    """AdamW on (parameters, learning rate) pairs; vectors do not decay."""
    parts = []
    for params, lr in groups:
        params = list(params)
        parts.append({"params": [p for p in params if p.ndim > 1], "weight_decay": 0.05, "lr": lr, "top": lr})
        parts.append({"params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0, "lr": lr, "top": lr})
    return torch.optim.AdamW([p for p in parts if p["params"]], betas=(0.9, 0.98))


def save_state(path, step, opt, **modules):
    """Write a resumable state; the old one stays until the new one is complete."""
    torch.save({"step": step, "opt": opt.state_dict(), **{k: m.state_dict() for k, m in modules.items()}},
               path + ".tmp")
    os.replace(path + ".tmp", path)


def load_state(path, opt=None, strict=True, **modules):
    """Read a state into the modules (and the optimizer); returns its step. strict=False: what it has of them."""
    z = torch.load(path, weights_only=True)
    for k, m in modules.items():
        if strict or k in z:
            m.load_state_dict(z[k], strict=strict)
    if opt:
        opt.load_state_dict(z["opt"])
    return z["step"]


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=2, sort_keys=True)
        f.write("\n")
