#!/usr/bin/env python3
"""Compares `fovea tokens MODEL --jsonl -` with the tokenizers library on some 60,000 strings, both ways.

usage: check_tokenizer.py MODEL [--fovea PATH] [--count N] [--seed N] [--show N]

MODEL is a folder with a tokenizer.json (read by the tokenizers library, without its truncation and padding) or a
vocab.txt (read by transformers' BertTokenizer). Strings: real sentences, edge cases, random mixes with the model's added
tokens in them, and every code point between two letters. Decoding is compared on the ids of those strings and on random
ids, with and without special tokens. Exit status 1 when anything differs; the first differences are printed.
Needs: pip install tokenizers transformers
"""
import argparse
import json
import os
import random
import subprocess
import sys

import tokenizers
import transformers

import text_samples as samples


def reference(folder):
    path = os.path.join(folder, "tokenizer.json")
    if os.path.exists(path):
        t = tokenizers.Tokenizer.from_file(path)
    else:
        t = transformers.BertTokenizer.from_pretrained(folder).backend_tokenizer
    t.no_truncation()
    t.no_padding()
    return t


def cleans_up(folder):
    path = os.path.join(folder, "tokenizer_config.json")
    config = json.load(open(path, encoding="utf-8")) if os.path.exists(path) else {}
    return config.get("clean_up_tokenization_spaces", True)


def run(args, extra, values):
    lines = "".join(json.dumps(v) + "\n" for v in values)
    done = subprocess.run([args.fovea, "tokens", args.model, "--jsonl", "-", *extra], input=lines, text=True,
                          stdout=subprocess.PIPE)
    out = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode or len(out) != len(values):
        sys.exit(f"fovea ended with status {done.returncode} after {len(out)} of {len(values)} lines")
    return out


def compare(what, given, expected, got, show):
    bad = [i for i in range(len(given)) if expected[i] != got[i]]
    print(f"{what}: {len(given)} compared, {len(bad)} differ")
    for i in bad[:show]:
        print(f"  input    {given[i]!r}\n  expected {expected[i]!r}\n  got      {got[i]!r}")
    return not bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--fovea", default="fovea")
    p.add_argument("--count", type=int, default=25000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--show", type=int, default=5)
    args = p.parse_args()
    print(f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}")
    t = reference(args.model)
    added = [a.content for a in t.get_added_tokens_decoder().values()]
    texts = samples.SENTENCES + samples.EDGES + samples.random_texts(args.seed, args.count, added)
    texts += list(samples.every_code_point())
    ids = []
    for i in range(0, len(texts), 1000):
        ids += [e.ids for e in t.encode_batch(texts[i : i + 1000])]
    ok = compare("encode", texts, ids, run(args, [], texts), args.show)

    rng = random.Random(args.seed)
    size = max(t.get_vocab().values()) + 1
    lists = ids[: args.count] + [[rng.randrange(size + 5) for _ in range(rng.randrange(12))] for _ in range(args.count // 2)]
    clean = transformers.PreTrainedTokenizerBase.clean_up_tokenization if cleans_up(args.model) else lambda _, s: s
    for keep in (False, True):
        expected = [clean(None, t.decode(x, skip_special_tokens=not keep)) for x in lists]
        got = run(args, ["--decode"] + (["--keep-special"] if keep else []), lists)
        ok = compare("decode" + (" with special tokens" if keep else ""), lists, expected, got, args.show) and ok
    return 0 if ok else 1


sys.exit(main())
