"""Writes tests/data/bert: small random BERT encoders of awkward shapes, what transformers computes with them at every site,
and their final states under random interventions. See README.md for the layout.

Usage: make_bert.py [OUTPUT]
"""

import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, BertModel

from blip_sites import hook_bert
from families import Family, randomize, save_model, vocabulary, write_family, write_tokenizer


class Bert(Family):
    name, stacks = "bert", ("text_encoder",)
    same = {"resid_pre": "resid_pre", "attn.in": "resid_pre", "mlp.in": "resid_mid"}

    def open(self, folder, options):
        self.model = BertModel.from_pretrained(folder, add_pooling_layer=False, **options)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.layers = {"text_encoder": self.model.config.num_hidden_layers}

    def forward(self, pixels, ids):
        self.final = self.model(input_ids=torch.tensor([ids])).last_hidden_state[0]

    def after(self, sites, pixels, ids):
        sites.seen["text_encoder.final"] = self.final.clone()

    def hook(self, sites, hooks):
        for i, layer in enumerate(self.model.encoder.layer):
            hooks.swap(layer.attention.self, sites._text_attention(f"text_encoder.{i}.attn", layer.attention.self))
        hook_bert(hooks, "text_encoder", self.model, cross=False)

    @torch.no_grad()
    def check(self, pixels, ids):
        out = self.model(input_ids=torch.tensor([ids]), output_hidden_states=True, output_attentions=True)
        seen = self.sites.run(pixels, ids)
        worst = (seen["text_encoder.final"] - out.last_hidden_state[0]).abs().max().item()
        for i, pattern in enumerate(out.attentions):
            worst = max(worst, (seen[f"text_encoder.{i}.attn.pattern"] - pattern[0]).abs().max().item(),
                        (seen[f"text_encoder.{i}.resid_pre"] - out.hidden_states[i][0]).abs().max().item())
        assert len(out.attentions) == self.layers["text_encoder"] and worst <= 1e-5, worst

    def target(self, seen):
        """There is no answer: the final states of the first two rows."""
        return seen["text_encoder.final"][:2].contiguous()

    def rows(self, ids):
        return ids

    def answer(self, pixels, ids):
        return None


TEXTS = ["what color is the shirt?", "where is the small dog?", "how many redish boats, on the BEACH? Ünïcode \u2603"]
MODELS = {
    # a bare BertModel in shards, with the pooler that published folders have; 21 = 3 x 7
    "shards": dict(weights="f16 shards", tokenizer="tokenizer.json", model=BertModel,
                   config=dict(hidden_size=21, intermediate_size=35, num_hidden_layers=2, num_attention_heads=3,
                               max_position_embeddings=26, type_vocab_size=2)),
    # prefix bert., a language-model head, gamma and beta; one token type, vocab.txt only
    "legacy": dict(weights="legacy", tokenizer="vocab.txt", model=BertForMaskedLM,
                   config=dict(hidden_size=25, intermediate_size=33, num_hidden_layers=2, num_attention_heads=5,
                               max_position_embeddings=40, type_vocab_size=1, layer_norm_eps=1e-5, hidden_act="gelu_new")),
}


def write_model(folder, spec, seed):
    config = BertConfig(**spec["config"], vocab_size=len(vocabulary()), tie_word_embeddings=True)
    model = spec["model"](config)
    config.text_config = config  # where randomize looks
    randomize(model, seed)
    del config.text_config
    old = lambda k: k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    save_model(model, folder, spec["weights"], old)
    write_tokenizer(folder, spec["tokenizer"])


if __name__ == "__main__":
    write_family(Bert, MODELS, write_model, [], TEXTS, [(0, 0), (0, 1)])
