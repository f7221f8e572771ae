"""What make_vit.py, make_blip_caption.py, make_blip_itm.py and make_bert.py share: a family's wrapper around transformers'
model, and writing its checkpoints, vectors folders and interventions (see README.md).
"""

import argparse
import contextlib
import json
import math
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import BertTokenizerFast

from blip_sites import Hooks, Instrumented
from interventions import Plan
from make_blip import SAME, Chooser, draw_image, randomize, vocabulary, write_interventions, written
from vectors import matches, write_cases


FEW = ("*.resid_post", "*.final", "head.logits", "contrast.*")  # what is stored of every case but the first


class Sites(Instrumented):
    """Instrumented, for a family that says how it is hooked, run and checked."""

    def __init__(self, family):
        super().__init__(family.model)
        self.family = family

    def _hook(self, hooks):
        self.family.hook(self, hooks)

    @contextlib.contextmanager
    def hooked(self, hook):
        hooks = Hooks(self)
        hook(hooks)
        try:
            yield
        finally:
            hooks.remove()

    @torch.no_grad()
    def run(self, pixels, ids, edit=None):
        self.edit, self.seen, self.family.running = edit, {}, ids
        if pixels is not None:
            pixels = self._at("vision.pixels", pixels)
        with self._installed():
            self.family.forward(pixels, ids)
        self.family.after(self, pixels, ids)
        return self.seen


class Family:
    """name, script, stacks (for random addresses), same (names of one state), and the methods below."""

    same, chooser = SAME, Chooser
    tokenizer = processor = None

    def __init__(self, folder, dtype=torch.float32):
        self.dtype = dtype
        self.open(folder, dict(dtype=dtype, attn_implementation="eager"))
        self.model.eval()
        self.sites = Sites(self)

    def pixels(self, path):
        if path is None:
            return None
        image = Image.open(path).convert("RGB")
        return self.processor(images=image, return_tensors="pt")["pixel_values"].to(self.dtype)

    def ids(self, text):
        return None if text is None or self.tokenizer is None else self.tokenizer(text)["input_ids"]

    def after(self, sites, pixels, ids):
        """Sites of another pass, if there is one."""

    def target(self, seen):
        """What interventions are judged by: the logits of the last row."""
        return seen["head.logits"]

    def piece(self, i):
        return self.tokenizer.convert_ids_to_tokens(i)

    def top(self, logits, n=10, text=None):
        prob = torch.softmax(logits.double(), 0)
        values, index = torch.sort(logits, descending=True, stable=True)
        return [{"id": i, "piece": text[i] if isinstance(text, list) else self.piece(i), "logit": v, "prob": prob[i].item()}
                for i, v in zip(index[:n].tolist(), values[:n].tolist())]


def write_tokenizer(folder, name="tokenizer.json"):
    vocab = vocabulary()
    BertTokenizerFast(vocab={token: i for i, token in enumerate(vocab)}, do_lower_case=True,
                      model_max_length=512).save_pretrained(folder)
    if name == "vocab.txt":
        (folder / "tokenizer.json").unlink()
        (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")


def save_model(model, folder, weights, rename=lambda name: name, extra=()):
    """weights: "f32", "f16 shards", "zip", "legacy"; rename and extra change what a .bin file holds."""
    if weights == "f32":
        model.save_pretrained(folder)
    elif weights == "f16 shards":
        model.half().save_pretrained(folder, max_shard_size="25KB")
    else:
        model.save_pretrained(folder)  # the names that files have; they differ from the modules' in places
        from safetensors.torch import load_file
        state = {rename(k): v for k, v in load_file(folder / "model.safetensors").items()}
        state.update(extra)
        (folder / "model.safetensors").unlink()
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=weights == "zip")
    (folder / "generation_config.json").unlink(missing_ok=True)


def write_case(family, folder, name, image, text, patterns):
    pixels, ids = family.pixels(image), family.ids(text)
    family.check(pixels, ids)
    seen = family.sites.run(pixels, ids)
    kept = {k: v.contiguous() for k, v in seen.items() if matches(k, patterns)}
    save_file(kept, folder / f"{name}.safetensors")
    asked = {"prompts": text} if isinstance(text, list) else {"question": text}
    entry = {"name": name, "image": image and image.name, **asked, "tensors": f"{name}.safetensors"}
    rows = family.rows(ids)
    if "contrast.cosine" in seen and not isinstance(text, list):
        entry["cosine"] = seen["contrast.cosine"].item()
    if rows is not None:
        entry["ids"] = rows
        entry["pieces"] = family.tokenizer.convert_ids_to_tokens(rows)
    answer = family.answer(pixels, ids)
    if answer is not None:
        entry["answer"], entry["margin"] = answer
        entry["top"] = family.top(family.target(seen), text=text)
    return entry, seen


def double_errors(make, pairs, runs, items, tensors, logits, inputs):
    """What float32 itself costs: the same in float64, as a share of the largest value."""
    exact = make(torch.float64)
    pixels = {p: exact.pixels(inputs[p][0]) for p in pairs}
    wide = {p: exact.sites.run(pixels[p], runs[p][1]) for p in pairs}
    share = lambda a, b: ((a.double() - b).abs().max() / b.abs().max()).item()
    site = max(share(runs[p][2][k], v) for p in pairs for k, v in wide[p].items() if not k.endswith("scores"))
    edits = []
    for item in items:
        p = item["image"], item["question"]
        source = wide[item["source_image"], item["source_question"]] if "source_image" in item else None
        plan = Plan(item["do"], exact.layers, item["seed"], lambda name: tensors, wide[p], source)
        edits.append(share(logits[item["logits"]], exact.target(exact.sites.run(pixels[p], runs[p][1], plan))))
    return site, max(edits)


def write_family(kind, models, write_model, images, texts, pairs, good=lambda entries: True):
    """kind: a Family; images: sizes of the pictures; texts: what is asked; pairs: (image, text) of equal shapes, from
    which interventions are drawn. good(entries) chooses the seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output", nargs="?", default=Path(__file__).parents[2] / "tests/data" / kind.name, type=Path)
    parser.add_argument("--interventions", type=int, default=205)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number, (name, spec) in enumerate(models.items()):
        folder, out = args.output / name, args.output / name / "vectors"
        pictures = [out / f"image{i}.png" for i in range(len(images))] or [None]
        inputs = {(i, q): (p, t) for i, p in enumerate(pictures) for q, t in enumerate(texts or [None])}
        for seed in range(100 * number, 100 * number + 100):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_model(folder, spec, seed)
            out.mkdir()
            for i, (width, height) in enumerate(images):
                draw_image(pictures[i], 1 + number + 4 * i, width, height)
            family = kind(folder)
            entries, runs = [], {}
            for (i, q), (picture, text) in inputs.items():
                patterns = ("*",) if i == q == 0 else FEW
                entry, seen = write_case(family, out, f"image{i}-question{q}", picture, text, patterns)
                entries.append(entry)
                runs[i, q] = family.pixels(picture), family.ids(text), seen
            if good(entries):
                break
        else:
            raise SystemExit(f"{name}: no seed gives useful answers")
        made = write_cases(out, f"make_{kind.name}.py", entries, kind.name)
        items, tensors, logits, attempts = write_interventions(family, out, pairs, runs, 1000 + number, args.interventions,
                                                               lambda *given: kind.chooser(*given, kind.stacks),
                                                               lambda text, layers: written(text, layers, kind.same),
                                                               family.target)
        site, edit = double_errors(lambda dtype: kind(folder, dtype), pairs, runs, items, tensors, logits, inputs)
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        print(f"{name}: seed {seed}, {size} bytes, {len(items)} interventions of {attempts} drawn; float32 against "
              f"float64: sites {site:.1e}, edited {edit:.1e} of the maximum")
        for e in entries:
            print("  ", e["name"], e.get("ids"), "->", e.get("answer"), f"margin {e.get('margin', math.nan):.3f}")
    print(made)
