"""Train the small BLIP question-answering demo model on synthetic scenes.

Usage: python train_blip.py --work WORKDIR [--steps N]

WORKDIR receives the picture cache, the resumable checkpoint (state.pt) and the
log.  Running the same command again continues from the last checkpoint.  Write
the model folder with `python train_blip.py --work WORKDIR --export OUTDIR`.

Two things keep this affordable on a CPU.  Several questions about one scene are
packed into one text-encoder row with a block-diagonal attention mask, so that
the picture is encoded and projected once for all of them.  And temporary linear
heads on the vision rows (colour, shape and place of the object under a patch,
whether the patch holds an object's centre; on the class row, how many objects
there are in all, of each shape and of each colour) give the vision tower a dense
signal; they are dropped when the model is exported.
"""

import argparse
import os
import tempfile
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import multiprocessing, nn
from transformers import BlipConfig, BlipForQuestionAnswering

import scenes
import training
from training import MEAN, SIDE, STD, WIDTH, write_json

QUESTIONS, MAX_LEN = 5, 14
VOCAB = scenes.word_list()
PAD, UNK, CLS, SEP, MASK = range(5)
DEC, ENC = len(VOCAB), len(VOCAB) + 1


def build_config():
    """The model's configuration: hub layout, small sizes."""
    text = dict(vocab_size=len(VOCAB) + 2, hidden_size=WIDTH, encoder_hidden_size=WIDTH,
                intermediate_size=512, projection_dim=WIDTH, num_hidden_layers=3,
                num_attention_heads=4, max_position_embeddings=32, bos_token_id=DEC,
                eos_token_id=SEP, sep_token_id=SEP, pad_token_id=PAD, initializer_range=0.05)
    vision = dict(training.TOWER, projection_dim=WIDTH, initializer_range=0.02)
    return BlipConfig(text_config=text, vision_config=vision, projection_dim=WIDTH,
                      image_text_hidden_size=WIDTH)


def wordpiece(text):
    """Greedy longest-match WordPiece, equal to the exported tokenizer on our questions."""
    lut = wordpiece.lut
    ids = []
    for word in text.replace("?", " ?").split():
        at = 0
        while at < len(word):
            for end in range(len(word), at, -1):
                piece = ("##" if at else "") + word[at:end]
                if piece in lut:
                    ids.append(lut[piece])
                    at = end
                    break
            else:
                raise ValueError(f"no pieces for {word!r}")
    return ids


wordpiece.lut = {w: i for i, w in enumerate(VOCAB)}


def cache_path(args):
    return os.path.join(args.work, f"cache_{'plain' if args.plain else 'train'}_{args.scenes}.npz")


def load_cache(args):
    """Training scenes as (uint8 pictures, patch maps, scenes)."""
    every = [scenes.make_scene("plain" if args.plain else "train", i) for i in range(args.scenes)]
    return training.load_cache(cache_path(args), every)


class Batches:
    """Random batches of pictures, patch targets and packed questions."""

    def __init__(self, cache, batch, rank, mix):
        self.edges = np.cumsum(mix)
        self.pictures = training.Pictures(cache)
        self.few = np.array([i for i, s in enumerate(cache[2]) if len(s["objects"]) <= 2])
        self.batch, self.rank, self.known = batch, rank, {}

    def tokens(self, text):
        if text not in self.known:
            self.known[text] = wordpiece(text)
        return self.known[text]

    def get(self, step, few, text):
        rng = np.random.default_rng([77, step, self.rank])
        b = self.batch
        idx = rng.choice(self.few, b) if few else rng.integers(len(self.pictures.scenes), size=b)
        x, dense, every = self.pictures.get(rng, idx)
        ids = np.full((b, QUESTIONS * MAX_LEN), PAD, np.int64)
        ans = np.full((b * QUESTIONS, 4), -100, np.int64)
        mix = rng.random((b, QUESTIONS))
        for j, s in enumerate(every):
            for q in range(QUESTIONS if text else 0):
                pair = None
                while pair is None:
                    kind = int(np.searchsorted(self.edges, mix[j, q], side="right"))
                    pair = scenes.ask(s, rng, scenes.TYPES[min(kind, 3)])
                    mix[j, q] = rng.random()
                t = self.tokens(pair[0])
                ids[j, q * MAX_LEN:q * MAX_LEN + len(t) + 2] = [CLS] + t + [SEP]
                a = self.tokens(pair[1]) + [SEP]
                ans[j * QUESTIONS + q, :len(a)] = a
        return x, dense, torch.from_numpy(ids), torch.from_numpy(ans)


BLOCK = torch.arange(QUESTIONS * MAX_LEN) // MAX_LEN
BLOCK = BLOCK[:, None] == BLOCK[None, :]
POSITIONS = (torch.arange(QUESTIONS * MAX_LEN) % MAX_LEN)[None]


def answer_loss(model, image, ids, ans):
    """Teacher-forced cross entropy of every packed question's answer."""
    b = ids.shape[0]
    live = ids != PAD
    mask = torch.zeros(b, 1, BLOCK.shape[0], BLOCK.shape[0])
    mask.masked_fill_(~(BLOCK[None] & live[:, None, :])[:, None], -1e4)
    h = model.text_encoder(input_ids=ids, position_ids=POSITIONS, attention_mask=mask,
                           encoder_hidden_states=image).last_hidden_state
    h = h.reshape(b * QUESTIONS, MAX_LEN, -1)
    live = live.reshape(b * QUESTIONS, MAX_LEN)
    ans = ans[:, :int((ans != -100).sum(1).max())]
    start = torch.full((ans.shape[0], 1), DEC)
    inp = torch.cat([start, ans[:, :-1].clamp(min=0)], 1)
    logits = model.text_decoder(input_ids=inp, encoder_hidden_states=h,
                                encoder_attention_mask=live.long(), use_cache=False).logits
    loss = F.cross_entropy(logits.flatten(0, 1), ans.flatten(), ignore_index=-100)
    right = ((logits.argmax(-1) == ans) | (ans == -100)).all(1).float().mean()
    return loss, right


def initialise(model):
    """As the other demo models, and no vector for the padding."""
    training.initialise(model)
    with torch.no_grad():
        for e in (model.text_encoder.embeddings, model.text_decoder.bert.embeddings):
            e.word_embeddings.weight[PAD].zero_()


def average_gradients(params, world):
    """Replace every gradient by its mean over the processes."""
    have = [p for p in params if p.grad is not None]
    flat = torch.cat([p.grad.flatten() for p in have])
    dist.all_reduce(flat)
    flat /= world
    at = 0
    for p in have:
        p.grad.copy_(flat[at:at + p.numel()].view_as(p))
        at += p.numel()


def train(rank, args, world, rendezvous):
    """One of `world` single-threaded processes that share every batch."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world)
    model = BlipForQuestionAnswering(build_config())
    initialise(model)
    heads = training.Heads()
    model.train()
    params = list(model.parameters()) + list(heads.parameters())
    opt = training.optimizer([(params, args.lr)])
    state, first = os.path.join(args.work, "state.pt"), 0
    if os.path.exists(state):
        first = training.load_state(state, opt, model=model, heads=heads)
    elif args.init:
        training.load_state(args.init, strict=False, model=model, heads=heads)
    if rank == 0 and not first:
        print(f"parameters {sum(p.numel() for p in model.parameters())}", flush=True)
    data = Batches(load_cache(args), args.batch // world, rank, args.mix)
    seen = []
    began = time.time()
    for step in range(first, args.steps):
        for g in opt.param_groups:
            g["lr"] = args.lr * training.rate(step, args.warmup, args.steps)
        text = step >= args.vision_steps
        few = step < args.few_steps
        x, dense, ids, ans = data.get(step, few, text)
        image = model.vision_model(pixel_values=x).last_hidden_state
        parts = heads.losses(image, *dense)
        aux = sum(parts[:3] if args.plain else parts)
        la, right = answer_loss(model, image, ids, ans) if text else (torch.zeros(()), torch.zeros(()))
        loss = la + args.aux * aux
        opt.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(params, world)
        nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        seen.append([la.item(), right.item()] + [v.item() for v in parts])
        if rank:
            continue
        if (step + 1) % 50 == 0:
            m = np.mean(seen, 0)
            seen = []
            print(f"step {step + 1} answer {m[0]:.4f} exact {m[1]:.3f} | color {m[2]:.4f} "
                  f"shape {m[3]:.4f} center {m[4]:.4f} place {m[5]:.4f} side {m[6]:.4f} count {m[7]:.4f} | "
                  f"lr {opt.param_groups[0]['lr']:.2e} "
                  f"{(time.time() - began) / (step + 1 - first):.3f} s/step", flush=True)
        if (step + 1) % 100 == 0 or step + 1 == args.steps:
            training.save_state(state, step + 1, opt, model=model, heads=heads)


def write_tokenizer(out):
    """vocab.txt, tokenizer.json and the two config files of a BERT tokenizer."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    with open(os.path.join(out, "vocab.txt"), "w", encoding="utf-8") as f:
        f.write("".join(w + "\n" for w in VOCAB))
    tok = Tokenizer(models.WordPiece(vocab=dict(wordpiece.lut), unk_token="[UNK]",
                                     continuing_subword_prefix="##",
                                     max_input_chars_per_word=100))
    tok.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tok.normalizer = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True,
                                                strip_accents=None, lowercase=True)
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)])
    tok.save(os.path.join(out, "tokenizer.json"))
    names = {"cls_token": "[CLS]", "mask_token": "[MASK]", "pad_token": "[PAD]",
             "sep_token": "[SEP]", "unk_token": "[UNK]"}
    added = {str(i): {"content": w, "lstrip": False, "normalized": False, "rstrip": False,
                      "single_word": False, "special": True} for i, w in enumerate(VOCAB[:5])}
    config = {"added_tokens_decoder": added, "clean_up_tokenization_spaces": True,
              "do_basic_tokenize": True, "do_lower_case": True, "model_max_length": 32,
              "model_input_names": ["input_ids", "attention_mask"], "never_split": None,
              "processor_class": "BlipProcessor", "strip_accents": None,
              "tokenize_chinese_chars": True, "tokenizer_class": "BertTokenizer", **names}
    write_json(os.path.join(out, "special_tokens_map.json"), names)
    write_json(os.path.join(out, "tokenizer_config.json"), config)


def export(args):
    """Write the model folder: float16 weights, configs, tokenizer, image processor."""
    model = BlipForQuestionAnswering(build_config())
    step = training.load_state(os.path.join(args.work, "state.pt"), model=model)
    os.makedirs(args.export, exist_ok=True)
    model.half().save_pretrained(args.export)
    write_tokenizer(args.export)
    write_json(os.path.join(args.export, "preprocessor_config.json"), {
        "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [float(v) for v in MEAN], "image_processor_type": "BlipImageProcessor",
        "image_std": [float(v) for v in STD], "processor_class": "BlipProcessor",
        "resample": 3, "rescale_factor": 1 / 255, "size": {"height": SIDE, "width": SIDE}})
    print(f"exported step {step} to {args.export}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--work", required=True)
    p.add_argument("--export")
    p.add_argument("--steps", type=int, default=5500)
    p.add_argument("--scenes", type=int, default=40000)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--aux", type=float, default=0.3)
    p.add_argument("--warmup", type=int, default=200)
    p.add_argument("--vision-steps", type=int, default=400)
    p.add_argument("--few-steps", type=int, default=700)
    p.add_argument("--plain", action="store_true",
                   help="no unnamed colours and shapes, no place and count heads")
    p.add_argument("--mix", type=float, nargs=4, default=[0.22, 0.25, 0.31, 0.22],
                   metavar=tuple(t.upper() for t in scenes.TYPES), help="shares of the question types")
    p.add_argument("--init", help="state.pt whose weights to start from")
    p.add_argument("--procs", type=int, default=2)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    if args.export:
        export(args)
    else:
        os.makedirs(args.work, exist_ok=True)
        if not os.path.exists(cache_path(args)):
            load_cache(args)
        with tempfile.TemporaryDirectory() as meet:
            multiprocessing.spawn(train, (args, args.procs, f"file://{meet}/store"), args.procs)


if __name__ == "__main__":
    main()
