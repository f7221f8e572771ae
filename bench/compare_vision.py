"""fovea against PyTorch on ViT-B/16 and CLIP-L/14-336 shapes: ratios measured in one run, with what is required.

fovea and PyTorch keep their models open and take turns, so that both see the machine in the same state. See
bench/README.md for the models and the virtual environment.
"""

import argparse
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LAYERS, ROWS = 12, 197


class Server:
    """A process that answers one line per line."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        self.ready = self.process.stdout.readline().strip()
        if not self.ready.startswith("ready"):
            sys.exit(f"did not start: {' '.join(command)}")
        self.ready = self.ready[len("ready "):]

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return [float(x) for x in self.process.stdout.readline().split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def row(name, ours, against, theirs, ratio, must, aim):
    verdict = "good" if ratio >= aim else "enough" if ratio >= must else "MISSED"
    print(f"{name:34} {ours:9.3f} s  {against:34} {theirs:9.3f}   {ratio:6.2f} {must:8.2f} {aim:6.2f}  {verdict}", flush=True)


def compare(a, model, name, text, sweep):
    common = [model, "--image", a.image, "--threads", str(a.threads), *text]
    fovea = Server([os.path.join(a.build, "bench", "bench_vision"), *common])
    rivals = {kind: Server([a.python, os.path.join(HERE, "rivals", "vision.py"), *common, "--attention", kind])
              for kind in ("eager", "sdpa")}
    print(f"\n{name}: {fovea.ready}; {rivals['eager'].ready}; load {os.getloadavg()[0]:.1f}")
    print(f"{'':34} {'fovea':>9}    {'against':34} {'':9}   {'ratio':>6} {'must >=':>8} {'aim':>6}")
    ours, rates, theirs, flops = [], [], {kind: [] for kind in rivals}, 0
    for _ in range(a.repeat):
        rates.append(fovea("rate")[0])
        seconds, flops, _ = fovea("forward")
        ours.append(seconds)
        for kind, rival in rivals.items():
            rival("forward")
            theirs[kind].append(rival("forward")[0])
    best = min(ours)
    row("forward", best, "PyTorch eager", min(theirs["eager"]), min(theirs["eager"]) / best, 1.0, 1.0)
    row("forward", best, "PyTorch sdpa (for information)", min(theirs["sdpa"]), min(theirs["sdpa"]) / best, 0.0, 1.0)
    least = flops / max(rates)
    row("forward", best, f"counted work at {max(rates) / 1e9:.0f} Gflop/s", least, least / best, 0.0, 0.8)
    if sweep:
        cells = [(5 * i % LAYERS, 31 * i % ROWS) for i in range(a.cells)]
        hooked = [rivals["eager"](f"restore {l} {r}")[0] for l, r in cells[: len(cells) // 2]]
        seconds, flops, runs = fovea("sweep")
        hooked += [rivals["eager"](f"restore {l} {r}")[0] for l, r in cells[len(cells) // 2:]]
        rate = max(rates + [fovea("rate")[0]])
        whole = statistics.median(hooked) * LAYERS * ROWS
        row(f"restore sweep, {int(runs)} runs", seconds, f"PyTorch with hooks, {LAYERS * ROWS} x 1", whole, whole / seconds, 3.0, 3.0)
        row(f"restore sweep, {int(runs)} runs", seconds, f"counted work at {rate / 1e9:.0f} Gflop/s", flops / rate, flops / rate / seconds, 0.0, 0.8)
    fovea.close()
    for rival in rivals.values():
        rival.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--vit", help="the folder that make_random vit-base wrote")
    arguments.add_argument("--clip", help="the folder that make_random clip-l-336 wrote")
    arguments.add_argument("--image", required=True)
    arguments.add_argument("--build", default=os.path.join(HERE, "..", "build"))
    arguments.add_argument("--python", default=sys.executable)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--repeat", type=int, default=10)
    arguments.add_argument("--cells", type=int, default=12, metavar="N", help="restores timed in PyTorch")
    arguments.add_argument("--no-sweep", action="store_true")
    a = arguments.parse_args()
    print("command:", " ".join(sys.argv))
    if a.vit:
        compare(a, a.vit, "ViT-B/16", [], not a.no_sweep)
    if a.clip:
        compare(a, a.clip, "CLIP-L/14-336, one text", ["--prompt", "a"], False)


if __name__ == "__main__":
    main()
