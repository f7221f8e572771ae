"""Writes tests/data/study/cifar_*: batches of three CIFAR-10 pictures as pickle writes them, and seeds of fuzz/corpus/cifar.

cifar_python2: as Python 2 wrote the published files, in protocol 2: texts and the array's bytes are byte strings (opcodes U
and T), and NumPy's module has its old name. cifar_str_pN, cifar_bytes_pN: pickled anew by Python 3 in protocol N, with the keys
and names as texts (loaded with encoding="latin1") or as bytes (encoding="bytes"). Picture i has the bytes (7 k + 31 i) mod 256,
its label is 3 i. gzip keeps them small in the repository; the test unpacks them. The seeds are batches of one picture.

Usage: make_data_cifar.py [FOLDER [CORPUS]]
"""

import gzip
import io
import pathlib
import pickle
import struct
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Python2(pickle._Pickler):
    """Byte strings and texts as Python 2's str."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_text(self, value):
        data = value.encode("latin-1") if isinstance(value, str) else value
        head = b"U" + bytes([len(data)]) if len(data) < 256 else b"T" + struct.pack("<i", len(data))
        self.write(head + data)
        self.memoize(value)

    dispatch[str] = save_text
    dispatch[bytes] = save_text


def batch(n, text=str):
    data = (7 * np.arange(3072) + 31 * np.arange(n)[:, None]).astype(np.uint8)
    return {text("batch_label"): text("testing batch 1 of 1"), text("labels"): [3 * i for i in range(n)],
            text("data"): data, text("filenames"): [text(f"picture_{i}.png") for i in range(n)]}


def batches(n):
    plain = io.BytesIO()
    Python2(plain, 2).dump(batch(n))
    yield "python2", plain.getvalue().replace(b"numpy._core.", b"numpy.core.")
    for name, text in (("str", str), ("bytes", str.encode)):
        for protocol in (2, 3, 4, 5):
            yield f"{name}_p{protocol}", pickle.dumps(batch(n, text), protocol)


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests/data/study"
    corpus = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "fuzz/corpus/cifar"
    corpus.mkdir(exist_ok=True)
    for name, pickled in batches(3):
        with gzip.GzipFile(folder / f"cifar_{name}.gz", "wb", mtime=0) as file:
            file.write(pickled)
    for name, pickled in batches(1):
        if name in ("python2", "bytes_p2", "str_p4", "bytes_p5"):
            (corpus / name).write_bytes(pickled)
    print("numpy", np.__version__, sys.version.split()[0])


if __name__ == "__main__":
    main()
