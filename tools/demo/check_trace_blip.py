"""Causal tracing of the BLIP demo model with PyTorch hooks.

Usage: python check_trace_blip.py --model MODELDIR --image FILE --question TEXT
       [--std 5] [--seeds 10]

Three kinds of run give the probability of the answer's first token:

clean      the picture as it is;
corrupt    the vision output (the rows after the last layer norm, which both
           text towers see as `image_embeds`) multiplied element by element with
           noise drawn from normal(mean 1, std S);
restored   corrupt, but one row (or all rows) of one text layer's output is
           overwritten with its value from the clean run.

The printed maps hold (restored - corrupt) / (clean - corrupt), averaged over
noise seeds: 1 means that restoring this row alone brings the answer back.  The
cross-attention of every later encoder layer still reads the corrupted picture.
The last map restores picture rows instead: each cell is a window of 3 x 3
patches around that patch.
"""

import argparse

import torch
from PIL import Image
from transformers import AutoTokenizer, BlipForQuestionAnswering
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil


class Tracer:
    """A model with optional overwriting of the rows its layers put out."""

    def __init__(self, folder):
        self.model = BlipForQuestionAnswering.from_pretrained(folder, dtype=torch.float32).eval()
        self.tok = AutoTokenizer.from_pretrained(folder)
        self.proc = BlipImageProcessorPil.from_pretrained(folder)
        m = self.model
        self.towers = {"encoder": m.text_encoder.encoder.layer,
                       "decoder": m.text_decoder.bert.encoder.layer}
        self.sites = [("encoder", -1, m.text_encoder.embeddings)]
        self.sites += [(t, i, layer) for t in self.towers for i, layer in enumerate(self.towers[t])]
        self.saved, self.patch, self.record = {}, None, False
        for tower, index, module in self.sites:
            module.register_forward_hook(self._hook(tower, index))

    def _hook(self, tower, index):
        def hook(module, inputs, output):
            h = output[0] if isinstance(output, tuple) else output
            if self.record:
                self.saved[tower, index] = h.detach().clone()
            if self.patch and self.patch[:2] == (tower, index):
                h = h.clone()
                rows = slice(None) if self.patch[2] == "all" else self.patch[2]
                h[:, rows] = self.saved[tower, index][:, rows]
            return (h,) + tuple(output[1:]) if isinstance(output, tuple) else h
        return hook

    @torch.no_grad()
    def vision(self, image):
        x = self.proc(image, return_tensors="pt")["pixel_values"]
        return self.model.vision_model(pixel_values=x).last_hidden_state

    @torch.no_grad()
    def probs(self, ids, rows, prefix=()):
        """Next-token probabilities after [DEC] and `prefix`."""
        start = self.model.config.text_config.bos_token_id
        h = self.model.text_encoder(input_ids=ids, encoder_hidden_states=rows).last_hidden_state
        dec = torch.tensor([[start, *prefix]]).expand(h.shape[0], -1)
        out = self.model.text_decoder(input_ids=dec, encoder_hidden_states=h, use_cache=False)
        return out.logits[:, -1].softmax(-1)


def trace(tracer, image, question, std=5.0, seeds=10):
    """Return tokens, clean/corrupt probabilities and the two restoration maps."""
    ids = torch.tensor([tracer.tok(question)["input_ids"]])
    rows = tracer.vision(image)
    tracer.patch, tracer.record = None, True
    clean = tracer.probs(ids, rows)
    tracer.record = False
    answer = int(clean.argmax())
    noises = []
    for seed in range(seeds):
        g = torch.Generator().manual_seed(seed)
        noises.append(torch.normal(1.0, std, rows.shape, generator=g))
    bad = torch.cat([rows * n for n in noises])
    many = ids.expand(seeds, -1)
    low = tracer.probs(many, bad)[:, answer]
    top = float(clean[0, answer])
    maps = {}
    for tower, index, _ in tracer.sites:
        for row in [*range(ids.shape[1]), "all"] if tower == "encoder" else [0]:
            tracer.patch = (tower, index, row)
            p = tracer.probs(many, bad)[:, answer]
            maps[tower, index, row] = float((p.mean() - low.mean()) / (top - low.mean()))
    tracer.patch = None
    grid = int((rows.shape[1] - 1) ** 0.5)
    for y in range(grid):
        for x in range(grid):
            part = bad.clone()
            for a in range(max(0, y - 1), min(grid, y + 2)):
                for b in range(max(0, x - 1), min(grid, x + 2)):
                    part[:, 1 + a * grid + b] = rows[:, 1 + a * grid + b]
            p = tracer.probs(many, part)[:, answer]
            maps["picture", y, x] = float((p.mean() - low.mean()) / (top - low.mean()))
    words = tracer.tok.convert_ids_to_tokens(ids[0])
    return words, tracer.tok.convert_ids_to_tokens(answer), top, low, maps


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--model", required=True)
    p.add_argument("--image", required=True)
    p.add_argument("--question", required=True)
    p.add_argument("--std", type=float, default=5.0)
    p.add_argument("--seeds", type=int, default=10)
    args = p.parse_args()
    torch.set_num_threads(1)
    tracer = Tracer(args.model)
    image = Image.open(args.image).convert("RGB")
    words, answer, top, low, maps = trace(tracer, image, args.question, args.std, args.seeds)
    print(f"answer {answer}: clean {top:.3f}, corrupt {low.mean():.3f} "
          f"(per seed {' '.join(f'{v:.2f}' for v in low)})")
    layers = [i for t, i, _ in tracer.sites if t == "encoder"]
    print("encoder".ljust(12) + "".join(f"{'embed' if i < 0 else f'layer {i}':>9}" for i in layers))
    for r, w in [*enumerate(words), ("all", "(all rows)")]:
        print(w.ljust(12) + "".join(f"{maps['encoder', i, r]:9.2f}" for i in layers))
    n = len(tracer.towers["decoder"])
    print("decoder".ljust(12) + "".join(f"{f'layer {i}':>9}" for i in range(n)))
    print("[DEC]".ljust(12) + "".join(f"{maps['decoder', i, 0]:9.2f}" for i in range(n)))
    grid = 1 + max(k[1] for k in maps if k[0] == "picture")
    print("picture rows")
    for y in range(grid):
        print("            " + "".join(f"{maps['picture', y, x]:6.2f}" for x in range(grid)))


if __name__ == "__main__":
    main()
