"""Writes tests/data/experiment/statistics.json: what numpy, scipy and statsmodels say about small arrays.

    bootstrap   scipy.stats.bootstrap, method "percentile", with RandomState(seed): the resamples are
                RandomState(seed).randint(0, n, (resamples, n)); with NaN, numpy.nanmean and numpy.quantile on the same
    quantile    numpy.quantile
    flips       exact: scipy.stats.permutation_test over all signs; otherwise signs from RandomState(seed)'s words
    sign        scipy.stats.binomtest
    fdr         statsmodels.stats.multitest.fdrcorrection, which scipy.stats.false_discovery_control must equal
    overlap     two sets: scipy.stats.hypergeom.sf; more: every combination counted with fractions
    wilson      statsmodels.stats.proportion.proportion_confint
    heads       mean of |value|, its threshold mean + K sd (numpy.std, population) and what reaches it

NaN is written as null. Usage: make_statistics.py [OUTPUT]
"""

import fractions
import itertools
import json
import pathlib
import platform
import sys

import numpy as np
import scipy
import scipy.stats
import statsmodels
from statsmodels.stats.multitest import fdrcorrection
from statsmodels.stats.proportion import proportion_confint

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/experiment/statistics.json"
g = np.random.RandomState(20)


def plain(x):
    return [None if np.isnan(v) else float(v) for v in np.asarray(x, float).ravel()]


def bootstrap():
    cases = []
    for n, resamples, level, seed in ((1, 5, 0.95, 0), (2, 100, 0.95, 3), (37, 1000, 0.95, 1), (64, 999, 0.9, 7)):
        x = g.normal(0.3, 1, n).round(3)
        if n > 1:
            ci = scipy.stats.bootstrap((x,), np.mean, n_resamples=resamples, batch=resamples, confidence_level=level,
                                       method="percentile", vectorized=True,
                                       random_state=np.random.RandomState(seed)).confidence_interval
            low, high = [ci.low], [ci.high]
        else:
            low, high = [x[0]], [x[0]]
        cases.append({"samples": n, "columns": 1, "values": plain(x), "resamples": resamples, "level": level,
                      "seed": seed, "low": plain(low), "high": plain(high)})
    n, columns, resamples, seed = 12, 131, 60, 5  # more columns than one block, with holes, one column empty
    x = g.normal(0, 2, (n, columns)).round(1)
    x[g.rand(n, columns) < 0.6] = np.nan
    x[:, 4] = np.nan
    index = np.random.RandomState(seed).randint(0, n, (resamples, n))
    with np.errstate(all="ignore"):
        sums = np.nansum(x[index], axis=1)
        means = sums / (~np.isnan(x[index])).sum(axis=1)
    low, high = [], []
    for column in means.T:
        kept = column[~np.isnan(column)]
        low.append(np.quantile(kept, 0.025) if kept.size else np.nan)
        high.append(np.quantile(kept, 0.975) if kept.size else np.nan)
    cases.append({"samples": n, "columns": columns, "values": plain(x), "resamples": resamples, "level": 0.95,
                  "seed": seed, "low": plain(low), "high": plain(high)})
    return cases


def quantile():
    cases = []
    for n in (1, 2, 7, 40):
        x = np.sort(g.normal(0, 1, n).round(3))
        q = [0, 0.025, 0.3, 0.5, 0.77, 0.975, 1]
        cases.append({"values": plain(x), "q": q, "is": plain(np.quantile(x, q))})
    return cases


def flips():
    cases = []
    samples = [[1, -1], [1, 2, 3], [0, 0, 0], [0.1, 0.2, 0.3, 0.6, -0.1, 0, 1.1], g.normal(0.5, 1, 9).round(3),
               g.normal(0.2, 1, 12).round(1)]
    for x in samples:
        x = np.asarray(x, float)
        r = scipy.stats.permutation_test((x, np.zeros_like(x)), lambda a, b, axis: np.mean(a - b, axis=axis),
                                         permutation_type="samples", vectorized=True, n_resamples=np.inf)
        cases.append({"values": plain(x), "permutations": 10000, "seed": 0, "exact": True, "p": float(r.pvalue)})
    for n, permutations, seed in ((13, 4000, 2), (32, 999, 4), (33, 1000, 5), (70, 5000, 6)):
        x = g.normal(0.25, 1, n).round(3)
        words = (n + 31) // 32
        bits = np.random.RandomState(seed).randint(0, 2**32, (permutations, words), dtype=np.uint32)
        bits = np.unpackbits(bits.astype("<u4").view(np.uint8).reshape(permutations, -1), axis=1, bitorder="little")[:, :n]
        sums = np.where(bits == 1, -x, x).sum(axis=1)
        k = int((abs(sums) >= abs(x.sum()) - 1e-9).sum())
        cases.append({"values": plain(x), "permutations": permutations, "seed": seed, "exact": False,
                      "p": (k + 1) / (permutations + 1)})
    return cases


def sign():
    cases = []
    for up, down, zero in ((1, 0, 0), (5, 0, 2), (7, 3, 0), (4, 4, 1), (30, 11, 5), (700, 900, 0), (0, 0, 3), (3000, 100, 0)):
        p = scipy.stats.binomtest(up, up + down, 0.5).pvalue if up + down else 1.0
        cases.append({"up": up, "down": down, "zero": zero, "p": float(p)})
    return cases


def fdr():
    cases = []
    for p in ([0.03], [0.01, 0.04, 0.03, 0.005, 0.5], [1, 1, 0.2], g.rand(40).round(4), (g.rand(144) ** 3).round(5),
              [0.01, np.nan, 0.02, np.nan]):
        p = np.asarray(p, float)
        q = np.full(p.shape, np.nan)
        there = ~np.isnan(p)
        q[there] = fdrcorrection(p[there])[1]
        assert np.allclose(q[there], scipy.stats.false_discovery_control(p[there]), rtol=1e-14)
        cases.append({"p": plain(p), "q": plain(q)})
    return cases


def overlap():
    cases = []
    for population, a, b, k in ((144, 12, 9, 3), (144, 9, 12, 3), (144, 0, 5, 0), (10, 7, 8, 5), (10, 7, 8, 6),
                                (1024, 40, 60, 8), (144, 10, 10, 10), (6, 3, 3, 4)):
        cases.append({"population": population, "sizes": [a, b], "overlap": k,
                      "p": float(scipy.stats.hypergeom.sf(k - 1, population, a, b))})
    for population, sizes, k in ((6, (3, 3, 4), 1), (6, (3, 3, 4), 2), (5, (2, 3, 4, 3), 2), (7, (4, 4, 4), 3)):
        total = hits = 0
        first = set(range(sizes[0]))  # by symmetry
        for rest in itertools.product(*(itertools.combinations(range(population), s) for s in sizes[1:])):
            common = set(first)
            for r in rest:
                common &= set(r)
            hits += len(common) >= k
            total += 1
        cases.append({"population": population, "sizes": list(sizes), "overlap": k,
                      "p": float(fractions.Fraction(hits, total))})
    return cases


def wilson():
    cases = []
    for k, n in ((0, 10), (10, 10), (3, 10), (1, 1), (250, 500), (0, 1)):
        low, high = proportion_confint(k, n, 0.05, "wilson")
        cases.append({"share": k / n, "n": n, "low": float(low), "high": float(high)})
    return cases


def heads():
    samples, layers, n = 11, 3, 4
    x = g.normal(0, 0.2, (samples, layers, n)).round(3)
    x[:, 1, 2] += 2
    x[3, 1, 2] = x[5, 0, 0] = np.nan
    x[:, 2, 3] = np.nan
    with np.errstate(all="ignore"):
        importance, mean = np.nanmean(abs(x), axis=0), np.nanmean(x, axis=0)
    out = {"samples": samples, "layers": layers, "heads": n, "values": plain(x)}
    there = importance[~np.isnan(importance)]
    for name, values in (("excluded", there), ("nan_zero", np.mean(abs(np.nan_to_num(x)), axis=0).ravel())):
        threshold = values.mean() + 2 * values.std()
        full = importance.ravel() if name == "excluded" else values
        out[name] = {"importance": plain(full), "threshold": float(threshold), "mean": float(values.mean()),
                     "sd": float(values.std()), "circuit": [int(i) for i in np.flatnonzero(full >= threshold)]}
    out["signed_mean"] = plain(mean)
    return out


def main():
    made = {"script": "make_statistics.py", "python": platform.python_version(), "numpy": np.__version__,
            "scipy": scipy.__version__, "statsmodels": statsmodels.__version__}
    print(made)
    parts = {f.__name__: f() for f in (bootstrap, quantile, flips, sign, fdr, overlap, heads, wilson)}
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'"made":{json.dumps(made)}']
    for name, part in parts.items():
        if isinstance(part, list):
            body = "[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in part) + "]"
        else:
            body = json.dumps(part, separators=(",", ":"))
        lines.append(f'"{name}":{body}')
    out.write_text("{" + ",\n".join(lines) + "}\n")


main()
