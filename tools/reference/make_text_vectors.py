#!/usr/bin/env python3
"""Writes tests/data/text/: a small WordPiece tokenizer and what the tokenizers library makes of many strings with it.

usage: make_text_vectors.py [--train] [--vectors-only] OUT_FOLDER

tokenizer.json    a BERT tokenizer of about 3,000 pieces, trained here on the text of Python's own manual and on the
                  sentences of text_samples.py; only written with --train, otherwise the one that is there is used
vectors.jsonl     one object per line. {"variant", ...} starts a variant of the tokenizer: "set" replaces top-level keys
                  of tokenizer.json, "files" are further files of the folder, "vocab_txt" says that the folder has a
                  vocab.txt in place of the tokenizer.json: its pieces in order, the lines "insert" before line
                  "at", each but the last ended by "newline", the last too if "final". Then the strings: "t" text, "i" ids, "o" first and last byte
                  of each token (-1 -1 for those of the post-processor; absent where the library stretches them, see
                  below), "k" decoded, "s" decoded without special tokens. Lines without "t" are decoded only.
code_points.txt   for each block of code points, hashes of what becomes of each of them between two letters (a word
                  list, four settings of the normalizer), and of whether it is a word character for single_word

Decoding includes transformers' clean-up unless the variant's tokenizer_config.json says no. "o" is left out where
canonical ordering moves a mark that accent stripping keeps: the library then gives the token a neighbour's bytes.
"""
import argparse
import json
import os
import pydoc_data.topics
import random
import sys
import tempfile
import unicodedata

import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import text_samples as samples

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
EXTRA_LETTERS = "αβγδεζηθικλμνξοπρστυφχψωςабвгдежзийклмнопрстуфхцчшщъыьэюяьєіїابتثجحخدذرزسشصضطظعغفقكلمنهويאבגדהוזחטיכלמנסעפצקרשתךםןףץ"


def train(path):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    text = [s for topic in pydoc_data.topics.topics.values() for s in topic.split("\n")]
    text += samples.SENTENCES * 3 + samples.WORDS * 3 + list(EXTRA_LETTERS) * 5 + ["x" + c for c in EXTRA_LETTERS] * 5
    text += [chr(c) for c in range(33, 127)] + ["x" + chr(c) for c in range(97, 123)] * 5
    t.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=3000, special_tokens=SPECIAL, show_progress=False))
    ids = {s: t.token_to_id(s) for s in SPECIAL}
    t.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])])
    t.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(json.loads(t.to_str()), f, ensure_ascii=False, separators=(",", ":"))


def number(vocab, tokens):
    """Ids as the library gives them: the vocabulary's, or the next one behind it."""
    free = len(vocab)
    for token in tokens:
        token["id"] = vocab.get(token["content"], free)
        free += token["id"] == free
    return tokens


def added(content, **flags):
    token = dict(content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    token.update(flags)
    return token


def bert(clean, chinese, strip, lower):
    return dict(type="BertNormalizer", clean_text=clean, handle_chinese_chars=chinese, strip_accents=strip, lowercase=lower)


def pieces(base):
    return sorted(base["model"]["vocab"], key=base["model"]["vocab"].get)


def variants(base):
    flags = base["added_tokens"] + number(base["model"]["vocab"], [
        added("foo bar"), added("FOO", normalized=True, single_word=True), added("<x>", lstrip=True, rstrip=True, special=True),
        added("<l>", lstrip=True), added("<r>", rstrip=True), added("Ünï Q", normalized=True, special=True), added("ab"),
        added("abc"), added("abcde"), added("bcd"), added("w", single_word=True),
        added("\u00c9", single_word=True, normalized=True), added(" z", rstrip=True), added("中国", normalized=True),
        added("x do not y ' z"), added("<|user|>", rstrip=True, special=True), added(" y", lstrip=True)])
    strings = ["foo bar", "foo barfoo bar", "foofoo", "a FOO b", "foo, FOO! Foo", "foo\u0301 o", "a <x> b", "a<x>b", " \n<x>\u3000\t<x> ",
               "a  <l>  b", "a  <r>  b", "<r>  <l>", "<r>  <x>  <l>  ", "ünï q UNI Q ÜNÏ Q", "ab abc abcd abcde abcdex bcd xbcd",
               "w wow w, w_ _w w1 éw w\u0301 \u0301w w\u200d w\u00b7", "é É e e\u0301 aé éa", "a z  b z z", "<r>  z", "<r>   y x  y", "中国 中 国 x中国y", "<|user|>\n\nhi <|user|>",
               "[MASK]foo bar[MASK]", "x do not y ' z", "w\U00010d4aw w\U0002ebf0 w\u19b0 w", "fo\u00ado bar", "FO\u00adO"]
    contents = [a["content"] for a in flags]
    lines = pieces(base)
    odd = {"insert": ["twice", "  lead", "trail \u00a0", "", "twice", "\ufeffbom"], "at": 40, "newline": "\r\n", "final": False}
    yield "uncased", {}, samples.SENTENCES + samples.EDGES + samples.random_texts(11, 230, SPECIAL)
    yield "cased", {"set": {"normalizer": bert(True, True, None, False)}}, samples.SENTENCES + samples.random_texts(12, 60, SPECIAL)
    yield "accents kept", {"set": {"normalizer": bert(False, False, False, True)}}, samples.SENTENCES + samples.random_texts(13, 60, SPECIAL)
    yield "added tokens", {"set": {"added_tokens": flags}}, strings + samples.random_texts(14, 120, contents)
    yield "nothing but the model", {"set": {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None,
                                            "added_tokens": []}}, ["what", "what is", "the", "zzz"] + lines[200:230]
    yield "BertProcessing, no clean-up", {
        "set": {"post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
                "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False}, "padding": {"strategy": {"Fixed": 64},
                "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
                "truncation": {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}},
        "files": {"tokenizer_config.json": {"clean_up_tokenization_spaces": False}}}, samples.SENTENCES[:8] + samples.random_texts(15, 20, SPECIAL)
    yield "odd template", {"set": {"post_processor": {"type": "TemplateProcessing", "pair": [], "single": [
        {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "x", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 1}}],
        "special_tokens": {"x": {"id": "x", "ids": [4, 3, 4], "tokens": ["a", "b", "c"]}}}}}, ["", "the man's", "[CLS] what?"]
    yield "tokenizer_config.json against tokenizer.json", {
        "files": {"tokenizer_config.json": {"do_lower_case": False, "strip_accents": None, "tokenize_chinese_chars": False}}
    }, samples.SENTENCES + samples.random_texts(18, 20, SPECIAL)
    yield "vocab.txt", {"vocab_txt": {"insert": [], "at": 0, "newline": "\n", "final": True}}, samples.SENTENCES[:12] + samples.random_texts(16, 30, SPECIAL)
    yield "vocab.txt, cased, odd lines", {
        "vocab_txt": odd, "files": {"tokenizer_config.json": {"do_lower_case": False, "strip_accents": True,
                                                                              "tokenize_chinese_chars": False}}}, samples.SENTENCES + ["twice trail bom"]
    yield "vocab.txt, named tokens", {
        "vocab_txt": {"insert": [], "at": 0, "newline": "\n", "final": False}, "files": {
            "tokenizer_config.json": {"bos_token": "[DEC]", "cls_token": "[MASK]", "sep_token": {"__type": "AddedToken", "content": "<sep>",
                                      "lstrip": True, "rstrip": False, "single_word": False, "normalized": False},
                                      "additional_special_tokens": ["[ENC]"], "clean_up_tokenization_spaces": True}}
    }, samples.SENTENCES[:3] + ["a [DEC] b <sep> [ENC]c [CLS] [SEP] [MASK]", "[dec]"]


def write_folder(folder, base, spec):
    if "vocab_txt" in spec:
        with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8", newline="") as f:
            how = spec["vocab_txt"]
            lines = pieces(base)
            lines[how["at"] : how["at"]] = how["insert"]
            f.write(how["newline"].join(lines) + (how["newline"] if how["final"] else ""))
    else:
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
            json.dump({**base, **spec.get("set", {})}, f)
    for name, content in spec.get("files", {}).items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(content, f)


def load(folder, spec):
    # Only transformers reads do_lower_case; but it rebuilds the other parts from BERT's defaults.
    if "vocab_txt" in spec or "do_lower_case" in spec.get("files", {}).get("tokenizer_config.json", {}):
        t = transformers.BertTokenizer.from_pretrained(folder).backend_tokenizer
    else:
        t = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    t.no_padding()
    t.no_truncation()
    return t


def offsets(text, encoding):
    if any(unicodedata.combining(c) and unicodedata.category(c) != "Mn" for c in unicodedata.normalize("NFD", text)):
        return {}
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    out = []
    for (a, b), special in zip(encoding.offsets, encoding.special_tokens_mask):
        out += [-1, -1] if special else [at[a], at[b]]
    return {"o": out}


def decoded(t, ids, clean):
    texts = [t.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
    if clean:
        texts = [transformers.PreTrainedTokenizerBase.clean_up_tokenization(None, s) for s in texts]
    return {"k": texts[0], "s": texts[1]}


def write_vectors(path, base):
    rng = random.Random(17)
    with open(path, "w", encoding="utf-8") as f:
        for name, spec, texts in variants(base):
            f.write(json.dumps({"variant": name, **spec}, ensure_ascii=False, separators=(",", ":")) + "\n")
            with tempfile.TemporaryDirectory() as folder:
                write_folder(folder, base, spec)
                t = load(folder, spec)
            clean = spec.get("files", {}).get("tokenizer_config.json", {}).get("clean_up_tokenization_spaces", True)
            lists = []
            for text in texts:
                e = t.encode(text)
                lists.append({"t": text, "i": e.ids, **offsets(text, e)})
            size = max(t.get_vocab().values()) + 1
            words = [t.token_to_id(w) for w in "' . , ! ? n t s re ve m do not the ##s".split() if t.token_to_id(w) is not None]
            for _ in range(20):
                lists.append({"i": [rng.choice(words) if rng.random() < 0.7 else rng.randrange(size + 3) for _ in range(rng.randrange(14))]})
            for row in lists:
                row.update(decoded(t, row["i"], clean))
                f.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def fnv(h, data):
    for b in data:
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def write_code_points(path):
    settings = [(True, True, None, True), (True, True, None, False), (True, False, False, True), (False, False, True, False)]
    norms = [normalizers.BertNormalizer(*s) for s in settings]
    pre = pre_tokenizers.BertPreTokenizer()
    single = Tokenizer(models.WordLevel({"?": 0, "X": 1}, unk_token="?"))
    single.add_tokens([AddedToken("X", single_word=True, normalized=False)])
    start = 0xCBF29CE484222325
    with open(path, "w", encoding="ascii") as f:
        f.write(f"# tokenizers {tokenizers.__version__}; columns: first last, clean chinese strip lower = 1111 1110 1001 0010, word\n")
        first = 0
        while first < 0x110000:
            last = first + (256 if first < 0x20000 else 4096)
            codes = [c for c in range(first, last) if not 0xD800 <= c < 0xE000]
            columns = []
            for norm in norms:
                h = start
                for c in codes:
                    words = pre.pre_tokenize_str(norm.normalize_str("a" + chr(c) + "b"))
                    h = fnv(h, b"".join(w.encode() + b"\0" for w, _ in words) + b"\xff")
                columns.append(h)
            found = single.encode_batch(["X" + chr(c) for c in codes])
            columns.append(fnv(start, bytes(48 + (len(e.ids) == 1) for e in found)))
            if codes:
                f.write(f"{first:X} {last - 1:X} " + " ".join(f"{h:016x}" for h in columns) + "\n")
            first = last


def main():
    p = argparse.ArgumentParser()
    p.add_argument("out")
    p.add_argument("--train", action="store_true")
    p.add_argument("--vectors-only", action="store_true", help="leave code_points.txt as it is")
    args = p.parse_args()
    print(f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}, Python {sys.version.split()[0]}")
    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, "tokenizer.json")
    if args.train:
        train(path)
    with open(path, encoding="utf-8") as f:
        base = json.load(f)
    write_vectors(os.path.join(args.out, "vectors.jsonl"), base)
    if not args.vectors_only:
        write_code_points(os.path.join(args.out, "code_points.txt"))


main()
