"""Writes tests/data/report/trace.npz with NumPy's savez: one small causal trace under ROME's key names."""
import sys

import numpy as np

print("numpy", np.__version__, file=sys.stderr)
np.savez(
    sys.argv[1],
    scores=np.array([[0.25, 0.5, 0.125], [0.1, 0.2, 1.0]], dtype=np.float32),
    low_score=0.0625,
    high_score=0.75,
    input_ids=np.array([101, 2417]),
    input_tokens=["[CLS]", "\u2581r\u00f8d\U0001f600"],
    subject_range=(1, 2),
    answer="red",
    window=10,
    correct_prediction=True,
    kind="",
)
