"""Writes tests/data/report/zoom.json: small maps enlarged by scipy.ndimage.zoom (order 3), as float64.

Usage: make_zoom.py [OUTPUT]
"""

import json
import pathlib
import platform
import sys

import numpy as np
import scipy
import scipy.ndimage

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/report/zoom.json"


def main():
    made = {"script": "make_zoom.py", "python": platform.python_version(), "numpy": np.__version__,
            "scipy": scipy.__version__}
    print(made)
    g = np.random.RandomState(8)
    cases = []
    for rows, cols, factor in ((2, 2, 4), (3, 5, 2), (6, 4, 3), (9, 2, 2.5), (1, 4, 3), (5, 5, 0.6)):
        x = g.normal(0, 1, (rows, cols)).round(3)
        y = scipy.ndimage.zoom(x, factor, order=3)
        cases.append({"in": x.tolist(), "out": y.tolist()})
    # The middle rows of a picture of patches as large as BLIP's: 24 x 24 patches of 16 x 16 pixels.
    x = g.rand(24, 24).round(3)
    y = scipy.ndimage.zoom(x, 16)
    assert y.shape == (384, 384)
    cases.append({"in": x.tolist(), "rows": 384, "cols": 384, "samples":
                  [[r, c, y[r, c]] for r, c in ((0, 0), (0, 383), (383, 0), (383, 383), (7, 200), (191, 192), (100, 3))]})
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    body = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    out.write_text(f'{{"made":{json.dumps(made)},\n"cases":[\n{body}]}}\n')


main()
