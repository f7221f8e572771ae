"""Train the small LLaVA demo model, which answers in sentences, on synthetic scenes.

Usage: python train_llava.py --work WORKDIR [--steps N]

WORKDIR receives the picture cache, the resumable checkpoint (state.pt) and the
log.  Running the same command again continues from the last checkpoint.  Write
the model folder with `python train_llava.py --work WORKDIR --export OUTDIR`.

The CLIP tower starts from the vision tower of the BLIP demo model; the projector
and the Llama start from nothing.  Several questions about one picture share its
rows: they are packed behind the prompt's beginning, each sees that beginning and
itself, and is numbered as if it stood there alone.  The loss is on the answers.
The temporary heads of `training.py` keep the tower's rows telling colour, shape
and place, and those of `Pointers` ask the Llama's middle layers which object is
meant; they are dropped when the model is exported.
"""

import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from torch import nn
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

import scenes
import sentences
import training
from training import GRID, MEAN, SIDE, STD, WIDTH, write_json

IMAGE_ROWS = GRID * GRID
UNK, BOS, EOS = range(3)
MARK = "\u2581"


def build_tokenizer():
    """Llama's kind of BPE: spaces are marks, what has no token is bytes; every word of the questions is one token."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    tokens += [MARK] + [chr(c) for c in range(33, 127)]
    merges, spaced, bare = [], *sentences.word_list()
    for word in [MARK + w for w in ["USER", "ASSISTANT"] + spaced] + bare:
        for k in range(1, len(word)):
            if word[:k + 1] not in tokens:
                tokens.append(word[:k + 1])
                merges.append((word[:k], word[k]))
    tok = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges, unk_token="<unk>", fuse_unk=True,
                               byte_fallback=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    tok.decoder = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
                                     decoders.Strip(" ", 1, 0)])
    tok.add_special_tokens(["<unk>", "<s>", "</s>"])
    tok.add_special_tokens([AddedToken("<image>", normalized=False), AddedToken("<pad>", normalized=False)])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B",
                                                       special_tokens=[("<s>", BOS)])
    return tok


def prompt(question, rows=1):
    return f"USER: {'<image>' * rows}\n{question} ASSISTANT:"


def build_config(tok):
    """The model's configuration: hub layout, small sizes."""
    text = LlamaConfig(vocab_size=tok.get_vocab_size(), hidden_size=WIDTH, intermediate_size=352, num_hidden_layers=4,
                       num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-5,
                       bos_token_id=BOS, eos_token_id=EOS, pad_token_id=tok.token_to_id("<pad>"))
    vision = CLIPVisionConfig(**training.TOWER, projection_dim=WIDTH, hidden_act="gelu")
    return LlavaConfig(vision_config=vision, text_config=text, image_token_index=tok.token_to_id("<image>"),
                       image_seq_length=IMAGE_ROWS, vision_feature_layer=-1, vision_feature_select_strategy="default")


def start_tower(model, folder):
    """CLIP's tower from BLIP's: no bias of the patches, and a norm in front that keeps the usual size of a row."""
    w = training.blip_tower(folder)
    tower = model.model.vision_tower
    own = {}
    for name in tower.state_dict():
        short = name.replace("encoder.layers.", "").replace("embeddings.", "").replace("out_proj", "projection")
        if short in w:
            own[name] = w[short]
    rows = w["position_embedding"][0].clone()
    rows[0] += w["class_embedding"][0, 0]
    rows[1:] += w["patch_embedding.bias"]
    own["embeddings.class_embedding"] = torch.zeros(WIDTH)
    own["embeddings.position_embedding.weight"] = rows
    missing, unexpected = tower.load_state_dict(own, strict=False)
    assert not unexpected and all("pre_layrnorm" in m or "position_ids" in m for m in missing), missing


def calibrate(model, x):
    """Sizes of the first norm and of the projector for what the started tower computes on the pictures x."""
    tower, projector = model.model.vision_tower, model.model.multi_modal_projector
    with torch.no_grad():
        tower.pre_layrnorm.weight.fill_(tower.embeddings(x).std(-1).mean())
        tower.pre_layrnorm.bias.zero_()
        state = tower(pixel_values=x).last_hidden_state[:, 1:]
        projector.linear_1.weight.div_(state.std(-1).mean())


class Pointers(nn.Module):
    """Temporary linear heads on the Llama's states: place, colour and shape of the object that a row is about.

    After layer 2, the row of the question's last noun; after layer 3, every row from which the next object is named.
    """

    LAYERS = (2, 3)

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(nn.ModuleDict({
            "place": nn.Linear(WIDTH, 2), "color": nn.Linear(WIDTH, len(scenes.COLORS)),
            "shape": nn.Linear(WIDTH, len(scenes.SHAPES))}) for _ in self.LAYERS)

    def losses(self, states, pointed):
        """states of all layers behind the beginning; pointed: (head, picture, row, colour, shape, x, y) rows."""
        out = []
        for k, layer in enumerate(self.LAYERS):
            p = pointed[pointed[:, 0] == k]
            at = p[:, 1:5].long()
            h = states[layer][at[:, 0], at[:, 1]]
            part = self.parts[k]
            out.append(2 * F.mse_loss(part["place"](h), p[:, 5:]) + 0.3 * F.cross_entropy(part["color"](h), at[:, 2])
                       + 0.3 * F.cross_entropy(part["shape"](h), at[:, 3]))
        return out


class Batches:
    """Random batches of pictures, patch targets and packed questions with their answers."""

    def __init__(self, cache, batch, mix, plain, tok):
        self.pictures, self.batch, self.tok, self.known = training.Pictures(cache), batch, tok, {}
        self.mix, self.plain = mix, plain
        self.articles = [tok.token_to_id(MARK + w) for w in ("a", "an")]
        ids = tok.encode(prompt("What", IMAGE_ROWS)).ids
        self.prefix = ids[:len(ids) - 3]
        assert self.prefix.count(tok.token_to_id("<image>")) == IMAGE_ROWS

    def tokens(self, question, answer):
        """Ids behind the shared beginning, and where the answer begins."""
        if (question, answer) not in self.known:
            text, n = prompt(question, IMAGE_ROWS), len(self.prefix)
            q, a = self.tok.encode(text).ids, self.tok.encode(f"{text} {answer}").ids
            assert q[:n] == self.prefix and a[:len(q)] == q
            self.known[question, answer] = a[n:] + [EOS], len(q) - n
        return self.known[question, answer]

    def questions(self, scene, rng):
        """About `mix` different questions of every type as (type, question, answer, reference, objects)."""
        out = {}
        for kind, share in enumerate(self.mix):
            most, found = int(share + rng.random()), 0
            for _ in range(2 * most):
                drawn = sentences.draw(scene, rng, sentences.TYPES[kind]) if found < most else None
                if drawn and drawn[0] not in out:
                    out[drawn[0]] = (kind, *drawn)
                    found += 1
        return list(out.values()) or [(len(self.mix) - 1, *sentences.draw(scene, rng, "count"))]

    def point(self, t, first, ref, objs):
        """(head, row, object) of the rows that `Pointers` reads."""
        out = [(0, first - 4, ref)] if ref else []  # noun, question mark, ASSISTANT, colon
        rows = [k - 1 for k in range(first, len(t)) if t[k] in self.articles] or [first - 1]
        return out + [(1, row, o) for row, o in zip(rows, objs)]

    def get(self, step, text=True):
        """Pixels, dense targets, and (ids, positions, blocks, targets, kinds, pointed) of the rows behind the
        beginning."""
        rng = np.random.default_rng([77, step])
        idx = 2 * rng.integers(len(self.pictures.scenes) // 2, size=self.batch)
        idx += rng.random(self.batch) >= self.plain
        x, dense, every = self.pictures.get(rng, idx)
        if not text:
            return x, dense, None
        packed = [self.questions(s, rng) for s in every]
        length = max(sum(len(self.tokens(*row[1:3])[0]) - 1 for row in rows) for rows in packed)
        ids, pos, block, kinds = (np.full((self.batch, length), v, np.int64) for v in (EOS, 0, -1, -1))
        target, pointed = np.full((self.batch, length), -100, np.int64), []
        for j, rows in enumerate(packed):
            at = 0
            for q, (kind, question, answer, ref, objs) in enumerate(rows):
                t, first = self.tokens(question, answer)
                n = len(t) - 1
                ids[j, at:at + n] = t[:-1]
                pos[j, at:at + n] = len(self.prefix) + np.arange(n)
                block[j, at:at + n] = q
                kinds[j, at:at + n] = kind
                target[j, at + first - 1:at + n] = t[first:]
                pointed += [(head, j, at + row, o["color"], o["shape"], 2 * o["x"] - 1, 2 * o["y"] - 1)
                            for head, row, o in self.point(t, first, ref, objs)]
                at += n
        return x, dense, [*map(torch.from_numpy, (ids, pos, block, target, kinds)), torch.tensor(pointed, dtype=torch.float32)]


def answer_loss(model, pointers, image, prefix, ids, pos, block, target, kinds, pointed):
    """Cross entropy of the answers, losses of the pointers; and, by question, its type and whether its answer is right
    in every token."""
    b, n = ids.shape[0], len(prefix)
    language = model.model.language_model
    head = torch.tensor(prefix).expand(b, n)
    every = language.embed_tokens(torch.cat([head, ids], 1))
    first = prefix.index(model.config.image_token_id)
    every = torch.cat([every[:, :first], image, every[:, first + IMAGE_ROWS:]], 1)
    block = torch.cat([torch.full((b, n), -2), block], 1)
    pos = torch.cat([torch.arange(n).expand(b, n), pos], 1)
    sees = (block[:, None, :] == -2) | (block[:, None, :] == block[:, :, None])
    sees &= torch.ones(sees.shape[1:], dtype=torch.bool).tril()
    mask = torch.zeros(b, 1, *sees.shape[1:]).masked_fill_(~sees[:, None], torch.finfo(torch.float32).min)
    out = language(inputs_embeds=every, attention_mask=mask, position_ids=pos, use_cache=False,
                   output_hidden_states=True)
    h = out.last_hidden_state[:, n:]
    aux = pointers.losses([s[:, n:] for s in out.hidden_states], pointed)
    on = target >= 0
    logits = model.lm_head(h[on])
    loss = F.cross_entropy(logits, target[on])
    wrong = torch.zeros(b, int(block.max()) + 1)
    where = torch.arange(b)[:, None].expand_as(target)[on]
    wrong.index_put_((where, block[:, n:][on]), (logits.argmax(-1) != target[on]).float(), accumulate=True)
    kind = torch.full(wrong.shape, -1)
    kind.index_put_((where, block[:, n:][on]), kinds[on])
    there = kind >= 0
    return loss, aux, kind[there].tolist(), (wrong == 0)[there].tolist()


def load_cache(args):
    """Training scenes: every other one has objects of unnamed colours and shapes.

    With --lists, three of four of the others have three or four objects in a clear order.
    """
    every, i = [], args.first
    while len(every) < args.scenes:
        scene = sentences.make_scene(("plain", "train")[len(every) % 2], i)
        i += 1
        listed = len(scene["objects"]) > 2 and sentences.describe(scene["objects"])
        if listed or not args.lists or len(every) % 2 or i % 4 == 0:
            every.append(scene)
    return training.load_cache(os.path.join(args.work, f"cache_{args.first}_{args.scenes}.npz"), every)


def train(args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tok = build_tokenizer()
    model, heads, pointers = LlavaForConditionalGeneration(build_config(tok)), training.Heads(), Pointers()
    training.initialise(model, 0.3)
    data = Batches(load_cache(args), args.batch, args.mix, args.plain, tok)
    start_tower(model, args.tower)
    calibrate(model, data.get(0, False)[0])
    model.train()
    tower = list(model.model.vision_tower.parameters())
    rest = list(model.model.multi_modal_projector.parameters()) + list(model.model.language_model.parameters())
    rest += list(model.lm_head.parameters())
    opt = training.optimizer([(tower, args.tower_lr), (rest, args.lr), ([*heads.parameters(), *pointers.parameters()], 1e-3)])
    state, first = os.path.join(args.work, "state.pt"), 0
    if os.path.exists(state):
        first = training.load_state(state, opt, model=model, heads=heads, pointers=pointers)
    elif args.init:
        training.load_state(args.init, strict=False, model=model, heads=heads, pointers=pointers)
    if not first:
        print(f"parameters {sum(p.numel() for p in model.parameters())}", flush=True)
    seen, right, began = [], {k: [] for k in range(len(sentences.TYPES))}, time.time()
    for step in range(first, args.steps):
        text = step >= args.vision_steps
        for g in opt.param_groups:
            g["lr"] = g["top"] * training.rate(step - args.vision_steps * text, args.warmup,
                                               args.steps - args.vision_steps if text else 10 ** 9)
        x, dense, questions = data.get(step, text)
        state_rows = model.model.vision_tower(pixel_values=x).last_hidden_state
        aux = heads.losses(model.model.vision_tower.post_layernorm(state_rows), *dense)
        loss = args.aux * sum(aux)
        answer, pointed = torch.zeros(()), torch.zeros(2)
        if text:
            image = model.model.multi_modal_projector(state_rows[:, 1:])
            answer, pointed, kinds, exact = answer_loss(model, pointers, image, data.prefix, *questions)
            loss = loss + answer + args.point * sum(pointed)
            for k, r in zip(kinds, exact):
                right[k].append(r)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(tower + rest, 1.0)
        opt.step()
        seen.append([answer.item()] + [v.item() for v in aux] + [v.item() for v in pointed])
        if (step + 1) % 50 == 0:
            m = np.mean(seen, 0)
            by_type = " ".join(f"{sentences.TYPES[k]} {np.mean(v):.3f}" for k, v in right.items() if v)
            print(f"step {step + 1} answer {m[0]:.4f} | {by_type} | color {m[1]:.4f} shape {m[2]:.4f} "
                  f"center {m[3]:.4f} place {m[4]:.4f} side {m[5]:.4f} count {m[6]:.4f} "
                  f"pointers {m[7]:.4f} {m[8]:.4f} | "
                  f"lr {opt.param_groups[2]['lr']:.2e} {(time.time() - began) / (step + 1 - first):.3f} s/step",
                  flush=True)
            seen, right = [], {k: [] for k in right}
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            training.save_state(state, step + 1, opt, model=model, heads=heads, pointers=pointers)


def write_tokenizer(out):
    """tokenizer.json and the two config files of a Llama tokenizer."""
    tok = build_tokenizer()
    tok.save(os.path.join(out, "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(os.path.join(out, "special_tokens_map.json"), names)
    write_json(os.path.join(out, "tokenizer_config.json"), {
        "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, "image_token": "<image>",
        "model_max_length": 256, "padding_side": "left", "processor_class": "LlavaProcessor",
        "tokenizer_class": "PreTrainedTokenizerFast", **names})


def export(args):
    """Write the model folder: float16 weights, configs, tokenizer, processors."""
    model = LlavaForConditionalGeneration(build_config(build_tokenizer()))
    step = training.load_state(os.path.join(args.work, "state.pt"), model=model)
    os.makedirs(args.export, exist_ok=True)
    model.generation_config.max_new_tokens = 24
    model.half().save_pretrained(args.export)
    write_tokenizer(args.export)
    write_json(os.path.join(args.export, "preprocessor_config.json"), {
        "crop_size": {"height": SIDE, "width": SIDE}, "do_center_crop": True, "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [float(v) for v in MEAN],
        "image_processor_type": "CLIPImageProcessor", "image_std": [float(v) for v in STD],
        "processor_class": "LlavaProcessor", "resample": 3, "rescale_factor": 1 / 255,
        "size": {"shortest_edge": SIDE}})
    write_json(os.path.join(args.export, "processor_config.json"), {
        "image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": training.PATCH,
        "processor_class": "LlavaProcessor", "vision_feature_select_strategy": "default"})
    print(f"exported step {step} to {args.export}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--work", required=True)
    p.add_argument("--export")
    p.add_argument("--tower", default="../../models/blip-demo", help="BLIP folder whose vision tower to start from")
    p.add_argument("--steps", type=int, default=3300)
    p.add_argument("--scenes", type=int, default=24000)
    p.add_argument("--first", type=int, default=0, help="number of the first scene")
    p.add_argument("--lists", action="store_true", help="more pictures that a list describes")
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--tower-lr", type=float, default=3e-4)
    p.add_argument("--aux", type=float, default=0.3)
    p.add_argument("--warmup", type=int, default=100)
    p.add_argument("--vision-steps", type=int, default=300)
    p.add_argument("--point", type=float, default=1.0)
    p.add_argument("--plain", type=float, default=0.7, help="share of pictures with named colours and shapes only")
    p.add_argument("--mix", type=float, nargs=len(sentences.TYPES), default=[1, 4, 0.4, 0.4, 0.6, 0.7, 0.4],
                   metavar=tuple(t.upper() for t in sentences.TYPES), help="questions of every type about a picture")
    p.add_argument("--init", help="state.pt whose weights to start from")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    if args.export:
        export(args)
    else:
        os.makedirs(args.work, exist_ok=True)
        train(args)


if __name__ == "__main__":
    main()
