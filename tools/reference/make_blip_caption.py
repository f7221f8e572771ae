"""Writes tests/data/blip_caption: small random BLIP captioning checkpoints of awkward shapes, what transformers computes
with them at every site, their captions, and their logits under random interventions. See README.md for the layout.

Usage: make_blip_caption.py [OUTPUT]
"""

import math

import torch
from transformers import AutoTokenizer, BlipConfig, BlipForConditionalGeneration
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from blip_sites import hook_bert, hook_vision
from families import Family, randomize, save_model, vocabulary, write_family, write_tokenizer
from make_blip import SEP, preprocessor

NEW = 12  # ids to generate: the default differs between versions of transformers


class Caption(Family):
    name, stacks = "blip_caption", ("vision", "text_decoder", "text_decoder")

    def open(self, folder, options):
        self.model = BlipForConditionalGeneration.from_pretrained(folder, **options)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor = BlipImageProcessorPil.from_pretrained(folder)
        c = self.model.config
        self.bos = c.text_config.bos_token_id
        self.layers = {"vision": c.vision_config.num_hidden_layers, "text_decoder": c.text_config.num_hidden_layers}

    def rows(self, ids):
        """What generate() makes of a tokenized prompt."""
        return [self.bos] if ids is None else [self.bos, *ids[1:-1]]

    def forward(self, pixels, ids):
        return self.logits(pixels, self.rows(ids))

    def logits(self, pixels, rows):
        states = self.model.vision_model(pixel_values=pixels).last_hidden_state
        return self.model.text_decoder(input_ids=torch.tensor([rows]), encoder_hidden_states=states).logits

    def hook(self, sites, hooks):
        m = self.model
        for i, layer in enumerate(m.vision_model.encoder.layers):
            hooks.swap(layer.self_attn, sites._vision_attention(f"vision.{i}.attn", layer.self_attn))
        for i, layer in enumerate(m.text_decoder.bert.encoder.layer):
            for kind, attention in (("attn", layer.attention.self), ("cross", layer.crossattention.self)):
                hooks.swap(attention, sites._text_attention(f"text_decoder.{i}.{kind}", attention))
        hook_vision(hooks, m.vision_model)
        hook_bert(hooks, "text_decoder", m.text_decoder.bert)

        def last(mod, args, out):
            self.sites._at("head.logits", out[:, -1])

        hooks.call(m.text_decoder.cls, last)

    @torch.no_grad()
    def check(self, pixels, ids):
        own = self.model(pixel_values=pixels, input_ids=torch.tensor([self.rows(ids)])).logits[0, -1]
        worst = (self.sites.run(pixels, ids)["head.logits"] - own).abs().max().item()
        assert worst <= 1e-5, worst

    @torch.no_grad()
    def answer(self, pixels, ids):
        out = self.model.generate(pixel_values=pixels, input_ids=None if ids is None else torch.tensor([ids]),
                                  do_sample=False, num_beams=1, max_new_tokens=NEW)
        rows, margin = self.rows(ids), math.inf
        answer = out[0, len(rows):].tolist()
        assert out[0, :len(rows)].tolist() == rows
        while len(rows) < len(out[0]):
            top = self.logits(pixels, rows)[0, -1].topk(2)
            margin = min(margin, (top.values[0] - top.values[1]).item())
            rows = [*rows, top.indices[0].item()]
        assert rows == out[0].tolist()
        text = self.tokenizer.decode(answer, skip_special_tokens=True)
        return {"text": text, "ids": answer, "complete": answer[-1] == SEP}, margin


TEXTS = ["a picture of", "the red hat", None, "two dogs sitting, not playing"]
MODELS = {
    # 27 = 3 x 9; tied head not in the file
    "tied": dict(weights="f32", tokenizer="tokenizer.json",
                 vision=dict(hidden_size=27, intermediate_size=41, num_hidden_layers=1, num_attention_heads=9, image_size=26,
                             patch_size=8, layer_norm_eps=1e-5),
                 text=dict(hidden_size=27, intermediate_size=37, num_hidden_layers=2, num_attention_heads=3,
                           max_position_embeddings=24, layer_norm_eps=1e-12)),
    # vision and text of different widths
    "shards": dict(weights="f16 shards", tokenizer="vocab.txt",
                   vision=dict(hidden_size=20, intermediate_size=33, num_hidden_layers=2, num_attention_heads=4,
                               image_size=26, patch_size=6, layer_norm_eps=1e-3),
                   text=dict(hidden_size=35, intermediate_size=39, num_hidden_layers=1, num_attention_heads=7,
                             max_position_embeddings=20, layer_norm_eps=1e-5)),
}


def blip_config(spec, **more):
    n = len(vocabulary())
    special = dict(vocab_size=n + 2, bos_token_id=n, eos_token_id=2, pad_token_id=0, sep_token_id=SEP,
                   encoder_hidden_size=spec["vision"]["hidden_size"])
    return BlipConfig(text_config={**spec["text"], **special}, vision_config=spec["vision"], **more)


def write_blip(folder, spec, config, model, seed):
    randomize(model, seed)
    save_model(model, folder, spec["weights"])
    write_tokenizer(folder, spec["tokenizer"])
    (folder / "preprocessor_config.json").write_text(preprocessor(spec["vision"]["image_size"]))


def write_model(folder, spec, seed):
    config = blip_config(spec)
    write_blip(folder, spec, config, BlipForConditionalGeneration(config), seed)


def tells_apart(entries):
    answers = [e["answer"]["ids"] for e in entries]
    return (len(set(map(tuple, answers))) >= 3 and any(1 < len(a) and a[-1] == SEP for a in answers)
            and min(e["margin"] for e in entries) > 0.02)


if __name__ == "__main__":
    pairs = [(i, q) for i in range(2) for q in range(2)]
    write_family(Caption, MODELS, write_model, [(53, 37), (29, 64)], TEXTS, pairs, tells_apart)
