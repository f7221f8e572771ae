"""Writes tests/data/study/cifar_*: batches of three CIFAR-10 pictures as pickle writes them in protocols 2, 3 and 4.

Protocol 2 is written as Python 2 did, in which the published files are: the texts and the array's bytes are byte strings
(opcodes U and T), and NumPy's module has its old name. Picture i has the bytes (7 k + 31 i) mod 256, its label is 3 i. gzip keeps them small in the
repository; the test unpacks them.

Usage: make_data_cifar.py [FOLDER]
"""

import gzip
import io
import pathlib
import pickle
import struct
import sys

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests/data/study"
N = 3


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


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    data = (7 * np.arange(3072) + 31 * np.arange(N)[:, None]).astype(np.uint8)
    batch = {"batch_label": "testing batch 1 of 1", "labels": [0, 3, 6], "data": data,
             "filenames": [f"picture_{i}.png" for i in range(N)]}
    for protocol in (2, 3, 4):
        with gzip.GzipFile(folder / f"cifar_p{protocol}.gz", "wb", mtime=0) as file:
            if protocol == 2:
                plain = io.BytesIO()
                Python2(plain, 2).dump(batch)
                file.write(plain.getvalue().replace(b"numpy._core.", b"numpy.core."))
            else:
                pickle.dump(batch, file, protocol)
    print("numpy", np.__version__, sys.version.split()[0])


if __name__ == "__main__":
    main()
