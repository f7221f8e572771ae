"""fovea against PyTorch and pyvene on blip-vqa-base shapes: ratios measured in one run.

Forward passes of PyTorch and whole processes of fovea alternate, so that both see the machine in the same state. Needs
a virtual environment with torch and transformers (and pyvene for --pyvene); see bench/README.md.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class Forward:
    """A PyTorch process that times one forward pass on request."""

    def __init__(self, a):
        command = [a.python, os.path.join(HERE, "rivals", "blip.py"), a.model, "--image", a.image, "--threads", str(a.threads), "--serve"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        if self.process.stdout.readline().strip() != "ready":
            sys.exit("the PyTorch process did not start; is the virtual environment right?")

    def __call__(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def workloads(a, folder):
    common = ["--image", a.image, "--threads", str(a.threads)]
    sweep = ["--corrupt", f"question:{a.other}", "--restore", "text_encoder.*.resid_post"]
    noise = []
    for level in ("0.1", "0.5", "1", "2", "5", "10", "20"):
        noise += ["--corrupt", f"add-gauss:std={level}@text_encoder.embed"]
    csv = os.path.join(folder, "out.csv")
    return {
        "open to first answer": ["ask", a.model, *common, "--question", a.question, "--generate", "1"],
        "interchange sweep, 108 restores": ["trace", a.model, *common, "--question", a.question, *sweep, "--csv", csv],
        "seven noise levels x 108": ["trace", a.model, *common, "--question", a.other, *noise, "--draws", "1",
                                     "--restore", "text_encoder.*.resid_post", "--csv", csv],
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model")
    arguments.add_argument("--image", required=True)
    arguments.add_argument("--question", default="what is the color of the shirt")
    arguments.add_argument("--other", default="what is the shirt of the color")
    arguments.add_argument("--fovea", default=os.path.join(HERE, "..", "build", "fovea"))
    arguments.add_argument("--python", default=sys.executable)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--repeat", type=int, default=5)
    arguments.add_argument("--pyvene", type=int, default=0, metavar="CELLS")
    a = arguments.parse_args()
    forward = Forward(a)
    print(f"{'workload':34} {'fovea s':>9} {'forward s':>10} {'ratio':>7} {'min..max':>14} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name, command in workloads(a, folder).items():
            ratios, ours, theirs = [], [], []
            for i in range(a.repeat + 1):
                theirs_now = min(forward(), forward())
                started = time.perf_counter()
                subprocess.run([a.fovea, *command], check=True, stdout=subprocess.DEVNULL)
                took = time.perf_counter() - started
                if i == 0:
                    continue  # the first fills the file cache
                ours.append(took)
                theirs.append(theirs_now)
                ratios.append(took / theirs_now)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"{name:34} {statistics.median(ours):9.3f} {statistics.median(theirs):10.3f} {statistics.median(ratios):7.2f} "
                  f"{min(ratios):6.2f}..{max(ratios):6.2f} {peak:9.0f}", flush=True)
    forward.process.kill()
    print("ratio: whole fovea process over one PyTorch forward pass. Peak memory is the largest fovea process so far.")
    if a.pyvene:
        command = [a.python, os.path.join(HERE, "rivals", "blip.py"), a.model, "--image", a.image, "--threads", str(a.threads), "--pyvene", str(a.pyvene)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


if __name__ == "__main__":
    main()
