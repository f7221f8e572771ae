#!/usr/bin/env python3
"""Writes tests/data/text/bpe/: small BPE tokenizers and what the tokenizers library makes of many strings with them.

usage: make_bpe_vectors.py [--train] [--count N] [--seed N] [--bases FOLDER] [--only VARIANT ...] OUT_FOLDER

llama.json, clip.json, prefix.json   tokenizers of a few thousand pieces in the layouts of LLaVA (byte fallback), CLIP
                (bytes as characters, "</w>") and of a model with "##" and "</w>", trained here on Python's own manual and
                the sentences of text_samples.py; only written with --train, otherwise those that are there are used
vectors.jsonl   one object per line. {"variant", "base", ...} starts a variant of a tokenizer: "set" replaces top-level
                keys of its tokenizer.json, "model" keys of its model, "rename" lists pieces that get a "?" behind,
                "config" is its tokenizer_config.json, "places" false: bytes are not compared. Then the strings:
                "t"  text; or {"repeat": [[unit, count], ...]}; or {"codes": [first, last]}, where each code point but
                     surrogates stands between "a" and a space
                "i" ids, "o" first and last byte of each token (-1 -1 for those of the post-processor), "k" decoded,
                "s" decoded without special tokens; or "h", a hash of all these. Lines without "t" are decoded only.

With --count N, N random strings and N random lists of ids per variant are written in full, to be compared once by
`test_bpe OUT_FOLDER`; they are too large to be committed.
"""
import argparse
import json
import os
import pydoc_data.topics
import random
import struct
import sys
import unicodedata

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import text_samples as samples

BYTES = [f"<0x{b:02X}>" for b in range(256)]
CLIP_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
EDGES = [
    "Hello", " Hello", "  Hello  world ", "▁", "▁▁", "▁Hello", " ▁ Hello▁world▁ ", "a▁ b ▁c", "\n", "\n\n", " \n ", "\nHello",
    "Hello\n", "Hello\n\nworld", "\t x", "a  b   c    d", " ", "  ", "     ", "USER: What is this? ASSISTANT:", "é", "e\u0301", "中文",
    "中 文", "日本語のテキスト", "한국어 텍스트", "😀", "😀😀 😀", "👨‍👩‍👧‍👦", "\u0000", "a\u0000b", "\u007f\u0080\u009f", "\ufffd", "\ufeffBOM", "<0x41>", "<0xE4>",
    "<0x", "</w>", "a</w> b", "</w></w>", "##", "a##b", "Ġ", "ĠHello", "Ċ", "it's we're I'll you'd they've I'm can't", "IT'S WE'RE",
    "'s's", "''s", "' s", "!'s", "a'sb", "x's 1's", "12345 6 78", "a1b2c3", "½²³ⅷ Ⅷ", "ǅ ǆ", "İstanbul", "ß ẞ ſ", "ΑΣ", "a\u00a0b", "a\u3000b",
    "a\u180eb \u180e", "a\u200bb", "a\u0085b", "a\u2028b\u2029", "\u001c\u001d\u001e\u001f", "a\u001cb", "...---...!!!", "a.b,c;d:e", "C++ C# F#", "a_b __x__",
    "가\u11a7", "가\u11a8", "\u1100\u1161\u11a8", "\u212b\u2126\u212a", "\u0958\u0929\u0928\u093c", "a\u0323\u0301", "a\u0301\u0323", "\u0301a", "q\u0307\u0323",
    "\u0344", "\u1e9b\u0323", "\u0f73", "\U0001d15e", "\U00011938 \U00011935\U00011930", "\U000105c9", "\u0300\u0301 x", "a\u0315\u0300\u05ae\u0301b",
    "The tokenizer of the model.", "def f(x):\n    return x + 1\n", "http://example.org/a?b=c&d=e#f", "xyzzyxyzzy", "QQQQQQQQ", "zzzzzzzzzzzzzzzzz",
]


def train_llama(text):
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<unk>", "<s>", "</s>"]
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=3000, special_tokens=special + BYTES, limit_alphabet=180, show_progress=False))
    return t


def train_clip(text):
    t = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP_PATTERN), "removed", invert=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=2400, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False))
    return t


def train_prefix(text):
    t = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##", end_of_word_suffix="</w>"))
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(text, trainers.BpeTrainer(vocab_size=900, special_tokens=["[UNK]"], limit_alphabet=90, continuing_subword_prefix="##",
                                                    end_of_word_suffix="</w>", show_progress=False))
    return t


def train(folder):
    text = [s for topic in pydoc_data.topics.topics.values() for s in topic.split("\n")] + samples.SENTENCES * 3 + samples.WORDS * 3
    for name, make in (("llama", train_llama), ("clip", train_clip), ("prefix", train_prefix)):
        root = json.loads(make(text).to_str())
        root["added_tokens"] = []
        model = root["model"]
        if name == "clip":
            # As in CLIP's file: every character of the alphabet also with the suffix, and the two special tokens last.
            for c in sorted(pre_tokenizers.ByteLevel.alphabet()):
                model["vocab"].setdefault(c + "</w>", len(model["vocab"]))
            for c in ("<|startoftext|>", "<|endoftext|>"):
                model["vocab"][c] = len(model["vocab"])
        else:
            model["merges"] = [" ".join(m) for m in model["merges"]]  # the older form
        with open(os.path.join(folder, name + ".json"), "w", encoding="utf-8") as f:
            json.dump(root, f, ensure_ascii=False, separators=(",", ":"))


def added(content, **flags):
    token = dict(content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    token.update(flags)
    return token


def number(vocab, tokens):
    free = len(vocab)
    for token in tokens:
        token["id"] = vocab.get(token["content"], free)
        free += token["id"] == free
    return tokens


def pattern(text, regex=False):
    return {"Regex" if regex else "String": text}


LEGACY = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                                              {"type": "Replace", "pattern": pattern(" "), "content": "▁"}]}
LLAMA_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": pattern("▁"), "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def template(name, ident, post=False):
    special = {"SpecialToken": {"id": name, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {"type": "TemplateProcessing", "single": [text, special] if post else [special, text], "pair": [],
            "special_tokens": {name: {"id": name, "ids": [ident], "tokens": [name]}}}


def byte_level(**flags):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **flags}


def split(what, behavior, invert):
    return {"type": "Split", "pattern": what, "behavior": behavior, "invert": invert}


def around(tokens):
    """Strings with the tokens in all positions."""
    out = []
    for t in tokens:
        out += [t, t + "Hello", "Hello" + t, "Hello" + t + "world", f" {t} ", f"Hello {t} world", f"Hello  {t}  world", f"{t}{t}", f"{t} {t}",
                f"{t}\nHello", f"Hello\n{t}\n\nworld", f"▁{t}▁", f"x{t}y", f"{t}.", t[:-1], t[1:], t.upper(), t.lower(), f"{t}\u3000\t Hello", f"é{t}é"]
    return out


def llama_variants(base):
    vocab = base["model"]["vocab"]
    tokens = number(vocab, [added("<unk>"), added("<s>"), added("</s>"), added("<image>"), added("<pad>")])
    names = [t["content"] for t in tokens]
    legacy = {"normalizer": LEGACY, "pre_tokenizer": None, "decoder": LLAMA_DECODER, "added_tokens": tokens, "post_processor": template("<s>", 1)}
    prompts = ["USER: <image>\nWhat is this? ASSISTANT:", "<image>\n<image>\nUSER", "Hello <s>.", "Hello </s>.", "<image><image><image>", "<s>", "<s> ", " <s>"]
    long = ["a" * 5000, "ab" * 2500, "x y" * 1700, "é" * 5000, "中" * 2000, " " * 5000, "the " * 1250, "internationalization" * 250, "▁" * 500, "😀" * 700]
    yield "llama", {"set": legacy, "config": {"clean_up_tokenization_spaces": True}}, samples.SENTENCES[:6] + EDGES + prompts, \
        around(names) + samples.SENTENCES[6:] + samples.EDGES + long + samples.random_texts(21, 120, names)
    yield "first", {"set": {**legacy, "normalizer": None, "pre_tokenizer": metaspace("first", False)}}, EDGES[:30] + prompts, \
        around(names[1:2]) + samples.SENTENCES + long[:4] + samples.random_texts(22, 60, names)
    yield "always", {"set": {**legacy, "normalizer": None, "pre_tokenizer": metaspace("always", True), "decoder": metaspace("always", True)}}, EDGES[:30] + prompts, \
        around(names[1:2]) + samples.SENTENCES + long[:4] + samples.random_texts(23, 60, names)
    yield "never", {"set": {**legacy, "normalizer": None, "pre_tokenizer": metaspace("never", True), "decoder": metaspace("never", True),
                            "post_processor": {"type": "Sequence", "processors": [byte_level(), template("<s>", 1, True)]}},
                    "places": False}, EDGES[:20] + prompts, around(names[1:3]) + samples.random_texts(24, 40, names)
    phi = number(vocab, [added("<unk>"), added("<s>"), added("</s>", rstrip=True), added("<|endoftext|>")] + [
        added(s, rstrip=True) for s in ("<|assistant|>", "<|placeholder1|>", "<|system|>", "<|end|>", "<|user|>")] + [added("<image>"), added("<pad>")])
    names = [t["content"] for t in phi]
    chat = ["<|user|>\n<image>What is this?<|end|>\n<|assistant|>\n", "Hello<|end|>\n Hi", "<|user|> \n\t\u3000<|end|>  x", "<|user|>\n<|user|>\n"]
    yield "phi", {"set": {**legacy, "added_tokens": phi}}, chat, around(names[3:9]) + samples.random_texts(25, 60, names)
    odd = number(vocab, tokens + [added("Fovea", normalized=True, special=False), added("<l>", lstrip=True), added("word", single_word=True, special=False),
                                  added(" <b>", normalized=True, lstrip=True, rstrip=True), added("the", normalized=True, special=False, single_word=True)])
    names = [t["content"] for t in odd]
    yield "odd tokens", {"set": {**legacy, "added_tokens": odd}}, ["Fovea", " Fovea", "xFovea", "a Fovea b", "<s>Fovea", "FoveaFovea"], \
        around(names[5:]) + samples.random_texts(26, 60, names)
    for name, model, rename in (("no bytes", {"byte_fallback": False}, []), ("no bytes, not fused", {"byte_fallback": False, "fuse_unk": False}, []),
                              ("no bytes, no unknown", {"byte_fallback": False, "unk_token": None}, []), ("few bytes", {}, ["<0xC3>", "<0xE4>", "<0x00>"]),
                              ("few bytes, not fused", {"fuse_unk": False}, ["<0xC3>", "<0xF0>"]), ("ignore merges", {"ignore_merges": True}, [])):
        yield name, {"set": {**legacy, **({"pre_tokenizer": metaspace("always", True)} if name == "ignore merges" else {})}, "model": model, "rename": rename}, \
            ["é中😀a é中 😀", "aéb中c😀d", "ééé", "中文 中", "a\u0000é"], samples.random_texts(27, 40, names)
    strip = {"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": True, "strip_right": False},
                                                 {"type": "Replace", "pattern": pattern("an"), "content": "ANNA"},
                                                 {"type": "Replace", "pattern": pattern("the "), "content": ""}]}
    yield "strip", {"set": {**legacy, "normalizer": strip, "pre_tokenizer": metaspace("first", True)}}, EDGES[:30] + ["banana", "  banana", "the the the end"], \
        samples.SENTENCES + samples.random_texts(28, 50, names)
    yield "no decoder", {"set": {**legacy, "normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}, "decoder": None,
                                 "post_processor": None}}, EDGES[:12], samples.random_texts(29, 20, names)


def clip_variants(base):
    vocab = base["model"]["vocab"]
    start, end = vocab["<|startoftext|>"], vocab["<|endoftext|>"]
    tokens = number(vocab, [added("<|startoftext|>", normalized=True), added("<|endoftext|>")])
    names = [t["content"] for t in tokens]
    file = {"added_tokens": tokens, "decoder": byte_level(add_prefix_space=True),
            "post_processor": {"type": "RobertaProcessing", "sep": ["<|endoftext|>", end], "cls": ["<|startoftext|>", start], "trim_offsets": False,
                               "add_prefix_space": False}}
    composed = "".join(chr(c) for c in range(0x110000) if not 0xAC00 <= c < 0xD7A4 and unicodedata.normalize("NFD", chr(c)) != chr(c))
    hangul = "".join(chr(c) for c in range(0xAC00, 0xD7A4, 37))
    forms = [composed, unicodedata.normalize("NFD", composed), unicodedata.normalize("NFD", hangul)]
    long = ["a" * 5000, "ab" * 2500, "1" * 3000, "!" * 3000, "\u0301" * 2000, "é " * 1500, "word " * 1000, "😀" * 800, "\u0315\u0300" * 200]
    codes = [{"codes": [c, min(c + 4095, 0x10FFFF)]} for c in range(0, 0x110000, 4096)]
    yield "clip", {"set": file, "config": {"tokenizer_class": "CLIPTokenizer"}}, samples.SENTENCES[:6] + EDGES + ["a photo of a cat", "<|STARTOFTEXT|> x"], \
        around(names) + samples.SENTENCES[6:] + samples.EDGES + forms + long + codes + samples.random_texts(31, 100, names)
    sequence = {"type": "Sequence", "pretokenizers": [split(pattern(r"<\|startoftext\|>|<\|endoftext\|>|" + CLIP_PATTERN, True), "Removed", True), byte_level()]}
    yield "clip, newer pattern", {"set": {**file, "pre_tokenizer": sequence}}, ["<|startoftext|>a<|endoftext|>", "<|STARTOFTEXT|>", "<|endoftext |>"], \
        around(names[:1]) + samples.SENTENCES + samples.random_texts(32, 30, names)
    gpt = {**file, "normalizer": None, "pre_tokenizer": byte_level(add_prefix_space=True), "post_processor": byte_level(trim_offsets=False)}
    yield "gpt", {"set": gpt, "model": {"end_of_word_suffix": None, "unk_token": None}}, EDGES, samples.SENTENCES + samples.EDGES + long + \
        [{"codes": [c, c + 4095]} for c in list(range(0, 0x3000, 4096)) + [0x10000, 0x11000, 0x1E000]] + samples.random_texts(33, 60, names)
    yield "bytes, no words", {"set": {**gpt, "pre_tokenizer": byte_level(use_regex=False)}, "model": {"end_of_word_suffix": "", "unk_token": None}}, EDGES[:40], \
        samples.random_texts(34, 40, names)
    behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    for i, behavior in enumerate(behaviors):
        for invert in (False, True):
            what = [pattern(" "), pattern(r"\s+|\p{N}", True), pattern("is"), pattern(r"(?:th|Th)[a-e]|[\p{L}\-.]+?(?=\s)|\n", True), pattern("t")][(i + invert) % 5]
            steps = {"type": "Sequence", "pretokenizers": [split(what, behavior, invert), byte_level(use_regex=False)]}
            yield f"split {behavior} {invert}", {"set": {**gpt, "pre_tokenizer": steps}, "model": {"end_of_word_suffix": None, "unk_token": None}}, \
                ["this is the thesis", "  a  b ", "1 22 333x", "isis", "t tt ttt"], samples.SENTENCES[:8] + samples.random_texts(35 + i, 20, names)


def prefix_variants(base):
    file = {"pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "BPEDecoder", "suffix": "</w>"}}
    yield "prefix", {"set": file}, EDGES, samples.SENTENCES + samples.random_texts(51, 60, [])
    yield "prefix, fused", {"set": file, "model": {"fuse_unk": True}}, EDGES[:30], samples.random_texts(52, 40, [])
    yield "words", {"set": {**file, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}},
                    "model": {"end_of_word_suffix": None}, "config": {"clean_up_tokenization_spaces": True}}, EDGES[:20], samples.random_texts(53, 30, [])


def text_of(t):
    if isinstance(t, dict):
        return "".join("a" + chr(c) + " " for c in range(t["codes"][0], t["codes"][1] + 1) if not 0xD800 <= c < 0xE000)
    return t


def repeated(t):
    """A long text of one unit, written short."""
    for size in range(1, 30):
        if isinstance(t, str) and len(t) > 200 and t == t[:size] * (len(t) // size):
            return {"repeat": [[t[:size], len(t) // size]]}
    return t


def clean(root, s):
    suffix = root["model"].get("end_of_word_suffix")
    if suffix and (root["decoder"] or {}).get("type") == "ByteLevel":
        return s.replace(suffix, " ").strip()  # transformers' CLIPTokenizer
    return s


def encoded(t, text, places):
    e = t.encode(text)
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    row = {"i": e.ids}
    if places:
        row["o"] = [x for (a, b), special in zip(e.offsets, e.special_tokens_mask) for x in ((-1, -1) if special else (at[a], at[b]))]
    return row


def decoded(t, root, ids):
    return {"k": clean(root, t.decode(ids, skip_special_tokens=False)), "s": clean(root, t.decode(ids, skip_special_tokens=True))}


def fnv(data, h=0xCBF29CE484222325):
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def hashed(row):
    places = row.get("o", [0] * (2 * len(row["i"])))
    data = b"".join(struct.pack("<iii", i, places[2 * k], places[2 * k + 1]) for k, i in enumerate(row["i"]))
    return {"h": f"{fnv(data + row['k'].encode() + bytes([255]) + row['s'].encode()):016x}"}


def random_ids(rng, t, root, count):
    size = max(t.get_vocab().values()) + 1
    some = [t.token_to_id(b) for b in BYTES if t.token_to_id(b) is not None]
    named = [a["id"] for a in root["added_tokens"]]
    utf8 = "aé中😀".encode()
    for _ in range(count):
        ids = []
        for _ in range(rng.randrange(14)):
            kind = rng.random()
            if kind < 0.3 and some:
                ids.append(rng.choice(some))
            elif kind < 0.45 and some:
                first = rng.randrange(len(utf8))
                ids += [t.token_to_id(BYTES[b]) for b in utf8[first : first + rng.randrange(1, 5)] if t.token_to_id(BYTES[b]) is not None]
            elif kind < 0.55 and named:
                ids.append(rng.choice(named))
            else:
                ids.append(rng.randrange(size + 3))
        yield ids


def write_variant(f, base, root, name, spec, full, short, args):
    root = {**root, **spec.get("set", {})}
    root["model"] = {**root["model"], **spec.get("model", {})}
    root["model"]["vocab"] = {k + "?" * (k in spec.get("rename", [])): v for k, v in root["model"]["vocab"].items()}
    t = Tokenizer.from_str(json.dumps(root))
    places = spec.get("places", True)
    rng = random.Random(41)
    write = lambda row: f.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    write({"variant": name, "base": base, **spec})
    names = [a["content"] for a in root["added_tokens"]]
    if args.count:
        full, short = samples.random_texts(args.seed, args.count, names + ["▁", "▁▁", "  ", "\n", "'s"]), []
        long = random.Random(args.seed + 1)
        full += ["".join(samples.random_texts(long.randrange(1 << 30), 80, names))[:5000] for _ in range(args.count // 2000)]
    for text in full:
        row = encoded(t, text, places)
        write({"t": text, **row, **decoded(t, root, row["i"])})
    for text in short:
        row = encoded(t, text_of(text), places)
        row.update(decoded(t, root, row["i"]))
        write({"t": repeated(text), **hashed(row)})
    for ids in random_ids(rng, t, root, args.count or (40 if name in ("llama", "always", "clip", "prefix") else 6)):
        write({"i": ids, **decoded(t, root, ids)})


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out")
    p.add_argument("--train", action="store_true")
    p.add_argument("--count", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--bases", help="folder of the three tokenizers, if not OUT_FOLDER")
    p.add_argument("--only", nargs="+", help="variants")
    args = p.parse_args()
    print(f"tokenizers {tokenizers.__version__}, Python {sys.version.split()[0]}, Unicode {unicodedata.unidata_version}")
    os.makedirs(args.out, exist_ok=True)
    if args.train:
        train(args.out)
    bases = {}
    for name in ("llama", "clip", "prefix"):
        with open(os.path.join(args.bases or args.out, name + ".json"), encoding="utf-8") as f:
            bases[name] = json.load(f)
    variants = {"llama": llama_variants, "clip": clip_variants, "prefix": prefix_variants}
    with open(os.path.join(args.out, "vectors.jsonl"), "w", encoding="utf-8") as f:
        for base, make in variants.items():
            for name, *spec in make(bases[base]):
                if args.only and name not in args.only:
                    continue
                write_variant(f, base, bases[base], name, *spec, args)


main()
