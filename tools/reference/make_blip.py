"""Writes tests/data/blip: small random BLIP-VQA checkpoints of awkward shapes, what transformers computes with them at
every site, and what it answers under a few hundred random interventions each. See README.md for the layout.

Usage: make_blip.py [OUTPUT] [--only NAME]
"""

import argparse
import json
import random
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import BertTokenizerFast, BlipConfig, BlipForQuestionAnswering

from interventions import HEAD_SITES, Plan
from vectors import Blip, write_case, write_cases

WORDS = """a the of on in is are what which where who how many this that there it picture image man woman dog cat horse
bird ball car bus boat tree grass field sky water house table chair plate food pizza shirt hat shoe red green blue white
black brown yellow pink two three four one yes no color left right big small old and or with not sitting playing eating
kitchen wall window door light snow beach road sign clock book bag cup""".split()
PIECES = ["##s", "##ed", "##ing", "##er", "##ly", "##ish", "##ball", "##boat", "##shirt"]
QUESTIONS = ["what color is the shirt?", "where is the small dog?", "how many redish boats, on the BEACH? Ünïcode \u2603"]

# Same widths in both: transformers' text decoder takes its cross-attention key width from the vision width, so a
# question-answering model with different widths cannot run. Head counts, widths, epsilons and layers differ.
MODELS = {
    # 35 = 5 x 7 = 7 x 5, nothing a multiple of four; config.json as transformers writes it; tied head not in the file
    "tied": dict(
        vision=dict(hidden_size=35, intermediate_size=51, num_hidden_layers=2, num_attention_heads=7, image_size=40,
                    patch_size=8, layer_norm_eps=1e-5),
        text=dict(hidden_size=35, intermediate_size=77, num_hidden_layers=2, num_attention_heads=5,
                  max_position_embeddings=24, layer_norm_eps=1e-12)),
    # float16 shards; vision 5 heads of 12, text 3 of 20; large epsilons
    "shards": dict(
        vision=dict(hidden_size=60, intermediate_size=84, num_hidden_layers=2, num_attention_heads=5, image_size=30,
                    patch_size=6, layer_norm_eps=1e-3),
        text=dict(hidden_size=60, intermediate_size=76, num_hidden_layers=2, num_attention_heads=3,
                  max_position_embeddings=40, layer_norm_eps=1e-2)),
    # pytorch_model.bin (zip) with shared storages; only tokenizer.json; one head, and twelve heads of 3
    "zip": dict(
        vision=dict(hidden_size=36, intermediate_size=33, num_hidden_layers=2, num_attention_heads=1, image_size=39,
                    patch_size=13, layer_norm_eps=1e-6),
        text=dict(hidden_size=36, intermediate_size=50, num_hidden_layers=1, num_attention_heads=12,
                  max_position_embeddings=64, layer_norm_eps=1e-7)),
    # pytorch_model.bin (before torch 1.6), LayerNorm.gamma and .beta, position_ids; only vocab.txt; hub-style config
    "legacy": dict(
        vision=dict(hidden_size=27, intermediate_size=40, num_hidden_layers=1, num_attention_heads=3, image_size=24,
                    patch_size=4, layer_norm_eps=1e-4),
        text=dict(hidden_size=27, intermediate_size=27, num_hidden_layers=2, num_attention_heads=9,
                  max_position_embeddings=30, layer_norm_eps=1e-5)),
}


SEP = 3
FEW = ("*.embed", "*.resid_post", "vision.pixels", "vision.final", "head.logits")


def vocabulary():
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
    out = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("?!.,'-\"") + list(alphabet)
    out += ["##" + c for c in alphabet[:26]] + PIECES + WORDS
    return list(dict.fromkeys(out))


def draw_image(path, seed, width, height):
    """Flat shapes over a gradient: edges for the resampler, no two pixels rows alike."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([(7 * x + 3 * y + 40 * seed) % 256, 255 - (255 * y) // height, (255 * x) // width], -1)
    for _ in range(4):
        cy, cx, r = rng.randint(height), rng.randint(width), rng.randint(3, max(4, width // 3))
        image[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = rng.randint(0, 256, 3)
    Image.fromarray(image.astype(np.uint8)).save(path, optimize=True)


def randomize(model, seed, separator=SEP):
    """Activations of order one, attention far from uniform, gains and biases that matter."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda p, std, mean=0.0: p.copy_(torch.normal(mean, std, p.shape, generator=g))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("weight") and any(k in name for k in ("LayerNorm", "layer_norm", "layernorm")):
                normal(p, 0.25, 1.0)
            elif "predictions.bias" in name or "decoder.bias" in name:
                normal(p, 1.0)
                p[separator] += 0.9 * model.config.text_config.hidden_size ** 0.5  # so that answers end
                p[-2:] -= 20  # [DEC] and [ENC] have no token
            elif name.endswith("bias"):
                normal(p, 0.2)
            elif p.dim() == 4:
                normal(p, 1.2 / p[0].numel() ** 0.5)
            elif "word_embeddings" in name:
                normal(p, 0.5)
            elif "embedding" in name:
                normal(p, 0.7)
            else:
                gain = 1.6 if any(k in name for k in ("query", "key", "qkv", "q_proj", "k_proj")) else 1.1
                normal(p, gain / p.shape[1] ** 0.5)


def preprocessor(size):
    """preprocessor_config.json as the published folders have it."""
    return json.dumps({
        "do_normalize": True, "do_pad": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "BlipImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711], "processor_class": "BlipProcessor", "resample": 3,
        "rescale_factor": 0.00392156862745098, "size": {"height": size, "width": size}, "size_divisor": 32},
        indent=2) + "\n"


def write_model(folder, name, spec, seed):
    vocab = vocabulary()
    special = dict(vocab_size=len(vocab) + 2, bos_token_id=len(vocab), eos_token_id=2, pad_token_id=0, sep_token_id=SEP)
    config = BlipConfig(text_config={**spec["text"], **special}, vision_config=spec["vision"])
    model = BlipForQuestionAnswering(config)
    randomize(model, seed)
    folder.mkdir(parents=True)
    if name == "tied":
        model.save_pretrained(folder)
    elif name == "shards":
        model.half().save_pretrained(folder, max_shard_size="150KB")
    else:
        state = model.state_dict()
        if name == "legacy":
            state = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
                     for k, v in state.items()}
            for stack in ("text_encoder", "text_decoder.bert"):
                state[f"{stack}.embeddings.position_ids"] = torch.arange(spec["text"]["max_position_embeddings"])[None]
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=name == "zip")
        config.save_pretrained(folder)
    if name == "legacy":
        hub = {"_commit_hash": None, "architectures": ["BlipForQuestionAnswering"], "model_type": "blip",
               "initializer_factor": 1.0, "logit_scale_init_value": 2.6592, "projection_dim": 512,
               "image_text_hidden_size": 256, "torch_dtype": "float32", "transformers_version": None,
               "text_config": {"_name_or_path": "", "architectures": None, "chunk_size_feed_forward": 0,
                               "hidden_act": "gelu", "hidden_dropout_prob": 0.0, "is_decoder": True, "label2id":
                               {"LABEL_0": 0, "LABEL_1": 1}, "max_length": 20, "model_type": "blip_text_model",
                               "num_beams": 1, "torch_dtype": None, "use_cache": True,
                               "encoder_hidden_size": spec["vision"]["hidden_size"], **spec["text"], **special},
               "vision_config": {"attention_dropout": 0.0, "hidden_act": "gelu", "model_type": "blip_vision_model",
                                 "initializer_range": 0.02, "num_channels": 3, "torch_dtype": None, **spec["vision"]}}
        (folder / "config.json").write_text(json.dumps(hub, indent=2) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)  # the published BLIP folders have none
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n")
    ids = {token: i for i, token in enumerate(vocab)}
    BertTokenizerFast(vocab=ids, do_lower_case=True, model_max_length=512).save_pretrained(folder)
    if name == "zip":
        (folder / "vocab.txt").unlink()
    if name == "legacy":
        (folder / "tokenizer.json").unlink()
    (folder / "preprocessor_config.json").write_text(preprocessor(spec["vision"]["image_size"]))


def tells_apart(blip, cases):
    """Answers that differ, of which some end, with no choice so close that rounding could turn it."""
    answers = [blip.sites.generate_slowly(blip.pixels(image), blip.ids(question)) for image, question in cases]
    texts = {tuple(a) for a, _ in answers}
    short = sum(len(a) > 1 and len(set(a)) == len(a) and a[-1] == SEP for a in texts)
    return (len(texts) >= 3 and short >= 1 and len(answers[0][0]) > 1 and max(map(len, texts)) > 4
            and min(m for _, m in answers) > 0.02)


# -- random interventions ----------------------------------------------------------------------------------------------

VISION = ["resid_pre", "attn.in", "attn.q", "attn.k", "attn.v", "attn.z", "attn.out", "resid_mid", "mlp.in", "mlp.pre",
          "mlp.post", "mlp.out", "resid_post"]
TEXT = VISION + ["cross.in", "cross.q", "cross.k", "cross.v", "cross.z", "cross.out", "resid_cross"]
SAME = {"resid_pre": "resid_pre", "attn.in": "resid_pre", "cross.in": "resid_mid", "mlp.in": "resid_cross"}


STACKS = ("vision", "text_encoder", "text_encoder", "text_decoder")


class Chooser:
    """Random intervention strings for one checkpoint."""

    def __init__(self, rng, layers, shapes, files, stacks=STACKS):
        self.rng, self.layers, self.shapes, self.files, self.stacks = rng, layers, shapes, files, stacks

    def sites(self, stack):
        return TEXT if f"{stack}.0.cross.z" in self.shapes else VISION

    def some(self, n, most=None):
        """A list text and how many it selects; ranges, lists, single and negative numbers."""
        r = self.rng
        kind = r.randrange(4)
        if n > 2 and kind == 0:
            a = r.randrange(n - 1)
            b = min(n - 1, a + r.randrange(1, most or n))
            return f"{a}-{b}", b - a + 1
        if n > 2 and kind == 1:
            picked = sorted(r.sample(range(n), r.randrange(2, min(n, 5))))
            return ",".join(map(str, picked)), len(picked)
        return (str(-r.randrange(1, n + 1)), 1) if kind == 2 else (str(r.randrange(n)), 1)

    def address(self, site=None, stack=None):
        r = self.rng
        stack = stack or r.choice(self.stacks)
        if site is None and r.random() < 0.08:
            return f"{stack}.embed" if stack != "vision" else r.choice(["vision.embed", "vision.final"])
        site = site or r.choice(self.sites(stack))
        n = self.layers[stack]
        layers = r.choice(["*", f"0-{n - 1}"]) if r.random() < 0.08 and n > 1 else str(r.randrange(n))
        return f"{stack}.{layers}.{site}"

    def name(self, address):
        stack, *rest = address.split(".")
        if rest[0][0].isdigit() or rest[0] == "*":
            rest[0] = "0"
        return ".".join([stack, *rest])

    def selected(self, address):
        """The address with random selectors, and the shape selected."""
        r, shape = self.rng, list(self.shapes[self.name(address)])
        site = address.rpartition(".")[2]
        if site in HEAD_SITES and r.random() < 0.6:
            text, shape[1] = self.some(shape[1])
            address += "#" + text
        if r.random() < 0.6:
            text, shape[0] = self.some(shape[0])
            address += "@" + text
        if r.random() < 0.25:
            text, shape[-1] = self.some(shape[-1])
            address += ":" + text
        return address, shape

    def one(self, noise):
        """(text of one intervention, needs a source run)"""
        r = self.rng
        if r.random() < 0.14:
            return self.block(), False
        if r.random() < 0.04:
            return self.pattern(), False
        op = r.choice(["zero", "mean", "mean", "replace", "replace", "replace", "from", "from", "file", "add", "add",
                       "scale"] + (["mul-gauss", "mul-gauss", "add-gauss"] if noise else []))
        a = self.address()
        many = not self.layers_are_one(a)
        if many and op in ("from", "file", "mul-gauss", "add-gauss"):
            op = "scale"
        if op == "replace" and self.stacks is STACKS and a.startswith("text_decoder.") and r.random() < 0.7:
            a = self.address(stack=r.choice(["vision", "text_encoder"]))
        text, shape = self.selected(a)
        width = int(np.prod(self.shapes[self.name(a)][1:]))
        if op == "zero":
            return f"zero {text}", False
        if op == "scale":
            return f"scale {text} {r.choice([0.5, -1, 2, 0.7691, 0, 3.25])}", False
        if op == "mean":
            return f"mean {text} {self.files('width', [width])}", False
        if op == "add":
            spec = self.files("width", [width]) if r.random() < 0.7 else self.files("selection", shape)
            return f"add {text} {spec} {r.choice([1, -2, 0.5, 4, 0.125])}", False
        if op == "file":
            return f"replace {text} {self.files('selection', shape)}", False
        if op == "from":
            return self.from_elsewhere(a, text, shape), r.random() < 0.6
        if op == "mul-gauss":
            return f"mul-gauss {text} mean=1,std={r.choice([1, 5, 0.3])}", False
        if op == "add-gauss":
            return f"add-gauss {text} std={r.choice([0.1, 1, 2.5])}", False
        return f"replace {text}", True

    def layers_are_one(self, a):
        part = a.split(".")[1]
        return not (part == "*" or "-" in part)

    def from_elsewhere(self, a, text, shape):
        """Another layer of the same stack and site, or other rows."""
        stack, *rest = a.split(".")
        b = text
        if rest[0].isdigit():
            b = text.replace(f"{stack}.{rest[0]}.", f"{stack}.{self.rng.randrange(self.layers[stack])}.", 1)
        rows = self.shapes[self.name(a)][0]
        if "@" in b and shape[0] < rows:
            head, _, tail = b.partition("@")
            features = ":" + tail.partition(":")[2] if ":" in tail else ""
            b = head + "@" + ",".join(map(str, self.rng.sample(range(rows), shape[0]))) + features
        return f"replace {text} from {b}"

    def edges(self):
        stack = self.rng.choice(self.stacks)
        return stack, "attn" if self.sites(stack) is VISION or self.rng.random() < 0.3 else "cross"

    def block(self):
        stack, kind = self.edges()
        n = self.layers[stack]
        layer = self.rng.choice(["*", str(self.rng.randrange(n)), str(self.rng.randrange(n))])
        h, t, s = self.shapes[f"{stack}.0.{kind}.scores"]
        text = f"{stack}.{layer}.{kind}.scores"
        if self.rng.random() < 0.5:
            text += "#" + self.some(h)[0]
        if self.rng.random() < 0.6:
            text += "@" + self.some(t)[0]
        keys = f"0-{s - 1}" if self.rng.random() < 0.12 else self.some(s)[0]
        return f"block {text} from={keys}"

    def pattern(self):
        stack, kind = self.edges()
        h, t, _ = self.shapes[f"{stack}.0.{kind}.pattern"]
        text = f"{stack}.{self.rng.randrange(self.layers[stack])}.{kind}.pattern"
        text += "#" + self.some(h)[0]
        if self.rng.random() < 0.6:
            text += "@" + self.some(t)[0]
        return self.rng.choice([f"zero {text}", f"scale {text} 0.5", f"scale {text} 2"])


def written(text, layers, same=SAME):
    """The state an intervention writes, by a name under which two spellings of one state agree."""
    address = text.split()[1].split("@")[0].split("#")[0].split(":")[0]
    stack, *rest = address.split(".")
    if rest == ["embed"]:
        return {f"{stack}.0.resid_pre"}
    if len(rest) == 1:
        return {address}
    site = ".".join(rest[1:])
    one = [int(rest[0])] if rest[0].isdigit() else range(layers[stack])
    if site == "resid_post":
        return {f"{stack}.{i + 1}.resid_pre" for i in one}
    if site.split(".")[-1] in ("scores", "pattern"):
        site = site.split(".")[0] + ".edges"
    return {f"{stack}.{i}.{site if stack == 'vision' else same.get(site, site)}" for i in one}


def write_interventions(blip, folder, pairs, runs, seed, count, choose=Chooser, states_of=written, target=None):
    """pairs are (image, question) indices of equal shapes; runs maps them to (pixels, ids, captured sites)."""
    rng = random.Random(seed)
    g = torch.Generator().manual_seed(seed)
    tensors = {}

    def files(kind, shape):
        key = kind + "_" + "x".join(map(str, shape)) + (f"_{rng.randrange(2)}" if kind == "width" else "")
        if key not in tensors:
            tensors[key] = torch.normal(0.0, 1.0, tuple(shape), generator=g)
        return f"directions.safetensors:{key}"

    shapes = {k: tuple(v.shape) for k, v in runs[pairs[0]][2].items()}
    target = target or (lambda seen: seen["head.logits"])
    chooser = choose(rng, blip.layers, shapes, files)
    items, logits, idle, attempts = [], {}, 0, 0
    while len(items) < count:
        attempts += 1
        base = rng.choice(pairs)
        do, used, needs_source, noise = [], set(), False, True
        for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
            text, source = chooser.one(noise)
            states = states_of(text, blip.layers)
            if states & used:
                continue
            used |= states
            noise = noise and "gauss" not in text
            do.append(text)
            needs_source |= source
        item = {"image": base[0], "question": base[1], "do": do}
        source = None
        if needs_source:
            source = rng.choice([p for p in pairs if p != base])
            item["source_image"], item["source_question"] = source
        item["seed"] = rng.randrange(2**32)
        pixels, ids, seen = runs[base]
        plan = Plan(do, blip.layers, item["seed"], lambda name: tensors, seen, source and runs[source][2])
        out = target(blip.sites.run(pixels, ids, plan))
        plan.finished()
        effect = (out - target(seen)).abs().max().item()
        assert torch.isfinite(out).all()
        if out.abs().max() < 0.1 * target(seen).abs().max():
            continue  # rounding would be a large share of such numbers
        if effect < 1e-3:  # some must change nothing, most must change something
            if effect != 0 or idle >= count // 25:
                continue
            idle += 1
        item["effect"] = float(f"{effect:.3g}")
        item["logits"] = f"logits.{len(items)}"
        logits[item["logits"]] = out
        items.append(item)
    used = {spec.split(":")[1] for i in items for d in i["do"] for spec in d.split() if spec.startswith("directions.")}
    save_file({k: v for k, v in sorted(tensors.items()) if k in used}, folder / "directions.safetensors")
    save_file(logits, folder / "interventions.safetensors")
    (folder / "interventions.json").write_text("[\n" + ",\n".join(json.dumps(i) for i in items) + "\n]\n")
    return items, tensors, logits, attempts


def double_errors(exact, pairs, runs, items, tensors, logits, images):
    """What float32 itself costs: the same in float64, as a share of the largest logit."""
    wide = {p: exact.sites.run(exact.pixels(images[p[0]]), runs[p][1]) for p in pairs}
    site = max(((runs[p][2][k].double() - v).abs().max() / v.abs().max()).item()
               for p in pairs for k, v in wide[p].items() if not k.endswith("scores"))
    edits = []
    for item in items:
        p = item["image"], item["question"]
        source = wide[item["source_image"], item["source_question"]] if "source_image" in item else None
        plan = Plan(item["do"], exact.layers, item["seed"], lambda name: tensors, wide[p], source)
        out = exact.sites.run(exact.pixels(images[p[0]]), runs[p][1], plan)["head.logits"]
        edits.append(((logits[item["logits"]].double() - out).abs().max() / out.abs().max()).item())
    return site, max(edits)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output", nargs="?", default=Path(__file__).parents[2] / "tests/data/blip", type=Path)
    parser.add_argument("--only")
    parser.add_argument("--interventions", type=int, default=210)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number, (name, spec) in enumerate(MODELS.items()):
        if args.only and name != args.only:
            continue
        folder, out = args.output / name, args.output / name / "vectors"
        images = [out / "image0.png", out / "image1.png"]
        cases = [(i, q) for i in range(2) for q in range(3) if (i, q) != (1, 2)]
        for seed in range(100 * number, 100 * number + 100):
            shutil.rmtree(folder, ignore_errors=True)
            write_model(folder, name, spec, seed)
            out.mkdir()
            draw_image(images[0], 1 + number, 53, 37)
            draw_image(images[1], 5 + number, 21 + 8 * number, 64)
            blip = Blip(folder)
            if tells_apart(blip, [(images[i], QUESTIONS[q]) for i, q in cases]):
                break
        else:
            raise SystemExit(f"{name}: no seed gives useful answers")
        entries, runs = [], {}
        for i, q in cases:
            patterns = ("*",) if i == q == 0 else FEW
            entry, seen = write_case(blip, out, f"image{i}-question{q}", images[i], QUESTIONS[q], patterns)
            entries.append(entry)
            runs[i, q] = blip.pixels(images[i]), entry["ids"], seen
        made = write_cases(out, "make_blip.py", entries)
        pairs = [p for p in runs if p[1] < 2]
        assert len({len(runs[p][1]) for p in pairs}) == 1
        items, tensors, logits, attempts = write_interventions(blip, out, pairs, runs, 1000 + number,
                                                               args.interventions)
        site, edit = double_errors(Blip(folder, torch.float64), pairs, runs, items, tensors, logits, images)
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        print(f"{name}: seed {seed}, {size} bytes, {len(items)} interventions of {attempts} drawn; float32 against float64: "
              f"sites {site:.1e}, edited logits {edit:.1e} of the maximum")
        for e in entries:
            print("  ", e["name"], e["ids"], "->", e["answer"], f"margin {e['margin']:.3f}")
    print(made)


if __name__ == "__main__":
    main()
