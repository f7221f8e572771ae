"""Writes a random checkpoint with the exact shapes of Salesforce/blip-vqa-base (361 million parameters, the tied head
counted once), for benchmarks and for comparing full-size runs. Activations are of order one. The logits depend strongly
on the image and only slightly on the question, as random weights have it. The vocabulary is synthetic unless --vocab
gives a bert-base-uncased vocab.txt.

Usage: make_full_blip.py --out DIR [--dtype f32|f16] [--seed N] [--vocab FILE]
"""

import argparse
import shutil
from pathlib import Path

import torch
from transformers import BertTokenizerFast, BlipConfig, BlipForQuestionAnswering

from make_blip import PIECES, WORDS, preprocessor, randomize

VOCABULARY = 30522


def synthetic_vocabulary():
    """The special tokens at their places in bert-base-uncased, single characters, the words of the tiny models, filler."""
    at = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    tokens = [at.get(i, f"[unused{i - 1 if i < 100 else i - 5}]") for i in range(999)]
    characters = [chr(c) for c in range(33, 127) if not chr(c).isupper()]
    tokens += characters + WORDS + ["##" + c for c in characters if c.isalnum()] + PIECES
    tokens += [f"word{i}" for i in range(VOCABULARY - len(tokens))]
    tokens = list(dict.fromkeys(tokens))
    return tokens + [f"more{i}" for i in range(VOCABULARY - len(tokens))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--dtype", choices=["f32", "f16"], default="f32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vocab", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    config = BlipConfig(
        text_config=dict(num_attention_heads=12, vocab_size=VOCABULARY + 2, bos_token_id=30522, eos_token_id=2,
                         pad_token_id=0, sep_token_id=102),
        vision_config=dict(layer_norm_eps=1e-5))
    model = BlipForQuestionAnswering(config)
    randomize(model, args.seed, separator=102)
    print(sum(p.numel() for p in model.parameters()), "parameters")
    model.to({"f32": torch.float32, "f16": torch.float16}[args.dtype]).save_pretrained(args.out, max_shard_size="10GB")
    (args.out / "generation_config.json").unlink(missing_ok=True)
    if args.vocab:
        shutil.copyfile(args.vocab, args.out / "vocab.txt")
    else:
        (args.out / "vocab.txt").write_text("\n".join(synthetic_vocabulary()) + "\n")
    vocab = (args.out / "vocab.txt").read_text().split("\n")[:-1]
    assert len(vocab) == VOCABULARY and vocab[100:104] == ["[UNK]", "[CLS]", "[SEP]", "[MASK]"], "not bert-base-uncased"
    ids = {token: i for i, token in enumerate(vocab)}
    BertTokenizerFast(vocab=ids, do_lower_case=True, model_max_length=512).save_pretrained(args.out)
    (args.out / "preprocessor_config.json").write_text(preprocessor(384))


if __name__ == "__main__":
    main()
