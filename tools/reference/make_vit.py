"""Writes tests/data/vit: small random ViT classifiers of awkward shapes, what transformers computes with them at every
site, their classes, and their logits under random interventions. See README.md for the layout.

Usage: make_vit.py [OUTPUT]
"""

import json

import torch
from transformers import ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from blip_sites import hook_patches
from families import Family, randomize, save_model, write_family


class Vit(Family):
    name, stacks = "vit", ("vision",)

    def open(self, folder, options):
        self.model = ViTForImageClassification.from_pretrained(folder, **options)
        self.processor = ViTImageProcessorPil.from_pretrained(folder)
        self.layers = {"vision": self.model.config.num_hidden_layers}

    def forward(self, pixels, ids):
        return self.model(pixel_values=pixels).logits

    def hook(self, sites, hooks):
        vit = self.model.vit
        hook_patches(hooks, vit.embeddings.patch_embeddings.projection)
        hooks.output(vit.embeddings, "vision.embed")
        for i, layer in enumerate(vit.layers):
            at, attention = f"vision.{i}.", layer.attention
            hooks.argument(layer, at + "resid_pre")
            hooks.output(layer.layernorm_before, at + "attn.in")
            hooks.swap(attention, self.attention(sites, at + "attn", attention))
            hooks.output(attention.o_proj, at + "attn.out")
            hooks.stream(layer.layernorm_after, at + "resid_mid")
            hooks.output(layer.layernorm_after, at + "mlp.in")
            hooks.output(layer.mlp.fc1, at + "mlp.pre")
            hooks.argument(layer.mlp.fc2, at + "mlp.post")
            hooks.output(layer.mlp.fc2, at + "mlp.out")
            hooks.output(layer, at + "resid_post")
        hooks.output(vit.layernorm, "vision.final")
        hooks.output(self.model.classifier, "head.logits")

    def attention(self, sites, name, m):
        def forward(x, attention_mask=None, **kwargs):
            assert attention_mask is None
            split = lambda y: y.view(*y.shape[:-1], -1, m.head_dim).transpose(1, 2)
            z, pattern = sites._attend(name, split(m.q_proj(x)), split(m.k_proj(x)), split(m.v_proj(x)),
                                       lambda s: s * m.scaling)
            return m.o_proj(z), pattern

        return forward

    @torch.no_grad()
    def check(self, pixels, ids):
        """The instrumented run equals the untouched model, at the logits and at every block."""
        out = self.model(pixel_values=pixels, output_hidden_states=True, output_attentions=True)
        seen = self.sites.run(pixels, ids)
        worst = (seen["head.logits"] - out.logits[0]).abs().max().item()
        for i, pattern in enumerate(out.attentions):
            worst = max(worst, (seen[f"vision.{i}.attn.pattern"] - pattern[0]).abs().max().item(),
                        (seen[f"vision.{i}.resid_pre"] - out.hidden_states[i][0]).abs().max().item())
        assert len(out.attentions) == self.layers["vision"] and worst <= 1e-5, worst

    def rows(self, ids):
        return None

    def piece(self, i):
        return self.model.config.id2label[i]

    @torch.no_grad()
    def answer(self, pixels, ids):
        top = self.forward(pixels, ids)[0].topk(2)
        best = top.indices[0].item()
        return ({"text": self.piece(best), "ids": [best], "complete": True}, (top.values[0] - top.values[1]).item())


MODELS = {
    # prefix vit.; 33 = 3 x 11; the last pixels belong to no patch
    "shards": dict(weights="f16 shards", labels=["tabby, tabby cat", "dog", "ball", "shirt", "zebra"],
                   config=dict(hidden_size=33, intermediate_size=50, num_hidden_layers=2, num_attention_heads=3,
                               image_size=29, patch_size=7)),
    # no prefix, a pooler that nothing reads, no qkv biases, another epsilon and activation
    "bare": dict(weights="zip", labels=[f"class {i}" for i in range(11)],
                 config=dict(hidden_size=28, intermediate_size=45, num_hidden_layers=2, num_attention_heads=7,
                             image_size=24, patch_size=6, qkv_bias=False, layer_norm_eps=1e-5, hidden_act="gelu_new")),
}


def write_model(folder, spec, seed):
    labels = dict(enumerate(spec["labels"]))
    config = ViTConfig(**spec["config"], id2label=labels, label2id={v: k for k, v in labels.items()})
    model = ViTForImageClassification(config)
    randomize(model, seed)
    bare = spec["weights"] == "zip"
    width = config.hidden_size
    pooler = {"pooler.dense.weight": torch.ones(width, width), "pooler.dense.bias": torch.ones(width)} if bare else {}
    save_model(model, folder, spec["weights"], lambda name: name.removeprefix("vit."), pooler)
    size = config.image_size  # one folder as before 4.25, one as later ones
    old = {"do_normalize": True, "do_resize": True, "feature_extractor_type": "ViTFeatureExtractor",
           "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": size}
    new = {**old, "do_rescale": True, "rescale_factor": 1 / 255, "size": {"height": size, "width": size},
           "image_processor_type": "ViTImageProcessor"}
    del new["feature_extractor_type"]
    (folder / "preprocessor_config.json").write_text(json.dumps(old if bare else new, indent=2) + "\n")


def different_classes(entries):
    return len({e["answer"]["ids"][0] for e in entries}) > 1 and min(e["margin"] for e in entries) > 0.02


if __name__ == "__main__":
    write_family(Vit, MODELS, write_model, [(53, 37), (29, 64), (24, 24)], [], [(0, 0), (1, 0), (2, 0)], different_classes)
