#!/usr/bin/env python3
"""Small checkpoint files of every kind that fovea reads, written by torch and safetensors themselves.

Usage: make_checkpoints.py [OUTPUT_FOLDER]     (default: tests/data/checkpoint of this repository)

Beside the files it writes expected.json: for every file or folder the tensors that must be found, with dtype, shape and
(for real dtypes) the values widened to float32, as Python reads them back.
"""
import collections
import json
import pathlib
import platform
import sys

import numpy
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

DTYPES = {
    torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16", torch.float64: "f64", torch.int64: "i64",
    torch.int32: "i32", torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8", torch.bool: "bool",
}
expected = {}


def describe(tensors):
    result = {}
    for name, t in tensors.items():
        t = t.detach()
        entry = {"dtype": DTYPES.get(t.dtype, "other"), "shape": list(t.shape)}
        if t.dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
            entry["values"] = t.to(torch.float32).contiguous().flatten().tolist()
        result[name] = entry
    return result


def numbers(shape, seed, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def plain():
    """Real dtypes with values at the edges of f16 and bf16, a scalar, an empty tensor, integers."""
    edges = [0.0, -0.0, 2.0**-24, -(2.0**-24), 1023 * 2.0**-24, 2.0**-14, 65504.0, -65504.0, 1.0 / 3.0]
    return {
        "edges.f16": torch.tensor(edges, dtype=torch.float16),
        "edges.bf16": torch.tensor([0.0, -0.0, 9.2e-41, 1.17e-38, 3.38e38, -3.38e38, 1.0 / 3.0], dtype=torch.bfloat16),
        "edges.f32": torch.tensor([1e-45, -1e-45, 3.4028234e38, -0.0, 1.0 / 3.0]),
        "edges.f64": torch.tensor([1.0 / 3.0, 1.0 + 2.0**-24, 1.0 + 3 * 2.0**-25, 1e-300], dtype=torch.float64),
        "weight": numbers((5, 3, 2), 1),
        "half": numbers((7, 3), 2, torch.float16),
        "brain": numbers((3, 7), 3, torch.bfloat16),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros((0, 4)),
        "position_ids": torch.arange(6).reshape(1, 6),
        "int32": torch.arange(3, dtype=torch.int32),
        "int16": torch.arange(3, dtype=torch.int16),
        "int8": torch.arange(3, dtype=torch.int8),
        "uint8": torch.arange(3, dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
    }


def views():
    """What a state dict may hold of shared and strided storages."""
    base = numbers((3, 4), 4)
    line = numbers((24,), 5, torch.float16)
    return collections.OrderedDict(
        base=base, tied=base, transposed=base.t(), slice=base[1:, :2], row=base[2], column=base[:, 1],
        permuted=line.reshape(2, 3, 4).permute(2, 0, 1), every_third=line[1::3], expanded=base[:1].expand(5, 4),
        one=base[1, 2], flat_one=base[1:2, 2:3], nothing=base[:0],
    )


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = torch.nn.Linear(4, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        with torch.no_grad():
            self.proj.weight.copy_(numbers((3, 4), 6))
            self.proj.bias.copy_(numbers((3,), 7))


def write_index(folder, name, mapping, total):
    (folder / name).write_text(json.dumps({"metadata": {"total_size": total}, "weight_map": mapping}, indent=1) + "\n")


def sharded(folder, parts, suffix, save):
    """Shards plus their index; each shard also holds a tensor that the index does not map."""
    folder.mkdir(exist_ok=True)
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    mapping, total = {}, 0
    for k, part in enumerate(parts, 1):
        shard = f"{stem}-{k:05d}-of-{len(parts):05d}.{suffix}"
        save({**part, "left.over": torch.zeros(2)}, folder / shard)
        mapping.update({name: shard for name in part})
        total += sum(t.numel() * t.element_size() for t in part.values())
    write_index(folder, f"{stem}.{suffix}.index.json", mapping, total)
    expected[folder.name] = describe({name: t for part in parts for name, t in part.items()})


def main():
    here = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "checkpoint"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here
    out.mkdir(parents=True, exist_ok=True)
    versions = {"python": platform.python_version(), "torch": torch.__version__,
                "safetensors": safetensors.__version__, "numpy": numpy.__version__}
    print(versions)

    def folder(name):
        (out / name).mkdir(exist_ok=True)
        return out / name

    def torch_file(name, obj, tensors, **options):
        torch.save(obj, out / name, **options)
        expected[name] = describe(tensors)

    # safetensors
    safetensors.torch.save_file(plain(), folder("safetensors") / "model.safetensors", metadata={"format": "pt"})
    expected["safetensors"] = describe(plain())
    parts = [{"a.weight": numbers((4, 4), 8), "a.bias": numbers((4,), 9)},
             {"b.weight": numbers((2, 4), 10, torch.bfloat16)}, {"c": numbers((3,), 11, torch.float16)}]
    sharded(out / "safetensors_sharded", parts, "safetensors", lambda t, p: safetensors.torch.save_file(t, p))
    norms = {"bert.LayerNorm.gamma": numbers((4,), 12), "bert.LayerNorm.beta": numbers((4,), 13),
             "bert.dense.gamma": numbers((2,), 14)}
    safetensors.torch.save_file(norms, folder("gamma_beta") / "model.safetensors")
    expected["gamma_beta"] = describe({"bert.LayerNorm.weight": norms["bert.LayerNorm.gamma"],
                                       "bert.LayerNorm.bias": norms["bert.LayerNorm.beta"],
                                       "bert.dense.gamma": norms["bert.dense.gamma"]})
    safetensors.torch.save_file({"q": torch.zeros(4, dtype=torch.float8_e4m3fn), "u": torch.zeros(2, dtype=torch.uint16)},
                                out / "other_dtypes.safetensors")
    expected["other_dtypes.safetensors"] = describe({"q": torch.zeros(4, dtype=torch.float8_e4m3fn),
                                                     "u": torch.zeros(2, dtype=torch.uint16)})
    # What fv_safetensors_write must produce byte for byte.
    arrays = {"b/second": numpy.arange(6, dtype=numpy.float32).reshape(2, 3), "a \"first\"": numpy.float32([0.5, -1.5]),
              "scalar": numpy.array(2.5, dtype=numpy.float32), "zero": numpy.zeros((3, 0), dtype=numpy.float32)}
    safetensors.numpy.save_file(arrays, out / "writer.safetensors", metadata={"made by": "a \"test\""})

    # torch, zip format
    torch.save(plain(), folder("zip") / "pytorch_model.bin")
    expected["zip"] = describe(plain())
    torch_file("views.pt", views(), views())
    model = Small()
    torch_file("module_state.bin", model.state_dict(), model.state_dict())
    parameters = {"p": torch.nn.Parameter(numbers((2, 3), 15)), "q": torch.nn.Parameter(numbers((2,), 16), False)}
    torch_file("parameters.pth", parameters, parameters)
    torch_file("mean_vector.pt", numbers((1, 8), 17), {"": numbers((1, 8), 17)})
    mixed = {"w": numbers((2,), 18), "epoch": 3, "loss": 0.25, "names": ["a", "b"], "big": 2**40, "none": None,
             "flags": (True, False), "optimizer": {"state": {0: numbers((2,), 19)}}, 7: numbers((3,), 20),
             "size": torch.Size([2, 3]), "dtype": torch.float16}
    torch_file("mixed.pt", mixed, {"w": mixed["w"], "7": mixed[7]})
    torch_file("other_dtypes.pt", {"u": torch.zeros(2, dtype=torch.uint16), "q": torch.zeros(4, dtype=torch.float8_e5m2)},
               {"u": torch.zeros(2, dtype=torch.uint16), "q": torch.zeros(4, dtype=torch.float8_e5m2)})
    sharded(out / "zip_sharded", parts, "bin", lambda t, p: torch.save(t, p))
    torch_file("list.pt", [numbers((2,), 21), 5, numbers((1,), 22)], {"0": numbers((2,), 21), "2": numbers((1,), 22)})
    torch_file("set.pt", {"w": torch.zeros(2), "s": set()}, {})
    torch_file("nested_only.pt", {"state_dict": {"w": torch.zeros(2)}}, {})
    torch_file("module.pt", Small(), {})
    torch_file("complex.pt", {"z": torch.zeros(2, dtype=torch.complex64)}, {})
    torch_file("protocol4.pt", {"w": torch.zeros(2)}, {}, pickle_protocol=4)
    torch.jit.script(Small()).save(str(out / "torchscript.pt"))

    # torch, legacy format
    legacy = {"_use_new_zipfile_serialization": False}
    torch_file("legacy.bin", plain(), plain(), **legacy)
    torch_file("legacy_views.pt", views(), views(), **legacy)
    torch_file("legacy_module_state.bin", model.state_dict(), model.state_dict(), **legacy)
    torch_file("legacy_mean_vector.pt", numbers((1, 8), 17), {"": numbers((1, 8), 17)}, **legacy)

    text = json.dumps({"versions": versions, "checkpoints": expected}, indent=0)
    (out / "expected.json").write_text(text + "\n")
    print(sum(p.stat().st_size for p in out.rglob("*") if p.is_file()), "bytes in", out)


if __name__ == "__main__":
    main()
