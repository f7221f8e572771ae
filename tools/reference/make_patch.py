"""Writes tests/data/patch: activation patching with forward hooks on transformers' models, run by run.

Every run is a whole forward pass: the clean one and the corrupted one record the tensors at the patched modules, a
patched one has hooks that write one recorded vector (or one head's part of it) over the other run's. Hooks stand on
modules only (outputs, and inputs where the site is what a module reads), so this shares nothing with the sites, the
address grammar or the interventions of the other scripts here, nor with fovea.

Usage: make_patch.py [OUTPUT] [--only NAME]

One JSON file per checkpoint: {"model": folder below tests/data, "made", "cases": [...]}. A case holds the options as
`fovea patch` takes them (pictures are files of the model's vectors folder), `scale` (largest |logit| of the clean run),
`clean` [prob, logit_diff], `corrupted` (the same per corruption's draw) and `cells`: [site, draw, layer, row, head, prob,
p_diff, logit_diff, effect] in the order of the long table; null where there is no value, head null when all heads move.
"""

import argparse
import json
import math
from pathlib import Path

import torch
from PIL import Image, ImageFilter
from tokenizers import Tokenizer
from transformers import (AutoTokenizer, BlipForConditionalGeneration, BlipForImageTextRetrieval,
                          BlipForQuestionAnswering, LlavaForConditionalGeneration, ViTForImageClassification)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from vectors import versions

DATA = Path(__file__).parents[2] / "tests/data"


# -- models: module of every site, one forward pass, answers -----------------------------------------------------------

class Net:
    def __init__(self, folder, kind, processor):
        self.folder = folder
        self.model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.processor = processor.from_pretrained(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder) if (folder / "tokenizer_config.json").exists() else None

    def picture(self, name, change=lambda image: image):
        image = change(Image.open(self.folder / "vectors" / name).convert("RGB"))
        return self.processor(images=image, return_tensors="pt")["pixel_values"]

    def ids(self, text):
        return self.tokenizer(text)["input_ids"]

    def answer(self, text):
        """The first id of the text alone."""
        return int(text[3:]) if text.startswith("id:") else self.tokenizer(text, add_special_tokens=False)["input_ids"][0]

    @staticmethod
    def text_module(bert, layer, site):
        block = bert.encoder.layer[layer]
        return {"attn.z": (block.attention.output.dense, "in"), "attn.out": (block.attention.output.dense, "out"),
                "resid_mid": (block.attention.output.LayerNorm, "out"),
                "cross.z": (block.crossattention.output.dense, "in"), "cross.out": (block.crossattention.output.dense, "out"),
                "resid_cross": (block.crossattention.output.LayerNorm, "out"),
                "mlp.post": (block.output.dense, "in"), "mlp.out": (block.output.dense, "out"),
                "resid_post": (block.output.LayerNorm, "out")}[site]

    def text_heads(self):
        return self.model.config.text_config.num_attention_heads


class Vqa(Net):
    def __init__(self, folder):
        super().__init__(folder, BlipForQuestionAnswering, BlipImageProcessorPil)

    def logits(self, pixels, ids):
        m = self.model
        states = m.vision_model(pixel_values=pixels).last_hidden_state
        states = m.text_encoder(input_ids=torch.tensor([ids]), encoder_hidden_states=states).last_hidden_state
        start = torch.tensor([[m.config.text_config.bos_token_id]])
        return m.text_decoder(input_ids=start, encoder_hidden_states=states).logits[0, -1]

    def module(self, stack, layer, site):
        if stack == "vision":
            return self.model.vision_model.post_layernorm, "out"
        bert = self.model.text_encoder if stack == "text_encoder" else self.model.text_decoder.bert
        return (bert.embeddings, "out") if site == "embed" else self.text_module(bert, layer, site)

    def layers(self, stack):
        return self.model.config.text_config.num_hidden_layers

    def heads(self, stack):
        return self.text_heads()


class Caption(Vqa):
    def __init__(self, folder):
        Net.__init__(self, folder, BlipForConditionalGeneration, BlipImageProcessorPil)

    def ids(self, text):
        return [self.model.config.text_config.bos_token_id, *super().ids(text)[1:-1]]

    def logits(self, pixels, ids):
        states = self.model.vision_model(pixel_values=pixels).last_hidden_state
        return self.model.text_decoder(input_ids=torch.tensor([ids]), encoder_hidden_states=states).logits[0, -1]


class Itm(Vqa):
    def __init__(self, folder):
        Net.__init__(self, folder, BlipForImageTextRetrieval, BlipImageProcessorPil)

    def logits(self, pixels, ids):
        return self.model(pixel_values=pixels, input_ids=torch.tensor([ids])).itm_score[0]

    def answer(self, text):
        return {"no match": 0, "match": 1}[text]


class Vit(Net):
    def __init__(self, folder):
        super().__init__(folder, ViTForImageClassification, ViTImageProcessorPil)

    def logits(self, pixels, ids):
        return self.model(pixel_values=pixels).logits[0]

    def answer(self, text):
        return self.model.config.label2id[text]

    def module(self, stack, layer, site):
        if site == "embed":
            return self.model.vit.embeddings, "out"
        block = self.model.vit.layers[layer]
        return {"attn.z": (block.attention.o_proj, "in"), "attn.out": (block.attention.o_proj, "out"),
                "mlp.post": (block.mlp.fc2, "in"), "mlp.out": (block.mlp.fc2, "out"), "resid_post": (block, "out")}[site]

    def layers(self, stack):
        return self.model.config.num_hidden_layers

    def heads(self, stack):
        return self.model.config.num_attention_heads


class Llava(Net):
    def __init__(self, folder):
        super().__init__(folder, LlavaForConditionalGeneration, CLIPImageProcessorPil)
        self.tokens = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def ids(self, text):
        c = self.model.config
        rows = (c.vision_config.image_size // c.vision_config.patch_size) ** 2
        rows += c.vision_feature_select_strategy == "full"
        return self.tokens.encode(f"USER: {'<image>' * rows}\n{text} ASSISTANT:").ids

    def answer(self, text):
        return int(text[3:]) if text.startswith("id:") else self.tokens.encode(text, add_special_tokens=False).ids[0]

    def logits(self, pixels, ids):
        return self.model(input_ids=torch.tensor([ids]), pixel_values=pixels, use_cache=False).logits[0, -1]

    def module(self, stack, layer, site):
        block = self.model.model.language_model.layers[layer]
        return {"attn.z": (block.self_attn.o_proj, "in"), "attn.out": (block.self_attn.o_proj, "out"),
                "mlp.post": (block.mlp.down_proj, "in"), "mlp.out": (block.mlp.down_proj, "out"),
                "resid_post": (block, "out")}[site]

    def layers(self, stack):
        return self.model.config.text_config.num_hidden_layers

    def heads(self, stack):
        return self.text_heads()


# -- runs with hooks ---------------------------------------------------------------------------------------------------

def hook(module, where, change):
    """change(x [T, D]) gives the tensor to go on with."""
    def on_input(mod, args):
        return (change(args[0][0])[None], *args[1:])

    def on_output(mod, args, out):
        if isinstance(out, tuple):
            return (change(out[0][0])[None], *out[1:])
        return change(out[0])[None] if out.dim() == 3 else out

    if where == "in":
        return module.register_forward_pre_hook(on_input)
    return module.register_forward_hook(on_output)


class Run:
    """An input, and what is done to it on the way."""

    def __init__(self, pixels, ids, edits=()):
        self.pixels, self.ids, self.edits = pixels, ids, list(edits)  # (stack, layer, site), function

    @torch.no_grad()
    def logits(self, net, writes=(), record=()):
        kept, handles = {}, []
        for place, function in [*self.edits, *writes]:
            handles.append(hook(*net.module(*place), function))
        for place in record:
            def keep(x, place=place):
                kept[place] = x.clone()
                return x
            handles.append(hook(*net.module(*place), keep))
        logits = net.logits(self.pixels, self.ids)
        for handle in handles:
            handle.remove()
        return logits, kept


def writer(source, row, columns):
    def change(x):
        x = x.clone()
        x[row, columns] = source[row, columns]
        return x
    return change


def corrupted_runs(net, case):
    """One run per draw."""
    kind, _, args = case["corrupt"].partition(":")
    what, _, address = args.rpartition("@")
    pixels = net.picture(case["image"])
    ids = net.ids(case["question"]) if case["question"] else None
    if kind == "image":
        return [Run(net.picture(args), ids)]
    if kind == "question":
        return [Run(pixels, net.ids(args))]
    if kind == "gray":
        return [Run(net.picture(case["image"], lambda image: image.convert("L").convert("RGB")), ids)]
    if kind == "blur":
        return [Run(net.picture(case["image"], lambda image: image.filter(ImageFilter.GaussianBlur(float(args)))), ids)]
    if kind == "mask":
        top, left, bottom, right = map(int, args.split(","))
        side = net.model.config.vision_config.patch_size if hasattr(net.model.config, "vision_config") else \
            net.model.config.patch_size
        pixels = pixels.clone()
        pixels[..., top * side:(bottom + 1) * side, left * side:(right + 1) * side] = 0
        return [Run(pixels, ids)]
    stack, site = address.split(".", 1)
    place = (stack, None, site)
    if kind == "scale":
        return [Run(pixels, ids, [(place, lambda x: x * float(what))])]
    assert kind == "mul-gauss"
    option = dict(part.split("=") for part in what.split(","))
    _, seen = Run(pixels, ids).logits(net, record=[place])
    generator, runs = torch.Generator().manual_seed(case["seed"]), []
    for _ in range(case["draws"]):
        noise = torch.normal(float(option["mean"]), float(option["std"]), seen[place].shape, generator=generator)
        runs.append(Run(pixels, ids, [(place, lambda x, noise=noise: x * noise)]))
    return runs


def pad(a, b):
    """[PAD] behind the shorter."""
    n = max(len(a.ids), len(b.ids))
    for run in (a, b):
        run.ids = run.ids + [0] * (n - len(run.ids))


def listed(text, n):
    if text is None:
        return list(range(n))
    return sorted({int(part) % n if int(part) < 0 else int(part) for part in text.split(",")})


def read(logits, correct, incorrect):
    return (torch.softmax(logits.double(), 0)[correct].float().item(), (logits[correct] - logits[incorrect]).item())


def number(x):
    return None if x is None or math.isnan(x) else float(f"{x:.9g}")


def fill(net, case):
    """Computes a case; options that it does not have are the defaults."""
    for key, value in dict(question=None, heads=None, rows=None, layers=None, window=1, noise=False, pad=False,
                           seed=0, draws=1).items():
        case.setdefault(key, value)
    correct, incorrect = net.answer(case["correct"]), net.answer(case["incorrect"])
    clean = Run(net.picture(case["image"]), net.ids(case["question"]) if case["question"] else None)
    corrupted = corrupted_runs(net, case)
    if case["pad"]:
        pad(clean, corrupted[0])
    sites = [(address.split(".")[0], address.split(".", 2)[2] if ".*." in address else None, address)
             for address in case["sites"]]
    places = [(stack, layer, site) for stack, site, _ in sites if site for layer in range(net.layers(stack))]
    places += [(stack, None, address.split(".", 1)[1]) for stack, site, address in sites if not site]
    logits, clean_states = clean.logits(net, record=places)
    case["scale"] = number(logits.abs().max().item())
    case["clean"] = [number(x) for x in read(logits, correct, incorrect)]
    high = read(logits, correct, incorrect)
    case["corrupted"], case["cells"] = [], []
    for draw, run in enumerate(corrupted):
        logits, corrupt_states = run.logits(net, record=places)
        low = read(logits, correct, incorrect)
        case["corrupted"].append([number(x) for x in low])
        base, source = (clean, corrupt_states) if case["noise"] else (run, clean_states)
        start, end = (high, low) if case["noise"] else (low, high)
        for index, (stack, site, address) in enumerate(sites):
            count = net.layers(stack) if site else 1
            layers = listed(case["layers"], count) if site else [None]
            heads = net.heads(stack)
            for layer in layers:
                width, total = case["window"], source[stack, layer, site or address.split(".", 1)[1]].shape
                if site:
                    group = range(max(0, layer - width // 2), min(count, layer - (-width // 2)))
                for row in listed(case["rows"], total[0]):
                    for head in range(heads) if case["heads"] == "each" else [None]:
                        if case["heads"] is None:
                            columns = slice(None)
                        else:
                            size = total[1] // heads
                            chosen = [head] if case["heads"] == "each" else listed(case["heads"], heads)
                            columns = torch.cat([torch.arange(h * size, (h + 1) * size) for h in chosen])
                        where = [(stack, l, site) for l in group] if site else [(stack, None, address.split(".", 1)[1])]
                        writes = [(place, writer(source[place], row, columns)) for place in where]
                        prob, diff = read(base.logits(net, writes)[0], correct, incorrect)
                        effect = None if end[1] == start[1] else (diff - start[1]) / (end[1] - start[1])
                        case["cells"].append([index, draw, layer, row, head, *map(number, (prob, prob - low[0], diff, effect))])
    return case


# -- cases -------------------------------------------------------------------------------------------------------------

ATTENTION = ["text_encoder.*.attn.z", "text_encoder.*.attn.out", "text_encoder.*.cross.z", "text_encoder.*.cross.out"]
SHIRT, DOG = "what color is the shirt?", "what color is the dog?"


def vqa_cases(correct, incorrect):
    image = dict(image="image0.png", question=SHIRT, corrupt="image:image1.png", correct=correct, incorrect=incorrect)
    text = {**image, "corrupt": f"question:{DOG}"}
    return [
        dict(name="every site, picture", **image, sites=ATTENTION + [
            f"text_encoder.*.{s}" for s in ("resid_mid", "resid_cross", "mlp.post", "mlp.out", "resid_post")]),
        dict(name="every site, question", **text, sites=ATTENTION + [
            f"text_encoder.*.{s}" for s in ("resid_mid", "resid_cross", "mlp.post", "mlp.out", "resid_post")]),
        dict(name="the decoder", **image, sites=["text_decoder.*.resid_post", "text_decoder.*.attn.out",
                                                 "text_decoder.*.cross.z", "text_decoder.*.mlp.post"]),
        dict(name="each head, picture", **image, sites=["text_encoder.*.cross.z", "text_encoder.*.attn.z"], heads="each"),
        dict(name="each head, question, noise", **text, sites=["text_encoder.*.cross.z"], heads="each", noise=True,
             rows="0,3,-1"),
        dict(name="heads of the decoder", **image, sites=["text_decoder.*.cross.z"], heads="each"),
        dict(name="some heads", **image, sites=["text_encoder.*.cross.z"], heads="0,2"),
        dict(name="noise direction", **image, sites=["text_encoder.*.resid_post", "text_encoder.*.cross.out"], noise=True),
        dict(name="window of two", **image, sites=["text_encoder.*.resid_mid", "text_encoder.*.cross.out"], window=2),
        dict(name="window of three, noise", **text, sites=["text_encoder.*.mlp.out"], window=3, noise=True),
        dict(name="rows and layers", **image, sites=["text_encoder.*.resid_post"], rows="1,-2", layers="1"),
        dict(name="embeddings", **text, sites=["text_encoder.embed"]),
        dict(name="the picture's rows", **{**image, "corrupt": "scale:0.5@vision.final"}, sites=["vision.final"], rows="0,3,7"),
        dict(name="gray", **{**image, "corrupt": "gray"}, sites=["text_encoder.*.cross.z"]),
        dict(name="blur", **{**image, "corrupt": "blur:2.5"}, sites=["text_encoder.*.resid_cross"]),
        dict(name="mask", **{**image, "corrupt": "mask:1,0,2,3"}, sites=["text_encoder.*.resid_cross"]),
        dict(name="noise on the picture", **{**image, "corrupt": "mul-gauss:mean=1,std=5@vision.final"}, seed=7, draws=2,
             sites=["text_encoder.*.resid_post", "text_decoder.*.resid_post"]),
        dict(name="filled up", **{**text, "corrupt": "question:is this the color of the small dog?"}, pad=True,
             sites=["text_encoder.*.resid_post", "text_encoder.*.cross.z"]),
    ]


def vit_cases(correct, incorrect):
    image = dict(image="image0.png", corrupt="image:image1.png", correct=correct, incorrect=incorrect)
    sites = [f"vision.*.{s}" for s in ("attn.z", "attn.out", "mlp.post", "mlp.out", "resid_post")]
    return [dict(name="every site", **image, sites=sites, rows="0,1,6,-1"),
            dict(name="all rows", **image, sites=["vision.*.resid_post"]),
            dict(name="each head", **image, sites=["vision.*.attn.z"], heads="each", rows="0,5"),
            dict(name="gray", **{**image, "corrupt": "gray"}, sites=["vision.*.resid_post", "vision.embed"]),
            dict(name="gray, noise direction", **{**image, "corrupt": "gray"}, sites=["vision.*.attn.out"], noise=True)]


def llava_cases(correct, incorrect):
    image = dict(image="image0.png", question="what color is the shirt?", corrupt="image:image1.png", correct=correct,
                 incorrect=incorrect)
    text = {**image, "corrupt": "question:what color is the dog?"}
    sites = [f"language.*.{s}" for s in ("attn.z", "attn.out", "mlp.post", "mlp.out", "resid_post")]
    return [dict(name="every site, picture", **image, sites=sites),
            dict(name="every site, question", **text, sites=sites, rows="0,5,-7,-6,-5,-4,-3,-2,-1"),
            dict(name="each head", **text, sites=["language.*.attn.z"], heads="each", rows="-6,-1"),
            dict(name="noise direction, window", **image, sites=["language.*.attn.z", "language.*.mlp.out"], noise=True,
                 window=2)]


def caption_cases(correct, incorrect):
    image = dict(image="image0.png", question="the red hat", corrupt="image:image1.png", correct=correct, incorrect=incorrect)
    return [dict(name="every site", **image, sites=[f"text_decoder.*.{s}" for s in (
        "attn.z", "attn.out", "cross.z", "cross.out", "mlp.post", "mlp.out", "resid_post")]),
        dict(name="each head", **{**image, "corrupt": "question:the blue hat"}, sites=["text_decoder.*.attn.z"], heads="each")]


def itm_cases():
    image = dict(image="image0.png", question="the shirt is big red", corrupt="image:image1.png", correct="match",
                 incorrect="no match")
    return [dict(name="every site", **image, sites=ATTENTION + ["text_encoder.*.resid_post"]),
            dict(name="each head", **{**image, "corrupt": "question:the shirt is small red"},
                 sites=["text_encoder.*.cross.z"], heads="each", noise=True)]


MODELS = {
    "blip-tied": ("blip/tied", Vqa, lambda: vqa_cases("playing", "id:70")),
    "blip-shards": ("blip/shards", Vqa, lambda: vqa_cases("id:70", "v")),
    "vit-shards": ("vit/shards", Vit, lambda: vit_cases("tabby, tabby cat", "dog")),
    "vit-bare": ("vit/bare", Vit, lambda: vit_cases("class 10", "class 0")),
    "llava-grouped": ("llava/grouped", Llava, lambda: llava_cases("id:29", "id:47")),
    "llava-first": ("llava/first", Llava, lambda: llava_cases("id:45", "dog")),
    "caption-tied": ("blip_caption/tied", Caption, lambda: caption_cases("two", "red")),
    "itm-shards": ("blip_itm/shards", Itm, itm_cases),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", default=DATA / "patch", type=Path)
    parser.add_argument("--only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.output.mkdir(parents=True, exist_ok=True)
    made = {"script": "tools/reference/make_patch.py", **versions()}
    for name, (folder, kind, cases) in MODELS.items():
        if args.only not in (None, name):
            continue
        net = kind(DATA / folder)
        done = [fill(net, case) for case in cases()]
        text = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in done)
        head = f'{{"model":{json.dumps(folder)},\n"made":{json.dumps(made)},\n"cases":[\n'
        (args.output / f"{name}.json").write_text(head + text + "\n]}\n")
        for case in done:
            effects = [c[-1] for c in case["cells"] if c[-1] is not None]
            print(f"{name}: {case['name']}: {len(case['cells'])} cells, LD {case['clean'][1]:.3f} clean, "
                  f"{case['corrupted'][0][1]:.3f} corrupted, effects {min(effects):.3f} to {max(effects):.3f}")
    print(made)


if __name__ == "__main__":
    main()
