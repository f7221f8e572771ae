"""Runs transformers on a checkpoint folder of any family that fovea knows and writes a vectors folder (see README.md) with the
sites asked for, to compare another implementation with. With --fovea it makes the comparison, too, and prints the largest
difference of every site over all layers and cases; exit status 1 when one is above --tolerance.

Usage: check_model.py MODEL --out DIR [--image FILE...] [--question TEXT... | --prompts TEXT...] [--sites PATTERN...]
                      [--new N] [--fovea PROGRAM] [--tolerance T] [--double] [--no-check] [--threads N] [--time N]

Every image is combined with every question; a family without pictures or without texts takes what it reads. --prompts is one
case for a model that chooses among texts (CLIP). Patterns are addresses without selectors in which * stands for anything; the
default keeps what is small. '*' keeps every site, which for LLaVA-1.5-7B and 600 rows is some 10 GB a case.

Memory: the weights in float32 (28 GB for 7 billion parameters) and the sites that are kept; nothing else of a run is
remembered. --no-check leaves out the comparison of the instrumented with the untouched model, which for the families other
than LLaVA remembers all hidden states. --double also runs in float64, twice the memory, and says how much transformers' own
float32 differs from that. --new: ids to generate with LLaVA (default 8). --time N: the seconds of N forward passes.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

import make_llava
from families import Family
from make_bert import Bert
from make_blip_caption import Caption
from make_blip_itm import Matching
from make_clip import Clip
from make_llava import Llava
from make_vit import Vit
from vectors import Blip, matches, write_cases

FAMILIES = {"BlipForQuestionAnswering": ("blip_vqa", Blip), "BlipForConditionalGeneration": ("blip_caption", Caption),
            "BlipForImageTextRetrieval": ("blip_itm", Matching), "LlavaForConditionalGeneration": ("llava", Llava),
            "ViTForImageClassification": ("vit", Vit), "CLIPModel": ("clip", Clip), "bert": ("bert", Bert)}
FEW = ("*.resid_post", "vision.final", "vision.pixels", "*.embed", "projector.mlp.out", "contrast.*", "head.logits",
       "*.final")


def family_of(folder):
    config = json.loads((folder / "config.json").read_text())
    first = {"blip": "BlipForQuestionAnswering", "llava": "LlavaForConditionalGeneration", "clip": "CLIPModel",
             "vit": "ViTForImageClassification", "bert": "bert"}.get(config.get("model_type"))
    for name in config.get("architectures") or [first]:
        if name in FAMILIES:
            return FAMILIES[name]
    if first == "bert":
        return FAMILIES[first]
    sys.exit(f"{folder}: none of {', '.join(FAMILIES)}")


def needed(family):
    """Sites that the instrumented model itself looks up."""
    if not isinstance(family, Llava):
        return {"vision.final", "text_encoder.final", "head.logits"}
    c, n = family.model.config, len(family.sites.vision.encoder.layers)
    k = c.vision_feature_layer if isinstance(c.vision_feature_layer, int) else c.vision_feature_layer[0]
    k %= n + 1
    return {f"vision.{k}.resid_pre" if k < n else "", f"vision.{n - 1}.resid_post", "head.logits"}


@torch.no_grad()
def answer_of(family, pixels, ids, new):
    """(answer, margin) or None."""
    if isinstance(family, Family):
        return family.answer(pixels, ids)
    if isinstance(family, Llava):
        if new == 0:
            return None
        out = family.model.generate(input_ids=torch.tensor([ids]), pixel_values=pixels, do_sample=False, num_beams=1,
                                    max_new_tokens=new, eos_token_id=family.ends, use_cache=family.sites.may_cache(),
                                    output_scores=True, return_dict_in_generate=True)
        answer, tops = out.sequences[0, len(ids):].tolist(), [s[0].topk(2).values for s in out.scores]
        margin = min((t[0] - t[1]).item() for t in tops)
    else:
        answer = family.sites.generate(pixels, ids)
        slow, margin = family.sites.generate_slowly(pixels, ids)
        assert answer == slow, (answer, slow)
    text = family.tokenizer.decode(answer, skip_special_tokens=True)
    return {"text": text, "ids": answer, "complete": answer[-1] in family.ends}, margin


def plain(family, pixels, ids):
    """One forward pass of the untouched model."""
    if isinstance(family, Clip):
        return family.plain(pixels, ids)
    return family.forward(pixels, ids) if isinstance(family, Family) else family.sites.plain_logits(pixels, ids)


def write_case(family, args, name, image, text):
    if image and not (args.out / image.name).exists():
        shutil.copyfile(image, args.out / image.name)
    pixels, ids = family.pixels(image) if image else None, family.ids(text) if text else None
    if not args.no_check:
        family.sites.keep = None
        try:
            (family if isinstance(family, Family) else family.sites).check(pixels, ids)
        except AssertionError as worst:
            print(f"{name}: the instrumented run and the untouched model differ by {worst}")
    extra = needed(family)
    family.sites.keep = lambda site: matches(site, args.sites) or site in extra
    seen = family.sites.run(pixels, ids)
    kept = {k: v.float().contiguous() for k, v in seen.items() if matches(k, args.sites)}
    save_file(kept, args.out / f"{name}.safetensors")
    asked = {"prompts": text} if isinstance(text, list) else {"question": text}
    entry = {"name": name, "image": image and image.name, **asked, "tensors": f"{name}.safetensors"}
    rows = family.rows(ids) if isinstance(family, Family) else ids
    if rows is not None:
        entry["ids"] = rows
    answer = answer_of(family, pixels, ids, args.new)
    if answer is not None:
        entry["answer"], entry["margin"] = answer
    print(name, f"{len(rows)} ids" if rows else "", "->", entry.get("answer", "no answer"),
          f"margin {entry['margin']:.3g}" if answer else "")
    return entry


def kind_of(site):
    """An address without its layer."""
    return ".".join(part for part in site.split(".") if not part.isdigit())


def float64_errors(kind, args, cases):
    """{site without layer: largest difference of float32 from float64, of the largest value}"""
    exact, worst = kind(args.model, torch.float64), {}
    exact.sites.keep = lambda site: matches(site, args.sites) or site in needed(exact)
    for entry, image, text in cases:
        from safetensors.torch import load_file
        seen = exact.sites.run(exact.pixels(image) if image else None, exact.ids(text) if text else None)
        for name, value in load_file(args.out / entry["tensors"]).items():
            finite = torch.isfinite(value)
            wide = seen[name].double()
            share = ((value.double() - wide)[finite].abs().max() / wide[finite].abs().max()).item()
            worst[kind_of(name)] = max(worst.get(kind_of(name), 0.0), share)
    return worst


def compare(args, wide):
    """Lets fovea verify the folder and prints what came of it."""
    done = subprocess.run([args.fovea, "verify", args.model, "--vectors", args.out, "--tolerance", str(args.tolerance),
                           "--json"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if not done.stdout:  # a comparison that fails prints no result: what it says is on the other stream
        print(done.stderr)
        return 1
    table, order = {}, []
    for one in json.loads(done.stdout)["compared"]:
        kind = kind_of(one["what"])
        if kind not in table:
            order.append(kind)
        relative, mean, n = table.get(kind, (0.0, 0.0, 0))
        table[kind] = max(relative, one["relative"]), max(mean, one["mean"]), n + 1
    print(f"{'site':<28} {'compared':>8} {'largest':>9} {'mean':>9}" + ("   transformers, float32 to float64" if wide else ""))
    for kind in order:
        relative, mean, n = table[kind]
        print(f"{kind:<28} {n:>8} {relative:>9.2g} {mean:>9.2g}" + (f" {wide[kind]:>9.2g}" if kind in wide else ""))
    return 0


def time_passes(family, args, image, text):
    pixels, ids = family.pixels(image) if image else None, family.ids(text) if text else None
    seconds, work = [], []
    for _ in range(args.time + 1):
        start, busy = time.perf_counter(), time.process_time()
        with torch.no_grad():
            plain(family, pixels, ids)
        seconds.append(time.perf_counter() - start)
        work.append(time.process_time() - busy)
    print(f"forward with {args.threads} threads: best {min(seconds[1:]):.3f} s of {[f'{s:.3f}' for s in seconds[1:]]}, "
          f"least processor time {min(work[1:]):.3f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--image", nargs="+", default=[None], type=Path)
    parser.add_argument("--question", nargs="+", default=[None])
    parser.add_argument("--prompts", nargs="+")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--sites", nargs="+", default=FEW)
    parser.add_argument("--new", type=int, default=8)
    parser.add_argument("--fovea")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--no-check", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--time", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    name, kind = family_of(args.model)
    make_llava.NEW = args.new  # of its check with the untouched model
    family = kind(args.model)
    args.out.mkdir(parents=True, exist_ok=True)
    texts = [args.prompts] if args.prompts else [[q] for q in args.question] if name == "clip" else args.question
    cases = [(write_case(family, args, f"image{i}-question{q}", image, text), image, text)
             for i, image in enumerate(args.image) for q, text in enumerate(texts)]
    print(write_cases(args.out, "check_model.py", [entry for entry, *_ in cases], name))
    if args.time:
        time_passes(family, args, args.image[0], texts[0])
    del family
    wide = float64_errors(kind, args, cases) if args.double else {}
    return compare(args, wide) if args.fovea else 0


if __name__ == "__main__":
    sys.exit(main())
