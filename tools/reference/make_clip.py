"""Writes tests/data/clip: small random CLIP checkpoints of awkward shapes, what transformers computes with them at every
site for one picture and several texts, and the logits under random interventions. See README.md for the layout.

The texts of a case lie one behind the other in the rows of text_encoder; scores and patterns are zero or minus infinity
between them. check() compares with the untouched model, which reads them as a padded batch.

Usage: make_clip.py [OUTPUT]
"""

import json

import torch
from torch.nn.functional import normalize
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import make_llava
from blip_sites import hook_patches
from families import Family, save_model, write_family
from make_blip import Chooser

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
WORDS = "a photo of the dog cat red shirt small boat two on in big".split()


class Choose(Chooser):
    """Chooser, and the sites behind the towers."""

    def address(self, site=None, stack=None):
        if site is None and stack is None and self.rng.random() < 0.1:
            return self.rng.choice(["text_encoder.final", "contrast.image_projection", "contrast.image", "contrast.text",
                                    "contrast.text_projection"])
        return super().address(site, stack)


class Clip(Family):
    name, stacks, same, chooser = "clip", ("vision", "text_encoder", "text_encoder"), {}, Choose

    def open(self, folder, options):
        self.model = CLIPModel.from_pretrained(folder, **options)
        self.tokens = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer = self
        self.processor = CLIPImageProcessorPil.from_pretrained(folder)
        c = self.model.config
        self.layers = {"vision": c.vision_config.num_hidden_layers, "text_encoder": c.text_config.num_hidden_layers}

    def ids(self, texts):
        self.asked = texts
        return None if texts is None else [self.tokens.encode(t).ids for t in texts]

    def convert_ids_to_tokens(self, ids):
        return [self.tokens.id_to_token(i) for i in ids]

    def standing(self, ids):
        """The row that stands for a text: the first end, or the highest id where the configuration says 2."""
        end = self.model.config.text_config.eos_token_id
        return ids.index(max(ids)) if end == 2 else ids.index(end) if end in ids else 0

    def attention(self, sites, name, m, ids=None):
        """ids: lists of the texts' ids; each text sees itself, causally."""
        hidden = None
        if ids is not None:
            text = torch.cat([torch.full((len(one),), i) for i, one in enumerate(ids)])
            hidden = (text[:, None] != text[None]) | torch.ones(len(text), len(text)).triu(1).bool()

        def forward(hidden_states, **kwargs):
            split = lambda y: y.view(*y.shape[:-1], -1, m.head_dim).transpose(1, 2)
            q, k, v = (split(p(hidden_states)) for p in (m.q_proj, m.k_proj, m.v_proj))
            scale = lambda s: s * m.scale if hidden is None else (s * m.scale).masked_fill(hidden, -torch.inf)
            z, pattern = sites._attend(name, q, k, v, scale)
            return m.out_proj(z), pattern

        return forward

    def hook(self, sites, hooks):
        m = self.model
        hook_patches(hooks, m.vision_model.embeddings.patch_embedding)
        hooks.output(m.vision_model.pre_layrnorm, "vision.embed")
        for stack, tower in (("vision", m.vision_model), ("text_encoder", m.text_model)):
            for i, layer in enumerate(tower.encoder.layers):
                at = f"{stack}.{i}."
                hooks.argument(layer, at + "resid_pre")
                hooks.output(layer.layer_norm1, at + "attn.in")
                hooks.swap(layer.self_attn, self.attention(sites, at + "attn", layer.self_attn,
                                                           self.running if stack != "vision" else None))
                hooks.output(layer.self_attn.out_proj, at + "attn.out")
                hooks.stream(layer.layer_norm2, at + "resid_mid")
                hooks.output(layer.layer_norm2, at + "mlp.in")
                hooks.output(layer.mlp.fc1, at + "mlp.pre")
                hooks.argument(layer.mlp.fc2, at + "mlp.post")
                hooks.output(layer.mlp.fc2, at + "mlp.out")
                hooks.output(layer, at + "resid_post")

    def run(self, pixels, ids):
        """Both towers, and what lies behind them. A row of zeros stays one, where the model divides by its length 0."""
        m, at = self.model, self.sites._at
        states = m.vision_model(pixel_values=pixels).last_hidden_state
        states = at("vision.final", m.vision_model.post_layernorm(states))
        image = at("contrast.image_projection", m.visual_projection(states[:, :1]))
        image = at("contrast.image", normalize(image, dim=-1))
        t = m.text_model
        rows = torch.tensor([[i for one in ids for i in one]])
        places = torch.tensor([[i for one in ids for i in range(len(one))]])
        states = at("text_encoder.embed", t.embeddings.token_embedding(rows) + t.embeddings.position_embedding(places))
        states = t.encoder(inputs_embeds=states, attention_mask=None).last_hidden_state
        states = at("text_encoder.final", t.final_layer_norm(states))
        starts = [sum(map(len, ids[:k])) for k in range(len(ids))]
        ends = [start + self.standing(one) for start, one in zip(starts, ids)]
        text = at("contrast.text_projection", m.text_projection(states[:, ends]))
        text = at("contrast.text", normalize(text, dim=-1))
        cosine = at("contrast.cosine", text @ image[0].T)
        return at("head.logits", (cosine * m.logit_scale.exp())[..., 0])

    def forward(self, pixels, ids):
        return self.run(pixels, ids)

    @torch.no_grad()
    def plain(self, pixels, ids):
        """The untouched model on the texts as a padded batch."""
        m, longest = self.model, max(map(len, ids))
        end = self.tokens.token_to_id("<|endoftext|>")
        batch = torch.tensor([one + [end] * (longest - len(one)) for one in ids])
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
        return m(input_ids=batch, attention_mask=mask, pixel_values=pixels)

    def check(self, pixels, ids):
        out, seen = self.plain(pixels, ids), self.sites.run(pixels, ids)
        worst = max((seen["head.logits"] - out.logits_per_image[0]).abs().max().item(),
                    (seen["contrast.text"] - out.text_embeds).abs().max().item(),
                    (seen["contrast.image"] - out.image_embeds).abs().max().item())
        rows = torch.cat([out.text_model_output.last_hidden_state[i, :len(one)] for i, one in enumerate(ids)])
        worst = max(worst, (seen["text_encoder.final"] - rows).abs().max().item())
        assert worst <= 1e-5, worst

    def rows(self, ids):
        return [i for one in ids for i in one]

    def answer(self, pixels, ids):
        top = self.plain(pixels, ids).logits_per_image[0].topk(2)
        best = top.indices[0].item()
        return {"text": self.asked[best], "ids": [best], "complete": True}, (top.values[0] - top.values[1]).item()


# 0 and 1 have as many rows, divided otherwise; the last holds characters that have no token, which the end stands for
TEXTS = [["a photo of the dog", "red boat", "two cats in the big shirt?"],
         ["red boat", "a photo of the dog", "two cats in the big shirt!"],
         ["the cat", "a SMALL red dog on\tthe boat's \u2603 shirt", "photo", "dog's 2 boats"]]

MODELS = {
    # the rule of the highest id, a configuration in the style of the first published ones, leftover pixels and a crop
    "zip": dict(weights="zip", end=2, projection=17, act="quick_gelu", resize=34,
                vision=dict(hidden_size=35, intermediate_size=51, num_hidden_layers=2, num_attention_heads=7, image_size=30,
                            patch_size=7, layer_norm_eps=1e-5),
                text=dict(hidden_size=27, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
                          max_position_embeddings=24, layer_norm_eps=1e-5)),
    # the rule of the first end, which is not the highest id; float16; another activation and epsilon
    "shards": dict(weights="f16 shards", end=None, projection=40, act="gelu", resize=27,
                   vision=dict(hidden_size=20, intermediate_size=33, num_hidden_layers=1, num_attention_heads=5,
                               image_size=27, patch_size=9, layer_norm_eps=1e-3),
                   text=dict(hidden_size=36, intermediate_size=39, num_hidden_layers=3, num_attention_heads=9,
                             max_position_embeddings=31, layer_norm_eps=1e-6)),
}


def write_tokenizer(folder, last):
    """CLIP's kind of tokenizer.json with few pieces; the end token is the last id, or lies among the others."""
    letters = [c for c in sorted(pre_tokenizers.ByteLevel.alphabet()) if c.isascii() and (c.isalnum() or c in "?!'.,")]
    tokens = letters + [c + "</w>" for c in letters]
    if not last:
        tokens += ["<|startoftext|>", "<|endoftext|>"]
    merges = []
    for word in WORDS:
        done = word[0]
        for i, c in enumerate(word[1:]):
            piece = c + ("</w>" if i == len(word) - 2 else "")
            if done + piece not in tokens:
                tokens.append(done + piece)
            if (done, piece) not in merges:
                merges.append((done, piece))
            done += piece
    if last:
        tokens += ["<|startoftext|>", "<|endoftext|>"]
    t = Tokenizer(models.BPE({v: i for i, v in enumerate(tokens)}, merges, unk_token="<|endoftext|>",
                             end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), "removed", invert=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken("<|startoftext|>", normalized=True), AddedToken("<|endoftext|>", normalized=False)])
    t.post_processor = processors.RobertaProcessing(
        ("<|endoftext|>", t.token_to_id("<|endoftext|>")), ("<|startoftext|>", t.token_to_id("<|startoftext|>")),
        trim_offsets=False, add_prefix_space=False)
    t.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
         "model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "unk_token": "<|endoftext|>"}, indent=2) + "\n")
    return t


def write_model(folder, spec, seed):
    old = spec["end"] == 2
    t = write_tokenizer(folder, old)
    end = 2 if old else t.token_to_id("<|endoftext|>")
    text = dict(spec["text"], vocab_size=t.get_vocab_size(), eos_token_id=end, hidden_act=spec["act"],
                bos_token_id=t.token_to_id("<|startoftext|>"))
    vision = dict(spec["vision"], hidden_act=spec["act"])
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=spec["projection"])
    model = CLIPModel(config)
    for i, part in enumerate((model.text_model, model.vision_model, model.text_projection, model.visual_projection)):
        make_llava.randomize(part, 4 * seed + i)
    with torch.no_grad():
        model.logit_scale.fill_(2.2)
    positions = {f"{k}_model.embeddings.position_ids": torch.arange(n)[None] for k, n in
                 (("text", text["max_position_embeddings"]), ("vision", 17))}
    save_model(model, folder, spec["weights"], extra=positions if old else ())
    if old:  # the towers' sizes stand in *_dict, and what stands beside them does not count
        wrong = {"hidden_size": 64, "num_attention_heads": 4, "eos_token_id": 5}
        (folder / "config.json").write_text(json.dumps(
            {"architectures": ["CLIPModel"], "initializer_factor": 1.0, "logit_scale_init_value": 2.6592,
             "model_type": "clip", "projection_dim": spec["projection"], "text_config": wrong, "text_config_dict": text,
             "torch_dtype": "float32", "vision_config": wrong, "vision_config_dict": vision}, indent=2) + "\n")
    size = spec["vision"]["image_size"]
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "crop_size": size if old else {"height": size, "width": size}, "do_center_crop": True, "do_normalize": True,
        "do_resize": True, "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3, "size": spec["resize"] if old else {"shortest_edge": spec["resize"]}}, indent=2) + "\n")


def tells_apart(entries):
    return len({e["answer"]["text"] for e in entries}) > 2 and min(e["margin"] for e in entries) > 0.05


if __name__ == "__main__":
    pairs = [(i, q) for i in range(2) for q in range(2)]
    write_family(Clip, MODELS, write_model, [(53, 37), (29, 64)], TEXTS, pairs, tells_apart)
