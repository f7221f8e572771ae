"""Writes tests/data/llava/*/pairs: what transformers computes with the checkpoints that make_llava.py made when a prompt
shows two pictures of different sizes. See README.md for the layout.

Usage: make_llava_pairs.py [DATA]
"""

import argparse
import shutil
from pathlib import Path

import torch

import make_blip
from make_llava import FEW, NEW, QUESTIONS, Chooser, Llava, Sites, states
from vectors import write_case, write_cases

BETWEEN = "what <image> color is the <image> shirt there"  # text between the pictures
CHECKPOINTS = {"grouped": ("*",), "first": (*FEW, "vision.*.attn.*", "projector.*"), "phi3": (*FEW, "language.*.attn.*")}


class PairSites(Sites):
    @torch.no_grad()
    def check(self, pixels, ids, tolerance=1e-6):
        """The logits are the untouched model's, and what the vision tower computes is what it computes of one picture."""
        seen = self.run(pixels, ids)
        worst = (seen["head.logits"] - self.plain_logits(pixels, ids)).abs().max().item()
        image = self.model.config.image_token_id
        place, rows = ids.index(image), ids.count(image) // 2
        alone = ids[:place] + [image] * rows + [i for i in ids[place:] if i != image]
        for k in range(2):
            for name, value in self.run(pixels[k:k + 1], alone).items():
                if name.startswith(("vision.", "projector.")) and name != "vision.pixels":
                    n = value.shape[1 if name.endswith(("scores", "pattern")) else 0]
                    mine = slice(k * n, k * n + n)
                    block = seen[name][:, mine, mine] if name.endswith(("scores", "pattern")) else seen[name][mine]
                    worst = max(worst, (block - value).abs().max().item())
        assert worst <= 10 * tolerance, f"instrumented run differs by {worst}"
        return worst


class Pair(Llava):
    def __init__(self, folder, dtype=torch.float32):
        super().__init__(folder, dtype)
        self.sites = PairSites(self.model, self.ends)

    def pixels(self, paths):
        return torch.cat([super(Pair, self).pixels(path) for path in paths])

    def ids(self, text):
        c = self.model.config
        rows = (c.vision_config.image_size // c.vision_config.patch_size) ** 2
        rows += c.vision_feature_select_strategy == "full"
        if "<image>" not in text:  # the family's template, the pictures first
            phi3 = self.tokens.token_to_id("<|user|>") is not None
            text = (f"<|user|>\n<image><image>{text}<|end|>\n<|assistant|>\n" if phi3
                    else f"USER: <image>\n<image>\n{text} ASSISTANT:")
        return self.tokens.encode(text.replace("<image>", "<image>" * rows)).ids


def useful(pair, cases):
    """Answers that depend on the order of the pictures, with no choice so close that rounding could turn it."""
    answers = [pair.sites.generate_slowly(pair.pixels(images), pair.ids(text)) for images, text in cases]
    said = [tuple(ids) for ids, _ in answers]
    return len(set(said)) == len(said) and min(m for _, m in answers) > 0.02 and max(map(len, said)) > 3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", default=Path(__file__).parents[2] / "tests/data/llava", type=Path)
    parser.add_argument("--interventions", type=int, default=205)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number, (name, patterns) in enumerate(CHECKPOINTS.items()):
        folder, out = args.data / name, args.data / name / "pairs"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        files = [out / "image0.png", out / "image1.png"]
        pictures = [files, files[::-1]]
        texts = [*QUESTIONS[:2], BETWEEN]
        cases = [(0, 0), (1, 0), (0, 1), (0, 2)]
        pair = Pair(folder)
        for seed in range(100):
            make_blip.draw_image(files[0], 1000 * number + 2 * seed, 53, 37)
            make_blip.draw_image(files[1], 1000 * number + 2 * seed + 1, 29, 64)
            if useful(pair, [(pictures[i], texts[q]) for i, q in cases]):
                break
        else:
            raise SystemExit(f"{name}: no pictures give useful answers")
        entries, runs = [], {}
        for i, q in cases:
            entry, seen = write_case(pair, out, f"image{i}-question{q}", pictures[i], texts[q],
                                     patterns if i == q == 0 else FEW)
            entries.append(entry)
            runs[i, q] = pair.pixels(pictures[i]), entry["ids"], seen
        made = write_cases(out, "make_llava_pairs.py", entries, "llava")
        pairs = [p for p in runs if p[1] < 2 and len(runs[p][1]) == len(runs[0, 0][1])]
        items, tensors, logits, attempts = make_blip.write_interventions(
            pair, out, pairs, runs, 3000 + number, args.interventions, Chooser, states)
        site, edit = make_blip.double_errors(Pair(folder, torch.float64), pairs, runs, items, tensors, logits, pictures)
        size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
        print(f"{name}: pictures {seed}, {size} bytes, {len(items)} interventions of {attempts} drawn, {len(pairs)} runs; "
              f"float32 against float64: sites {site:.1e}, edited logits {edit:.1e} of the maximum")
        for e in entries:
            print("  ", e["name"], len(e["ids"]), "->", e["answer"], f"margin {e['margin']:.3f}")
    print(made, f"at most {NEW} ids")


if __name__ == "__main__":
    main()
