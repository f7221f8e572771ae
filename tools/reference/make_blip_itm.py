"""Writes tests/data/blip_itm: small random BLIP image-text matching checkpoints of awkward shapes, what transformers computes
with them at every site, their scores and cosines, and the scores under random interventions. See README.md.

Usage: make_blip_itm.py [OUTPUT]
"""

import torch
from torch.nn.functional import normalize
from transformers import AutoTokenizer, BlipForImageTextRetrieval
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from blip_sites import hook_bert, hook_vision
from families import Family, write_family
from make_blip_caption import blip_config, write_blip


class Matching(Family):
    name, stacks = "blip_itm", ("vision", "text_encoder", "text_encoder")

    def open(self, folder, options):
        self.model = BlipForImageTextRetrieval.from_pretrained(folder, **options)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.processor = BlipImageProcessorPil.from_pretrained(folder)
        c = self.model.config
        self.layers = {"vision": c.vision_config.num_hidden_layers, "text_encoder": c.text_config.num_hidden_layers}

    def forward(self, pixels, ids):
        return self.model(pixel_values=pixels, input_ids=torch.tensor([ids])).itm_score

    def attentions(self, sites, hooks, stack, kinds):
        for i, layer in enumerate(self.model.text_encoder.encoder.layer):
            for kind in kinds:
                attention = (layer.attention if kind == "attn" else layer.crossattention).self
                hooks.swap(attention, sites._text_attention(f"{stack}.{i}.{kind}", attention))

    def hook(self, sites, hooks):
        m = self.model
        for i, layer in enumerate(m.vision_model.encoder.layers):
            hooks.swap(layer.self_attn, sites._vision_attention(f"vision.{i}.attn", layer.self_attn))
        self.attentions(sites, hooks, "text_encoder", ("attn", "cross"))
        hook_vision(hooks, m.vision_model)
        hook_bert(hooks, "text_encoder", m.text_encoder)
        hooks.output(m.itm_head, "head.logits")

    def after(self, sites, pixels, ids):
        """The pass without the picture, and the cosine; edits do not reach it."""
        def hook(hooks):
            self.attentions(sites, hooks, "text_alone", ("attn",))
            hook_bert(hooks, "text_alone", self.model.text_encoder, cross=False)

        m, sites.edit = self.model, None
        with sites.hooked(hook):
            text = m.text_encoder(input_ids=torch.tensor([ids])).last_hidden_state
        sites.seen["text_alone.final"] = text[0].clone()
        image = normalize(m.vision_proj(sites.seen["vision.final"][:1]), dim=-1)
        text = normalize(m.text_proj(text[0, :1]), dim=-1)
        sites.seen.update({"contrast.image": image, "contrast.text": text, "contrast.cosine": image @ text.T})

    @torch.no_grad()
    def check(self, pixels, ids):
        seen = self.sites.run(pixels, ids)
        cosine = self.model(pixel_values=pixels, input_ids=torch.tensor([ids]), use_itm_head=False).itm_score
        worst = max((seen["head.logits"] - self.forward(pixels, ids)[0]).abs().max().item(),
                    (seen["contrast.cosine"] - cosine).abs().max().item())
        assert worst <= 1e-5, worst

    def rows(self, ids):
        return ids

    def piece(self, i):
        return ["no match", "match"][i]

    @torch.no_grad()
    def answer(self, pixels, ids):
        score = self.forward(pixels, ids)[0]
        best = score.argmax().item()
        return {"text": self.piece(best), "ids": [best], "complete": True}, (score[0] - score[1]).abs().item()


TEXTS = ["the shirt is big red", "the small dog is yellow", "redish boats, on the BEACH? Ünïcode \u2603"]
MODELS = {
    "zip": dict(weights="zip", tokenizer="vocab.txt", projection=17,
                vision=dict(hidden_size=27, intermediate_size=41, num_hidden_layers=1, num_attention_heads=9, image_size=26,
                            patch_size=8, layer_norm_eps=1e-5),
                text=dict(hidden_size=27, intermediate_size=37, num_hidden_layers=2, num_attention_heads=3,
                          max_position_embeddings=24, layer_norm_eps=1e-12)),
    # vision and text of different widths
    "shards": dict(weights="f16 shards", tokenizer="tokenizer.json", projection=40,
                   vision=dict(hidden_size=20, intermediate_size=33, num_hidden_layers=2, num_attention_heads=4,
                               image_size=26, patch_size=6, layer_norm_eps=1e-3),
                   text=dict(hidden_size=35, intermediate_size=39, num_hidden_layers=1, num_attention_heads=7,
                             max_position_embeddings=30, layer_norm_eps=1e-5)),
}


def write_model(folder, spec, seed):
    config = blip_config(spec, image_text_hidden_size=spec["projection"])
    write_blip(folder, spec, config, BlipForImageTextRetrieval(config), seed)


def both(entries):
    """Matches and others, by more than rounding; cosines that are not next to nothing."""
    return (len({e["answer"]["text"] for e in entries}) == 2 and min(e["margin"] for e in entries) > 0.02
            and min(abs(e["cosine"]) for e in entries) > 0.1)


if __name__ == "__main__":
    pairs = [(i, q) for i in range(2) for q in range(2)]
    write_family(Matching, MODELS, write_model, [(53, 37), (29, 64)], TEXTS, pairs, both)
