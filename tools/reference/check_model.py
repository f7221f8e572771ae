"""Runs transformers on any BLIP-VQA checkpoint folder and writes a vectors folder (see README.md) with the sites asked
for, to compare another implementation with. --time N also prints the seconds of N forward passes (image, question, one
decoder row) of the untouched model.

Usage: check_model.py MODEL --image FILE... --question TEXT... --out DIR [--sites PATTERN...] [--threads N] [--time N]

Every image is combined with every question. Patterns are addresses without selectors in which * stands for anything;
the default keeps what is small: '*.resid_post', 'vision.final', 'vision.pixels', '*.embed', 'head.logits'.
"""

import argparse
import time
from pathlib import Path

import torch

from make_blip import FEW
from vectors import Blip, write_case, write_cases


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--image", nargs="+", required=True, type=Path)
    parser.add_argument("--question", nargs="+", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--sites", nargs="+", default=FEW)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--time", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    blip = Blip(args.model)
    args.out.mkdir(parents=True, exist_ok=True)
    entries = []
    for i, image in enumerate(args.image):
        for q, question in enumerate(args.question):
            entry, _ = write_case(blip, args.out, f"image{i}-question{q}", image, question, args.sites)
            entries.append(entry)
            print(entry["name"], entry["ids"], "->", entry["answer"], f"margin {entry['margin']:.3g}")
    print(write_cases(args.out, "check_model.py", entries))
    if args.time:
        pixels, ids = blip.pixels(args.image[0]), entries[0]["ids"]
        seconds, work = [], []
        for _ in range(args.time + 1):
            start, busy = time.perf_counter(), time.process_time()
            blip.sites.plain_logits(pixels, ids)
            seconds.append(time.perf_counter() - start)
            work.append(time.process_time() - busy)
        print(f"forward of {len(ids)} question ids with {args.threads} threads: "
              f"best {min(seconds[1:]):.3f} s of {[f'{s:.3f}' for s in seconds[1:]]}, "
              f"least processor time {min(work[1:]):.3f} s")


if __name__ == "__main__":
    main()
