"""Writes tests/data/random/vectors.json: random streams as numpy and torch produce them.

A case is one generator ("torch" or "numpy"), its seed (an integer, or a list for RandomState(list)) and the calls made
on it in order. A call is {"fn", its arguments, "n"} with the float32 results as "hex" (all of them, n <= 64), or as
"sha256" of the little-endian bytes with "head" and "tail" of 16 values. fn is normal, uniform, word (hex of uint32) or
double (hex of float64). numpy results are computed in float64 and rounded to float32.

Run on a processor with AVX2 or AVX-512: torch's normals differ without (--allow-plain overrides).
Usage: make_random_vectors.py [OUTPUT]
"""

import hashlib
import json
import pathlib
import platform
import struct
import sys

import numpy as np
import torch

NOISE = 577 * 768


def words(array):
    return [f"{w:08x}" for w in np.ascontiguousarray(array, np.float32).view(np.uint32).ravel()]


def store(call, array):
    array = np.ascontiguousarray(array, np.float32).ravel()
    assert array.size == call["n"]
    if array.size <= 64:
        call["hex"] = words(array)
    else:
        call["sha256"] = hashlib.sha256(array.astype("<f4").tobytes()).hexdigest()
        call["head"] = words(array[:16])
        call["tail"] = words(array[-16:])
    return call


class Torch:
    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)

    def normal(self, mean, std, n):
        return torch.normal(mean, std, (n,), generator=self.g).numpy()

    def uniform(self, lo, hi, n):
        if (lo, hi) == (0.0, 1.0):
            return torch.rand(n, generator=self.g).numpy()
        return torch.empty(n).uniform_(lo, hi, generator=self.g).numpy()

    def double(self, n):
        return torch.rand(n, dtype=torch.float64, generator=self.g).numpy()


class Numpy:
    def __init__(self, seed):
        self.g = np.random.RandomState(seed)

    def normal(self, mean, std, n):
        return (self.g.randn(n) * std + mean).astype(np.float32)

    def uniform(self, lo, hi, n):
        return self.g.uniform(lo, hi, n).astype(np.float32)

    def double(self, n):
        return self.g.random_sample(n)

    def word(self, n):
        return self.g.randint(0, 2**32, n, dtype=np.uint32)


def case(name, rng, seed, calls):
    g = {"torch": Torch, "numpy": Numpy}[rng](seed)
    out = []
    for fn, *args in calls:
        call = {"fn": fn, "n": args[-1]}
        if fn in ("normal", "uniform"):
            call["args"] = args[:2]
            store(call, getattr(g, fn)(*args))
        elif fn == "double":
            call["hex"] = [struct.pack(">d", v).hex() for v in g.double(args[0])]
        else:
            call["hex"] = [f"{w:08x}" for w in g.word(args[0])]
        out.append(call)
    return {"name": name, "rng": rng, "seed": seed, "calls": out}


def cancelled(seed):
    """mean = -(first normal * std): what is left shows whether the serial path multiplies and adds in one rounding."""
    std = 1.2345678901234
    value = torch.empty(1, dtype=torch.float64).normal_(generator=torch.Generator().manual_seed(seed)).item()
    return -(value * std), std


def main():
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512") and "--allow-plain" not in sys.argv:
        sys.exit("this processor has no AVX2; torch's normals would differ")
    cases = []
    every_size = [("normal", 0.0, 1.0, n) for n in range(1, 41)]
    for seed in (0, 1, 42, 123, 2**31, -1):
        cases.append(case("each size", "torch", seed, every_size))
        cases.append(case("vision noise", "torch", seed, [("normal", 1.0, 5.0, NOISE)] * 3))
        cases.append(case("uniforms", "torch", seed, [("uniform", 0.0, 1.0, 40), ("uniform", -0.3, 0.3, 64),
                                                      ("uniform", 0.0, 1.0, NOISE), ("uniform", -2.5, 7.1, NOISE)]))
        if seed >= 0:
            cases.append(case("each size", "numpy", seed, every_size))
            cases.append(case("vision noise", "numpy", seed, [("normal", 1.0, 5.0, NOISE)] * 3))
            cases.append(case("uniforms", "numpy", seed, [("uniform", -1.0, 1.0, 40), ("uniform", 0.0, 1.0, NOISE)]))
    for seed in (0, 1, 42, 2**32 - 1, 7):
        mixed = [("normal", 0.0, 1.0, 5), ("normal", 0.5, 2.0, 20), ("normal", 0.0, 1.0, 3), ("uniform", 0.0, 1.0, 7),
                 ("normal", -1.5, 0.25, 1), ("normal", 0.0, 1.0, 16), ("normal", 3.0, 1e-3, 1), ("double", 5),
                 ("normal", 0.0, 1e4, 48), ("normal", 0.1, 0.1, 9)]
        cases.append(case("mixed calls", "torch", seed, mixed))
        cases.append(case("mixed calls", "numpy", seed, mixed))
        cases.append(case("cancelled", "torch", seed, [("normal", *cancelled(seed), 4)]))
    cases.append(case("wraps", "torch", 2**32 + 5, [("normal", 0.0, 1.0, 18)]))
    cases.append(case("remainders", "torch", 3, [("normal", 1.0, 5.0, n) for n in (1000, 1001, 1007, 1015, 12345)]))
    cases.append(case("many", "torch", 11, [("normal", 0.0, 1.0, 3_000_003), ("normal", 1.0, 5.0, 3_000_008)]))
    cases.append(case("words", "numpy", 1, [("word", 1300), ("double", 20)]))
    for seed in ([1, 2], [0], [2**32 - 1], list(range(0, 3000, 3)), [7] * 624):
        cases.append(case("sequence", "numpy", seed, [("double", 20), ("normal", 0.0, 1.0, 3)]))
    path = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("--")
                        else pathlib.Path(__file__).parents[2] / "tests/data/random/vectors.json")
    made = {"script": "tools/reference/make_random_vectors.py", "python": platform.python_version(),
            "torch": torch.__version__, "numpy": np.__version__,
            "torch_dispatch": torch.backends.cpu.get_cpu_capability()}
    print(made)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as f:
        f.write('{"made":' + json.dumps(made) + ',\n"cases":[\n')
        f.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases))
        f.write("\n]}\n")
    print(path, path.stat().st_size, "bytes,", len(cases), "cases")


if __name__ == "__main__":
    main()
