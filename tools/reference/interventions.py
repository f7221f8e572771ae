"""The `--do` grammar of the command line, executed on an Instrumented model.

  zero A | mean A FILE:KEY | replace A | replace A from B | replace A FILE:KEY | add A FILE:KEY FACTOR | scale A F
  mul-gauss A mean=M,std=S | add-gauss A std=S | block A from=ROWS
  A = STACK[.LAYERS].SITE[#HEADS][@ROWS][:FEATURES]; lists are 12, -1, 3-7, comma separated; LAYERS may be *

Selections keep the site's axes: [rows, features], [rows, heads, features of a head] or, on scores and pattern,
[heads, query rows, keys]. Noise is one torch.normal(mean, std, selection shape) from a generator seeded once per run.
A 1-d tensor of the site's width (heads x head width) is the same for every row; other tensors have the selection's
shape. A query row whose keys are all blocked attends to nothing: pattern and z are zero.
"""

import re

import torch

ADDRESS = re.compile(r"^([a-z_]+)\.(?:([-\d,*]+)\.)?([a-z][a-z_.]*)(?:#([-\d,]+))?(?:@([-\d,]+))?(?::([-\d,]+))?$")
HEAD_SITES = ("q", "k", "v", "z", "rot_q", "rot_k")


def numbers(text, n):
    if text is None:
        return list(range(n))
    out = []
    for part in text.split(","):
        m = re.fullmatch(r"(\d+)-(\d+)", part)
        out += range(int(m[1]), int(m[2]) + 1) if m else [int(part) % n if int(part) < 0 else int(part)]
    assert out and max(out) < n and len(set(out)) == len(out), text
    return out


class Address:
    def __init__(self, text, layer_counts):
        m = ADDRESS.match(text)
        assert m, text
        self.stack, layers, self.site, self.heads, self.rows, self.features = m.groups()
        self.by_head = self.site.rpartition(".")[2] in HEAD_SITES
        self.by_edge = self.site.rpartition(".")[2] in ("scores", "pattern")
        assert self.heads is None or self.by_head or self.by_edge, text
        if layers is None:
            self.names = [f"{self.stack}.{self.site}"]
        else:
            n = layer_counts[self.stack]
            self.names = [f"{self.stack}.{i}.{self.site}" for i in numbers(None if layers == "*" else layers, n)]

    def index(self, x):
        """Index tensors that select from x [T, D], [T, H, Dh] or [H, T, S]."""
        if self.by_edge:
            axes = (self.heads, self.rows, self.features)
        elif self.by_head:
            axes = (self.rows, self.heads, self.features)
        else:
            axes = (self.rows, self.features)
        lists = [torch.tensor(numbers(a, n)) for a, n in zip(axes, x.shape)]
        return torch.meshgrid(*lists, indexing="ij")

    def widen(self, vector, x):
        """A file's tensor as something that broadcasts over the selection of x."""
        index = self.index(x)
        width = x[0].numel() if not self.by_edge else -1
        if vector.dim() == 1 and vector.numel() == width:
            return vector.reshape(1, *x.shape[1:]).expand(x.shape)[index]
        assert vector.shape == index[0].shape, (vector.shape, index[0].shape)
        return vector


class Plan:
    """The interventions of one run. files(name) gives {key: tensor}; base and source are captured runs."""

    def __init__(self, do, layer_counts, seed=0, files=None, base=None, source=None):
        self.generator = torch.Generator().manual_seed(seed)
        self.files, self.base, self.source = files, base, source
        self.at = {}
        for text in do:
            op, address, *args = text.split()
            a = Address(address, layer_counts)
            for k, name in enumerate(a.names):
                self.at.setdefault(name, []).append((op, a, args, k))
        self.layer_counts = layer_counts
        self.done = set()

    def tensor(self, spec):
        file, _, key = spec.rpartition(":")
        return self.files(file)[key]

    def __call__(self, name, x):
        if name not in self.at:
            return None
        x = x.clone()
        for op, a, args, k in self.at[name]:
            index = a.index(x)
            old = x[index]
            if op == "zero":
                new = torch.zeros_like(old)
            elif op == "scale":
                new = old * float(args[0])
            elif op == "mean":
                new = a.widen(self.tensor(args[0]), x).to(x.dtype)
            elif op == "add":
                new = old + a.widen(self.tensor(args[0]), x).to(x.dtype) * float(args[1])
            elif op == "replace" and args and args[0] != "from":
                new = self.tensor(args[0]).to(x.dtype)
                assert new.shape == old.shape
            elif op == "replace":
                run = self.source or self.base
                b = Address(args[1], self.layer_counts) if args else a
                value = run[b.names[k]]
                new = value[b.index(value)]
                assert new.shape == old.shape
            elif op in ("mul-gauss", "add-gauss"):
                option = dict(part.split("=") for part in args[0].split(","))
                noise = torch.normal(float(option.get("mean", 0)), float(option["std"]), old.shape,
                                     generator=self.generator).to(x.dtype)
                new = old * noise if op == "mul-gauss" else old + noise
            elif op == "block":
                keys = numbers(args[0].removeprefix("from="), x.shape[2])
                hide = torch.zeros(x.shape[2], dtype=torch.bool)
                hide[keys] = True
                new = old.masked_fill(hide.expand(old.shape), -torch.inf)
            else:
                raise ValueError(op)
            x[index] = new
        self.done.add(name)
        return x

    def finished(self):
        missing = set(self.at) - self.done
        assert not missing, f"never reached: {missing}"
