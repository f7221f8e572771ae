"""Every named activation of transformers' LlavaForConditionalGeneration, readable and writable.

Instrumented(model).run(pixels, ids, edit) runs one forward pass over ids that already hold one image id per image row,
and calls edit(name, value) at every site; the value returned is used from there on. The rows of several pictures are
shown one behind the other, their scores and patterns as blocks on a diagonal. Names and shapes as in blip_sites.py; k, v
and rot_k have the key heads, head.logits is the last row's. Vision blocks behind the feature layer run here like the
others; vision.final is post_layernorm of all rows, which the model itself never computes.

The features are taken from the state before the feature block as the sites have it, because transformers collects its
hidden states at places of its own; check() shows that this changes nothing in a run without edits.
"""

import contextlib
import math

import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb as rotate_llama
from transformers.models.llama.modeling_llama import repeat_kv
from transformers.models.phi3.modeling_phi3 import apply_rotary_pos_emb as rotate_phi3

import blip_sites


class Instrumented(blip_sites.Instrumented):
    def __init__(self, model, ends):
        super().__init__(model)
        self.ends = ends
        self.vision, self.language = model.model.vision_tower, model.model.language_model
        self.phi3 = model.config.text_config.model_type == "phi3"

    # -- one run -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def run(self, pixels, ids, edit=None):
        m = self.model
        self.edit, self.seen, self.pictures = edit, {}, len(pixels)
        with self._installed():
            m(input_ids=torch.tensor([ids]), pixel_values=self._at("vision.pixels", pixels), use_cache=False)
        last = f"vision.{len(self.vision.encoder.layers) - 1}.resid_post"
        self._at("vision.final", self.vision.post_layernorm(self.seen[last][None]))
        return self.seen

    @torch.no_grad()
    def plain_logits(self, pixels, ids):
        return self.model(input_ids=torch.tensor([ids]), pixel_values=pixels).logits[0, -1]

    def may_cache(self):
        """Llama's class ignores a sliding window in its configuration; the cache of this version does not."""
        return self.phi3 or getattr(self.model.config.text_config, "sliding_window", None) is None

    def generate(self, pixels, ids, count):
        cache = self.may_cache()
        out = self.model.generate(input_ids=torch.tensor([ids]), pixel_values=pixels, do_sample=False, num_beams=1,
                                  max_new_tokens=count, eos_token_id=self.ends, use_cache=cache)
        return out[0, len(ids):].tolist()

    @torch.no_grad()
    def generate_slowly(self, pixels, ids, count):
        """The same without a cache; also the smallest margin between the first and second choice."""
        answer, margin = [], math.inf
        while len(answer) < count and not (answer and answer[-1] in self.ends):
            top = self.plain_logits(pixels, ids + answer).topk(2)
            margin = min(margin, (top.values[0] - top.values[1]).item())
            answer.append(top.indices[0].item())
        return answer, margin

    # -- sites -------------------------------------------------------------------------------------------------------

    def _at(self, name, value):
        n, rows = value.shape[0], value.shape[-1]
        if n == 1:
            return super()._at(name, value)
        if name == "vision.pixels":
            return super()._at(name, value[None])[0]
        if not name.endswith((".scores", ".pattern")):
            return super()._at(name, value.flatten(0, 1)[None]).reshape(value.shape)
        shown = value.new_full((1, value.shape[1], n * rows, n * rows), -math.inf if name.endswith(".scores") else 0.0)
        for k in range(n):
            shown[0, :, k * rows:(k + 1) * rows, k * rows:(k + 1) * rows] = value[k]
        new = super()._at(name, shown)[0]
        return torch.stack([new[:, k * rows:(k + 1) * rows, k * rows:(k + 1) * rows] for k in range(n)])

    def _attentions(self):
        out = [(f"vision.{i}.attn", layer.self_attn, layer.self_attn, layer.self_attn.out_proj)
               for i, layer in enumerate(self.vision.encoder.layers)]
        return out + [(f"language.{i}.attn", layer.self_attn, layer.self_attn, layer.self_attn.o_proj)
                      for i, layer in enumerate(self.language.layers)]

    def _vision_attention(self, name, m):
        def forward(hidden_states, **kwargs):
            split = lambda y: y.view(*y.shape[:-1], m.num_heads, m.head_dim).transpose(1, 2)
            q, k, v = (split(p(hidden_states)) for p in (m.q_proj, m.k_proj, m.v_proj))
            z, pattern = self._attend(name, q, k, v, lambda s: s * m.scale)
            return m.out_proj(z), pattern

        return forward

    def _language_attention(self, name, m):
        def forward(hidden_states, position_embeddings=None, attention_mask=None, **kwargs):
            split = lambda y: y.view(*y.shape[:-1], -1, m.head_dim).transpose(1, 2)
            if self.phi3:
                kv = m.num_key_value_heads * m.head_dim
                fused = m.qkv_proj(hidden_states)
                q, k, v = (split(y) for y in fused.split([fused.shape[-1] - 2 * kv, kv, kv], dim=-1))
            else:
                q, k, v = (split(p(hidden_states)) for p in (m.q_proj, m.k_proj, m.v_proj))
            q, k, v = self._heads(name + ".q", q), self._heads(name + ".k", k), self._heads(name + ".v", v)
            q, k = (rotate_phi3 if self.phi3 else rotate_llama)(q, k, *position_embeddings)
            q, k = self._heads(name + ".rot_q", q), self._heads(name + ".rot_k", k)
            groups = m.num_key_value_groups
            scores = torch.matmul(q, repeat_kv(k, groups).transpose(2, 3)) * m.scaling
            scores = self._at(name + ".scores", scores.masked_fill(attention_mask < 0, -torch.inf))
            pattern = torch.softmax(scores, dim=-1)
            blocked = torch.isneginf(scores).all(dim=-1, keepdim=True)
            pattern = self._at(name + ".pattern", torch.where(blocked, torch.zeros_like(pattern), pattern))
            z = torch.matmul(pattern, repeat_kv(v, groups)).transpose(1, 2).contiguous()
            return m.o_proj(self._at(name + ".z", z).flatten(2)), pattern

        return forward

    def _features(self, given):
        """The rows that the projector reads, from the sites."""
        c = self.model.config
        k = c.vision_feature_layer if isinstance(c.vision_feature_layer, int) else c.vision_feature_layer[0]
        n = len(self.vision.encoder.layers)
        k = k % (n + 1)
        rows = self.seen[f"vision.{k}.resid_pre" if k < n else f"vision.{n - 1}.resid_post"]
        rows = rows.reshape(self.pictures, -1, rows.shape[-1])
        rows = rows[:, 1:] if c.vision_feature_select_strategy == "default" else rows
        assert self.edit is not None or torch.equal(rows.reshape(given.shape), given)
        return rows.reshape(given.shape)

    @contextlib.contextmanager
    def _installed(self):
        undo = []

        def output(module, name):
            undo.append(module.register_forward_hook(lambda mod, args, out: self._at(name, out)).remove)

        def argument(module, name, key="hidden_states"):
            def hook(mod, args, kwargs):
                if args:
                    return (self._at(name, args[0]), *args[1:]), kwargs
                return args, {**kwargs, key: self._at(name, kwargs[key])}

            undo.append(module.register_forward_pre_hook(hook, with_kwargs=True).remove)

        def swap(module, forward):
            module.forward = forward
            undo.append(lambda: delattr(module, "forward"))

        def in_place(module, name):
            def hook(mod, args):
                args[0].copy_(self._at(name, args[0]))  # the residual branch holds the same tensor

            undo.append(module.register_forward_pre_hook(hook).remove)

        for name, attention, _, _ in self._attentions():
            kind = self._vision_attention if name.startswith("vision.") else self._language_attention
            swap(attention, kind(name, attention))
        vision, projector, language = self.vision, self.model.model.multi_modal_projector, self.language

        def patches(mod, args, out):
            rows = self._at("vision.patches", out.flatten(2).transpose(1, 2))
            return rows.transpose(1, 2).reshape(out.shape)

        undo.append(vision.embeddings.patch_embedding.register_forward_hook(patches).remove)
        output(vision.pre_layrnorm, "vision.embed")
        for i, layer in enumerate(vision.encoder.layers):
            at = f"vision.{i}."
            argument(layer, at + "resid_pre")
            output(layer.layer_norm1, at + "attn.in")
            output(layer.self_attn.out_proj, at + "attn.out")
            in_place(layer.layer_norm2, at + "resid_mid")
            output(layer.layer_norm2, at + "mlp.in")
            output(layer.mlp.fc1, at + "mlp.pre")
            argument(layer.mlp.fc2, at + "mlp.post")
            output(layer.mlp.fc2, at + "mlp.out")
            output(layer, at + "resid_post")

        undo.append(projector.register_forward_pre_hook(lambda mod, args: (self._features(args[0]),)).remove)
        argument(projector.linear_1, "projector.mlp.in")
        output(projector.linear_1, "projector.mlp.pre")
        argument(projector.linear_2, "projector.mlp.post")
        output(projector.linear_2, "projector.mlp.out")
        argument(language, "language.embed", "inputs_embeds")

        def fused(mod, args, out, at):
            gate, up = out.chunk(2, dim=-1)
            return torch.cat([self._at(at + "mlp.pre", gate), self._at(at + "mlp.up", up)], dim=-1)

        for i, layer in enumerate(language.layers):
            at = f"language.{i}."
            argument(layer, at + "resid_pre")
            output(layer.input_layernorm, at + "attn.in")
            output(layer.self_attn.o_proj, at + "attn.out")
            in_place(layer.post_attention_layernorm, at + "resid_mid")
            output(layer.post_attention_layernorm, at + "mlp.in")
            if self.phi3:
                hook = lambda mod, args, out, at=at: fused(mod, args, out, at)
                undo.append(layer.mlp.gate_up_proj.register_forward_hook(hook).remove)
            else:
                output(layer.mlp.gate_proj, at + "mlp.pre")
                output(layer.mlp.up_proj, at + "mlp.up")
            argument(layer.mlp.down_proj, at + "mlp.post")
            output(layer.mlp.down_proj, at + "mlp.out")
            output(layer, at + "resid_post")
        output(language.norm, "language.final")
        head = self.model.lm_head
        undo.append(head.register_forward_hook(lambda mod, args, out: self._at("head.logits", out[:, -1])[:, None]).remove)
        try:
            yield
        finally:
            for step in undo:
                step()
