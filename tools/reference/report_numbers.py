"""Writes tests/data/report/float32_text.csv: float32 bit patterns and their shortest decimal text by NumPy.

The notation is fovea's: plain for 1e-5 <= |v| < 1e16 and zero, else scientific without "+" and leading zeros.
With a second argument N, prints N random lines instead (for a longer check by hand, piped into a program).
"""
import sys

import numpy as np


def text(v):
    if np.isnan(v):
        return ""
    if np.isinf(v):
        return "inf" if v > 0 else "-inf"
    if v == 0 or np.float32(1e-5) <= abs(v) < 1e16:
        return np.format_float_positional(v, unique=True, trim="-")
    return np.format_float_scientific(v, unique=True, trim="-", exp_digits=1).replace("+", "")


def lines(bits):
    for b, v in zip(bits, bits.view(np.float32)):
        yield f"{b:08x},{text(v)}\n"


def main():
    print("numpy", np.__version__, file=sys.stderr)
    random = np.random.RandomState(20260101)
    if len(sys.argv) > 2:
        bits = random.randint(0, 2**32, int(sys.argv[2]), dtype=np.uint32)
        sys.stdout.writelines(lines(bits))
        return
    special = np.array([0, 0.1, 1, 1e-5, 9.999999e-6, 1e16, 9.999999e15, 16777216, 16777217, 1e-45, 1.1754944e-38,
                        3.4028235e38, np.inf, 0.3, 1 / 3, 123456.7, 5e-7, 1e10, 1e22, 1e23, 0.00012], dtype=np.float32)
    special = np.concatenate([special, -special]).view(np.uint32)
    nan = np.array([0x7FC00000, 0xFFC00001], dtype=np.uint32)
    powers = np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32).view(np.uint32)
    usual = random.uniform(-20, 20, 300).astype(np.float32).view(np.uint32)
    any_bits = random.randint(0, 2**32, 600, dtype=np.uint32)
    denormal = random.randint(1, 2**23, 100, dtype=np.uint32)
    with open(sys.argv[1], "w") as f:
        f.writelines(lines(np.concatenate([special, nan, powers, usual, any_bits, denormal])))


main()
