"""Writes tests/data/llava: small random LLaVA checkpoints of awkward shapes, what transformers computes with them at every
site, and what it answers under a few hundred random interventions each. See README.md for the layout.

Usage: make_llava.py [OUTPUT] [--only NAME]
"""

import argparse
import json
import re
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, Phi3Config
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import make_blip
from llava_sites import Instrumented
from vectors import write_case, write_cases

WORDS = "what color is the shirt where dog small how many boats on in a red two yes no it there".split()
QUESTIONS = ["what color is the shirt?", "where is the small dog??", "how many red boats on it"]
NEW = 24  # generated tokens
FEW = ("language.*.resid_post", "projector.mlp.out", "vision.pixels", "head.logits")

MODELS = {
    # grouped keys 9/3, biases everywhere, llama3 rotation, names as transformers 5 has its modules, WordPiece
    "grouped": dict(
        vision=dict(hidden_size=25, intermediate_size=37, num_hidden_layers=3, num_attention_heads=5, image_size=30,
                    patch_size=10, layer_norm_eps=1e-4),
        text=LlamaConfig(hidden_size=36, intermediate_size=50, num_hidden_layers=2, num_attention_heads=9,
                         num_key_value_heads=3, max_position_embeddings=128, rms_norm_eps=1e-5, attention_bias=True,
                         mlp_bias=True, eos_token_id=3, rope_parameters={
                             "rope_type": "llama3", "rope_theta": 300.0, "factor": 4.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 3.0, "original_max_position_embeddings": 32}),
        tokenizer="wordpiece", layer=-2, strategy="default"),
    # float16 shards under the first names, tied head, all rows of the last state, linear rotation, head width of its own,
    # a configuration with as few keys as the published ones, Llama's tokenizer
    "first": dict(
        vision=dict(hidden_size=32, intermediate_size=45, num_hidden_layers=2, num_attention_heads=4, image_size=28,
                    patch_size=14),
        text=LlamaConfig(hidden_size=30, intermediate_size=44, num_hidden_layers=2, num_attention_heads=5,
                         num_key_value_heads=1, head_dim=8, max_position_embeddings=100, rms_norm_eps=1e-6,
                         tie_word_embeddings=True, eos_token_id=2,
                         rope_parameters={"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0}),
        tokenizer="llama", layer=[-1], strategy="full"),
    # Phi-3's fused matrices with grouped keys, partial rotation, a short sliding window, a positive feature layer, names of
    # 4.52, Phi-3's template and swallowing tokens
    "phi3": dict(
        vision=dict(hidden_size=28, intermediate_size=33, num_hidden_layers=3, num_attention_heads=7, image_size=27,
                    patch_size=9, layer_norm_eps=1e-6, hidden_act="gelu"),
        text=Phi3Config(hidden_size=48, intermediate_size=42, num_hidden_layers=2, num_attention_heads=6,
                        num_key_value_heads=2, max_position_embeddings=90, rms_norm_eps=1e-3, sliding_window=11,
                        eos_token_id=2, pad_token_id=0, rope_parameters={
                            "rope_type": "default", "rope_theta": 5000.0, "partial_rotary_factor": 0.75}),
        tokenizer="phi3", layer=1, strategy="default"),
    # Phi-3 as it is published: one key head per head, whole rotation, no window, and a configuration with few keys, under
    # the first names in float16 shards; the picture is resized to more than is cut out of it, and not all of that is used
    "native": dict(
        vision=dict(hidden_size=33, intermediate_size=40, num_hidden_layers=3, num_attention_heads=3, image_size=29,
                    patch_size=9),
        text=Phi3Config(hidden_size=40, intermediate_size=36, num_hidden_layers=3, num_attention_heads=5,
                        max_position_embeddings=96, sliding_window=None, eos_token_id=2, pad_token_id=0),
        tokenizer="phi3", layer=-2, strategy="default", resize=35),
}
PUBLISHED = ("first", "native")  # names of the first release, float16 shards, few keys


# -- tokenizers --------------------------------------------------------------------------------------------------------

def wordpiece():
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    vocab = ["[PAD]", "[UNK]", "<s>", "</s>"] + list("?:.,") + list(alphabet) + ["##" + c for c in alphabet] + WORDS
    vocab = list(dict.fromkeys(vocab + ["user", "assistant"]))
    t = Tokenizer(models.WordPiece({v: i for i, v in enumerate(vocab)}, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(prefix="##")
    return t


def llama(phi3):
    """Llama's kind of tokenizer.json: the mark in front of every stretch, spaces as marks, bytes for the rest."""
    mark, tokens, merges = "\u2581", ["<unk>", "<s>", "</s>"], []
    tokens += [f"<0x{b:02X}>" for b in (0x0A, 0xC3, 0xBC, 0xE2, 0x98, 0x83)]
    tokens += list(mark + "abcdefghijklmnopqrstuvwxyzUSERAITN?:.,")
    for word in WORDS + ["USER", "ASSISTANT"]:
        done = mark
        for c in word:
            if done + c not in tokens:
                tokens.append(done + c)
                merges.append((done, c))
            done += c
    t = Tokenizer(models.BPE({v: i for i, v in enumerate(tokens)}, merges, unk_token="<unk>", fuse_unk=True,
                             byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend(mark), normalizers.Replace(" ", mark)])
    t.decoder = decoders.Sequence([decoders.Replace(mark, " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    if phi3:
        t.add_special_tokens([AddedToken(s, normalized=False, rstrip=True)
                              for s in ("<|user|>", "<|end|>", "<|assistant|>")])
    return t


def write_tokenizer(folder, kind):
    t = wordpiece() if kind == "wordpiece" else llama(kind == "phi3")
    t.add_special_tokens(["<s>", "</s>"])
    t.add_special_tokens([AddedToken("<image>", normalized=False), AddedToken("<pad>", normalized=False)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B",
                                                     special_tokens=[("<s>", t.token_to_id("<s>"))])
    t.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "clean_up_tokenization_spaces": False,
         "model_max_length": 4096, "padding_side": "left", "tokenizer_class": "PreTrainedTokenizerFast"}, indent=2) + "\n")
    return t


# -- checkpoints -------------------------------------------------------------------------------------------------------

def randomize(model, seed):
    """Activations of order one, attention far from uniform, gains and biases that matter."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda p, std, mean=0.0: p.copy_(torch.normal(mean, std, p.shape, generator=g))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name or "layrnorm" in name:
                normal(p, 0.25, 1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias"):
                normal(p, 0.2)
            elif p.dim() == 4:
                normal(p, 1.2 / p[0].numel() ** 0.5)
            elif "embed" in name:
                normal(p, 0.7)
            else:
                gain = 1.6 if re.search("[qk]_proj|qkv", name) else 1.1
                normal(p, gain / p.shape[1] ** 0.5)


def hub_config(config, image):
    """As few keys as the published folders have; what is absent means the classes' defaults."""
    t, v = config.text_config, config.vision_config
    phi3 = t.model_type == "phi3"
    text = {"_name_or_path": "x", "architectures": ["Phi3ForCausalLM" if phi3 else "LlamaForCausalLM"],
            "model_type": t.model_type, "hidden_size": t.hidden_size, "intermediate_size": t.intermediate_size,
            "num_hidden_layers": t.num_hidden_layers, "num_attention_heads": t.num_attention_heads,
            "vocab_size": t.vocab_size, "max_position_embeddings": t.max_position_embeddings, "torch_dtype": "float16"}
    text |= {"pad_token_id": 0, "rope_scaling": None, "sliding_window": None} if phi3 else {
        "head_dim": t.head_dim, "num_key_value_heads": t.num_key_value_heads, "tie_word_embeddings": True,
        "rope_scaling": {"type": "linear", "factor": 2.5}, "sliding_window": 3}
    return {"architectures": ["LlavaForConditionalGeneration"], "ignore_index": -100, "image_token_id": image,
            "model_type": "llava", "pad_token_id": image + 1, "projector_hidden_act": "gelu", "text_config": text,
            "torch_dtype": "float16", "vision_feature_layer": config.vision_feature_layer,
            "vision_feature_select_strategy": config.vision_feature_select_strategy,
            "vision_config": {"model_type": "clip_vision_model", "hidden_size": v.hidden_size,
                              "intermediate_size": v.intermediate_size, "num_hidden_layers": v.num_hidden_layers,
                              "num_attention_heads": v.num_attention_heads, "image_size": v.image_size,
                              "patch_size": v.patch_size, "projection_dim": 768, "vocab_size": 32000}}


def names_of(kind, name):
    """A weight's name in the files of three releases."""
    vision = name.replace("model.vision_tower.", "model.vision_tower.vision_model.")
    if kind in PUBLISHED:
        old = re.sub(r"^model\.(vision_tower|multi_modal_projector)", r"\1", vision)
        old = old.replace("model.language_model.", "language_model.model.")
        return re.sub("^lm_head", "language_model.lm_head", old)
    return vision if kind == "phi3" else name


def write_model(folder, name, spec, seed):
    folder.mkdir(parents=True)
    t = write_tokenizer(folder, spec["tokenizer"])
    spec["text"].vocab_size = t.get_vocab_size() + 3  # rows beyond the tokenizer, as after padding
    image = t.token_to_id("<image>")
    config = LlavaConfig(vision_config=CLIPVisionConfig(**spec["vision"]), text_config=spec["text"], image_token_index=image,
                         vision_feature_layer=spec["layer"], vision_feature_select_strategy=spec["strategy"])
    model = LlavaForConditionalGeneration(config)
    randomize(model, seed)
    with torch.no_grad():
        model.lm_head.weight[-5:] *= 0.01  # <image>, <pad> and the rows without a token are never the answer
    state = {names_of(name, k): v.contiguous() for k, v in model.state_dict().items()}
    config.save_pretrained(folder)
    if name in PUBLISHED:
        if spec["text"].tie_word_embeddings:
            del state["language_model.lm_head.weight"]
        half = {k: v.half() for k, v in state.items()}
        where = {k: f"model-0000{1 + (i * 3) // len(half)}-of-00003.safetensors" for i, k in enumerate(half)}
        for file in sorted(set(where.values())):
            save_file({k: v for k, v in half.items() if where[k] == file}, folder / file, {"format": "pt"})
        (folder / "model.safetensors.index.json").write_text(json.dumps(
            {"metadata": {"total_size": sum(v.numel() * 2 for v in half.values())}, "weight_map": where}, indent=1))
        (folder / "config.json").write_text(json.dumps(hub_config(config, image), indent=2) + "\n")
    else:
        save_file(state, folder / "model.safetensors", {"format": "pt"})
    text = t.get_vocab()
    ends = [text["</s>"]] + sorted(text.values())[40 + seed % 7:120:9] if name != "grouped" else [3]
    if name != "grouped":
        (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": ends[:6]}) + "\n")
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "crop_size": {"height": spec["vision"]["image_size"], "width": spec["vision"]["image_size"]},
        "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": spec.get("resize", spec["vision"]["image_size"])}}, indent=2) + "\n")


class Llava:
    """A checkpoint folder as transformers loads it, with its tokenizer and its Pillow image processor."""

    def __init__(self, folder, dtype=torch.float32):
        self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
        c = self.model.config
        file = Path(folder, "generation_config.json")
        ends = json.loads(file.read_text())["eos_token_id"] if file.exists() else c.text_config.eos_token_id
        self.ends = ends if isinstance(ends, list) else [ends]
        self.sites = Sites(self.model, self.ends)
        self.tokens = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
        self.tokenizer = self
        self.processor = CLIPImageProcessorPil.from_pretrained(folder)
        self.layers = {"vision": c.vision_config.num_hidden_layers, "language": c.text_config.num_hidden_layers}

    def pixels(self, path):
        pixels = self.processor(images=Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]
        return pixels.to(next(self.model.parameters()).dtype)

    def ids(self, question):
        """As LlavaProcessor does it: the picture's token is repeated in the text, which is then tokenized."""
        c = self.model.config
        rows = (c.vision_config.image_size // c.vision_config.patch_size) ** 2
        rows += c.vision_feature_select_strategy == "full"
        phi3 = self.tokens.token_to_id("<|user|>") is not None
        text = f"<|user|>\n<image>{question}<|end|>\n<|assistant|>\n" if phi3 else f"USER: <image>\n{question} ASSISTANT:"
        return self.tokens.encode(text.replace("<image>", "<image>" * rows)).ids

    def convert_ids_to_tokens(self, ids):
        return [self.tokens.id_to_token(i) or "" for i in ids] if isinstance(ids, list) else self.tokens.id_to_token(ids)

    def decode(self, ids, skip_special_tokens):
        return self.tokens.decode(ids, skip_special_tokens=skip_special_tokens)

    def top(self, logits, n=10):
        prob = torch.softmax(logits.double(), 0)
        values, index = torch.sort(logits, descending=True, stable=True)
        return [{"id": i, "piece": self.convert_ids_to_tokens(i) or "", "logit": v, "prob": prob[i].item()}
                for i, v in zip(index[:n].tolist(), values[:n].tolist())]


class Sites(Instrumented):
    def generate(self, pixels, ids):
        return super().generate(pixels, ids, NEW)

    def generate_slowly(self, pixels, ids):
        return super().generate_slowly(pixels, ids, NEW)


def tells_apart(llava, cases):
    """Answers that differ, long ones and ended ones, with no choice so close that rounding could turn it."""
    answers = [llava.sites.generate_slowly(llava.pixels(image), llava.ids(question)) for image, question in cases]
    lengths = [len(a) for a, _ in answers]
    ended = [a for a, _ in answers if a[-1] in llava.ends]
    return (len({tuple(a) for a, _ in answers}) == len(answers) and NEW in lengths
            and (ended or llava.ends == [3]) and max(len(set(a)) for a, _ in answers) > 5
            and min(m for _, m in answers) > 0.02)


# -- random interventions ----------------------------------------------------------------------------------------------

VISION = make_blip.VISION
LANGUAGE = VISION + ["attn.rot_q", "attn.rot_k", "mlp.up"]


class Chooser(make_blip.Chooser):
    def address(self, site=None, stack=None):
        r = self.rng
        stack = r.choice(["vision", "projector"] + ["language"] * 4) if stack in (None, "text_encoder") else stack
        if stack == "projector":
            return "projector.mlp." + r.choice(["in", "pre", "post", "out"])
        if site is None and r.random() < 0.1:
            return "vision.embed" if stack == "vision" else r.choice(["language.embed", "language.final"])
        site = site or r.choice(VISION if stack == "vision" else LANGUAGE)
        n = self.layers[stack]
        layers = r.choice(["*", f"0-{n - 1}"]) if r.random() < 0.08 and n > 1 else str(r.randrange(n))
        return f"{stack}.{layers}.{site}"

    def edges(self):
        return self.rng.choice(["vision", "language", "language", "language"]), "attn"


def states(text, layers):
    """The state that an intervention writes, by a name under which two spellings of one state agree."""
    stack, *rest = text.split()[1].split("@")[0].split("#")[0].split(":")[0].split(".")
    site = ".".join(rest[1:])
    if stack == "projector":
        return {f"projector.{site}"}
    if not (rest[0][0].isdigit() or rest[0] == "*"):
        return {f"{stack}.0.resid_pre" if rest == ["embed"] else f"{stack}.final"}
    one = [int(rest[0])] if rest[0].isdigit() else range(layers[stack])
    if site == "resid_post":
        return {f"{stack}.{i + 1}.resid_pre" for i in one}
    return {f"{stack}.{i}.{'edges' if site.endswith(('scores', 'pattern')) else site}" for i in one}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("output", nargs="?", default=Path(__file__).parents[2] / "tests/data/llava", type=Path)
    parser.add_argument("--only")
    parser.add_argument("--interventions", type=int, default=205)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for number, (name, spec) in enumerate(MODELS.items()):
        if args.only and name != args.only:
            continue
        folder, out = args.output / name, args.output / name / "vectors"
        images = [out / "image0.png", out / "image1.png"]
        cases = [(0, 0), (0, 1), (1, 0), (1, 2)]
        for seed in range(100 * number, 100 * number + 100):
            shutil.rmtree(folder, ignore_errors=True)
            write_model(folder, name, spec, seed)
            out.mkdir()
            make_blip.draw_image(images[0], 21 + number, 53, 37)
            make_blip.draw_image(images[1], 25 + number, 19 + 9 * number, 64)
            llava = Llava(folder)
            if tells_apart(llava, [(images[i], QUESTIONS[q]) for i, q in cases]):
                break
        else:
            raise SystemExit(f"{name}: no seed gives useful answers")
        entries, runs = [], {}
        for i, q in cases:
            patterns = ("*",) if i == q == 0 else FEW
            entry, seen = write_case(llava, out, f"image{i}-question{q}", images[i], QUESTIONS[q], patterns)
            entries.append(entry)
            runs[i, q] = llava.pixels(images[i]), entry["ids"], seen
        made = write_cases(out, "make_llava.py", entries, "llava")
        pairs = [p for p in runs if p[1] < 2 and len(runs[p][1]) == len(runs[0, 0][1])]
        items, tensors, logits, attempts = make_blip.write_interventions(
            llava, out, pairs, runs, 2000 + number, args.interventions, Chooser, states)
        site, edit = make_blip.double_errors(Llava(folder, torch.float64), pairs, runs, items, tensors, logits, images)
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        print(f"{name}: seed {seed}, {size} bytes, {len(items)} interventions of {attempts} drawn, {len(pairs)} runs; "
              f"float32 against float64: sites {site:.1e}, edited logits {edit:.1e} of the maximum")
        for e in entries:
            print("  ", e["name"], len(e["ids"]), "->", e["answer"], f"margin {e['margin']:.3f}")
    print(made)


if __name__ == "__main__":
    main()
