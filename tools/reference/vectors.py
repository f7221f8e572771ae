"""Writing a vectors folder (see README.md): cases.json, the pictures, one safetensors file per case."""

import json
import platform
import re
import shutil
from pathlib import Path

import numpy
import PIL
import safetensors
import tokenizers
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoTokenizer, BlipForQuestionAnswering
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from blip_sites import Instrumented


def versions():
    return {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__, "safetensors": safetensors.__version__,
            "numpy": numpy.__version__, "pillow": PIL.__version__, "compute": "float32, eager attention"}


class Blip:
    """A checkpoint folder as transformers loads it, in float32, with its tokenizer and its Pillow image processor."""

    def __init__(self, folder, dtype=torch.float32):
        self.model = BlipForQuestionAnswering.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
        self.sites = Instrumented(self.model)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor = BlipImageProcessorPil.from_pretrained(folder)
        c = self.model.config
        self.ends = [c.text_config.sep_token_id]
        self.layers = {"vision": c.vision_config.num_hidden_layers, "text_encoder": c.text_config.num_hidden_layers,
                       "text_decoder": c.text_config.num_hidden_layers}

    def pixels(self, path):
        image = Image.open(path).convert("RGB")
        pixels = self.processor(images=image, return_tensors="pt")["pixel_values"]
        return pixels.to(next(self.model.parameters()).dtype)

    def ids(self, question):
        return self.tokenizer(question)["input_ids"]

    def top(self, logits, n=10):
        prob = torch.softmax(logits.double(), 0)
        values, index = torch.sort(logits, descending=True, stable=True)
        pieces = [self.tokenizer.convert_ids_to_tokens(i) for i in index[:n].tolist()]
        return [{"id": i, "piece": p, "logit": v, "prob": prob[i].item()}
                for i, p, v in zip(index[:n].tolist(), pieces, values[:n].tolist())]


def matches(name, patterns):
    """A pattern is an address without selectors; * stands for any run of characters."""
    return any(re.fullmatch(".*".join(map(re.escape, p.split("*"))), name) for p in patterns)


def write_case(blip, folder, name, image, question, patterns=("*",)):
    """Runs one image and question, stores the sites that match, and returns (entry for cases.json, all sites)."""
    folder = Path(folder)
    images = [Path(i) for i in image] if isinstance(image, list) else [Path(image)]
    for file in images:
        if not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)
    pixels, ids = blip.pixels(image), blip.ids(question)
    blip.sites.check(pixels, ids)
    seen = blip.sites.run(pixels, ids)
    kept = {k: v.contiguous() for k, v in seen.items() if matches(k, patterns)}
    save_file(kept, folder / f"{name}.safetensors")
    answer = blip.sites.generate(pixels, ids)
    slow, margin = blip.sites.generate_slowly(pixels, ids)
    assert answer == slow, (answer, slow)
    shown = {"images": [file.name for file in images]} if isinstance(image, list) else {"image": images[0].name}
    asked = {"prompt" if "<image>" in question else "question": question}
    entry = {"name": name, **shown, **asked, "tensors": f"{name}.safetensors",
             "ids": ids, "pieces": blip.tokenizer.convert_ids_to_tokens(ids),
             "answer": {"text": blip.tokenizer.decode(answer, skip_special_tokens=True), "ids": answer,
                        "complete": answer[-1] in blip.ends},
             "margin": margin, "top": blip.top(seen["head.logits"])}
    return entry, seen


def write_cases(folder, script, entries, family="blip_vqa"):
    made = {"script": f"tools/reference/{script}", **versions()}
    lines = ",\n".join(json.dumps(e, ensure_ascii=False) for e in entries)
    Path(folder, "cases.json").write_text(
        '{"family":' + json.dumps(family) + ',\n"made":' + json.dumps(made) + ',\n"cases":[\n' + lines + "\n]}\n")
    return made
