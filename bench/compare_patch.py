"""Activation patching of one sample on blip-vqa-base shapes, every layer, row and head of self- and cross-attention
(2,592 runs for a question of nine rows), against single forward passes of PyTorch: the ratio that must hold, the one
that is aimed at, and the one measured. Forward passes and whole fovea processes alternate, so that both see the machine
in the same state. On a busy machine --cpu compares processor seconds of one thread each instead of the clock's.

    python bench/compare_patch.py MODEL --image CLEAN --corrupt-image OTHER
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

from compare_blip import HERE, Forward

MUST, AIM = 30.0, 18.0


def child_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def process_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model")
    arguments.add_argument("--image", required=True)
    arguments.add_argument("--corrupt-image", required=True)
    arguments.add_argument("--question", default="what is the color of the shirt")
    arguments.add_argument("--fovea", default=os.path.join(HERE, "..", "build", "fovea"))
    arguments.add_argument("--python", default=sys.executable)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--cpu", action="store_true")
    a = arguments.parse_args()
    if a.cpu:
        a.threads = 1
    wall = Forward(a)

    def forward():
        if not a.cpu:
            return wall()
        before = process_seconds(wall.process.pid)
        wall()
        return process_seconds(wall.process.pid) - before

    clock = child_seconds if a.cpu else time.perf_counter
    command = [a.fovea, "patch", a.model, "--image", a.image, "--corrupt-image", a.corrupt_image, "--question", a.question,
               "--correct", "red", "--incorrect", "green", "--site", "text_encoder.*.attn.z", "--site",
               "text_encoder.*.cross.z", "--heads", "each", "--threads", str(a.threads), "--show", "never"]
    ratios, ours, theirs = [], [], []
    for i in range(a.repeat + 1):
        before = [forward() for _ in range(3)]
        started = clock()
        runs = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        took = clock() - started
        single = statistics.mean(before + [forward() for _ in range(3)])
        if i == 0:
            continue  # the first fills the file cache
        ours.append(took)
        theirs.append(single)
        ratios.append(took / single)
        print(f"  {took:.2f} s, a forward pass {single:.3f} s: {ratios[-1]:.1f}", flush=True)
    wall.process.kill()
    print(next(line for line in runs.splitlines() if " runs," in line))
    ratio = statistics.median(ratios)
    print(f"{'processor seconds of one thread: ' if a.cpu else ''}whole process over one PyTorch forward pass: must {MUST:.0f}, aim {AIM:.0f}, measured {ratio:.1f} "
          f"({statistics.median(ours):.2f} s over {statistics.median(theirs):.3f} s)")
    return ratio > MUST


if __name__ == "__main__":
    sys.exit(main())
