"""Every named activation of transformers' BlipForQuestionAnswering, readable and writable.

Instrumented(model).run(pixels, ids, edit) runs vision -> text_encoder -> one text_decoder row [bos], without masks, and
calls edit(name, value) at every site in execution order; the value returned is used from there on. Names are the
canonical addresses `STACK.LAYER.SITE`; values have no batch axis: q, k, v, z [T, H, Dh]; scores, pattern [H, T, S];
everything else [T, D], vision.pixels [3, H, W], head.logits [V].

Where transformers has a module boundary, hooks are used. Between q, k, v and z there is none, so the two attention
forwards are replaced, for the time of a run, by the same operations with sites between them; check() compares such a
run with the untouched model.

What a write at an inner site means, where several sites hold the same numbers:
  resid_pre, resid_mid, resid_cross  the residual stream itself: every later reader sees the change
  attn.in, cross.in, mlp.in          only the projections that read it (q, k, v; the cross query; the first MLP layer)
"""

import contextlib
import math

import torch


class Instrumented:
    def __init__(self, model):
        self.model = model.eval()
        self.edit = None
        self.seen = None
        self.keep = None  # a predicate on names: what is remembered of a run; None: everything

    # -- one run -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def run(self, pixels, ids, edit=None):
        """Returns {name: value}, in execution order; head.logits is the last."""
        m = self.model
        self.edit, self.seen = edit, {}
        with self._installed():
            states = m.vision_model(pixel_values=self._at("vision.pixels", pixels)).last_hidden_state
            states = m.text_encoder(input_ids=torch.tensor([ids]), encoder_hidden_states=states).last_hidden_state
            m.text_decoder(input_ids=torch.tensor([[m.config.text_config.bos_token_id]]), encoder_hidden_states=states)
        return self.seen

    @torch.no_grad()
    def plain_logits(self, pixels, ids):
        """The untouched model's logits for the same run."""
        m = self.model
        states = m.vision_model(pixel_values=pixels).last_hidden_state
        states = m.text_encoder(input_ids=torch.tensor([ids]), encoder_hidden_states=states).last_hidden_state
        bos = torch.tensor([[m.config.text_config.bos_token_id]])
        return m.text_decoder(input_ids=bos, encoder_hidden_states=states).logits[0, 0]

    @torch.no_grad()
    def check(self, pixels, ids, tolerance=1e-6):
        """The instrumented run equals the model's own run, at the logits and at every attention."""
        m, own = self.model, {}
        hooks = []
        for name, attention, _, projection in self._attentions():
            hooks.append(attention.register_forward_hook(
                lambda mod, args, out, n=name: own.__setitem__(n + ".pattern", out[1][0])))
            hooks.append(projection.register_forward_pre_hook(
                lambda mod, args, n=name: own.__setitem__(n + ".z", args[0][0])))
        logits = self.plain_logits(pixels, ids)
        for hook in hooks:
            hook.remove()
        seen = self.run(pixels, ids)
        worst = (seen["head.logits"] - logits).abs().max().item()
        for name, value in own.items():
            worst = max(worst, (seen[name].reshape(value.shape) - value).abs().max().item())
        assert len(own) == 2 * len(self._attentions()), "an attention was not seen"
        assert worst <= tolerance, f"instrumented run differs by {worst}"
        return worst

    def generate(self, pixels, ids):
        """Greedy ids after the start token, as generate() gives them."""
        m = self.model
        out = m.generate(input_ids=torch.tensor([ids]), pixel_values=pixels, do_sample=False, num_beams=1)
        return out[0, 1:].tolist()

    @torch.no_grad()
    def generate_slowly(self, pixels, ids):
        """The same without a cache; also the smallest margin between the first and second choice.

        generate() of the pinned version stops after 20 new tokens whatever config.json says; versions before 5 count the
        start token in text_config.max_length, which published folders set to 20, and stop after 19.
        """
        m, config = self.model, self.model.config.text_config
        states = m.vision_model(pixel_values=pixels).last_hidden_state
        states = m.text_encoder(input_ids=torch.tensor([ids]), encoder_hidden_states=states).last_hidden_state
        answer, margin = [config.bos_token_id], math.inf
        while len(answer) < 21:
            logits = m.text_decoder(input_ids=torch.tensor([answer]), encoder_hidden_states=states).logits[0, -1]
            top = logits.topk(2)
            margin = min(margin, (top.values[0] - top.values[1]).item())
            answer.append(top.indices[0].item())
            if answer[-1] == config.sep_token_id:
                break
        return answer[1:], margin

    # -- sites -------------------------------------------------------------------------------------------------------

    def _at(self, name, value):
        """value has a batch axis of one."""
        new = value
        if self.edit is not None:
            edited = self.edit(name, value[0])
            if edited is not None:
                new = edited[None]
        if self.keep is None or self.keep(name):
            self.seen[name] = new[0].clone()
        return new

    def _heads(self, name, value):
        """The same for [1, H, T, Dh], shown as [T, H, Dh]."""
        shown = value.transpose(1, 2)
        new = self._at(name, shown)
        return value if new is shown else new.transpose(1, 2)

    def _attentions(self):
        """(address, attention module, its module with q, k, v, the projection that reads z)"""
        m, out = self.model, []
        for i, layer in enumerate(m.vision_model.encoder.layers):
            out.append((f"vision.{i}.attn", layer.self_attn, layer.self_attn, layer.self_attn.projection))
        for stack, bert in (("text_encoder", m.text_encoder), ("text_decoder", m.text_decoder.bert)):
            for i, layer in enumerate(bert.encoder.layer):
                out.append((f"{stack}.{i}.attn", layer.attention.self, layer.attention.self,
                            layer.attention.output.dense))
                out.append((f"{stack}.{i}.cross", layer.crossattention.self, layer.crossattention.self,
                            layer.crossattention.output.dense))
        return out

    def _attend(self, name, q, k, v, scale):
        q, k, v = self._heads(name + ".q", q), self._heads(name + ".k", k), self._heads(name + ".v", v)
        scores = self._at(name + ".scores", scale(torch.matmul(q, k.transpose(-1, -2))))
        pattern = torch.softmax(scores, dim=-1)
        blocked = torch.isneginf(scores).all(dim=-1, keepdim=True)
        if blocked.any():
            pattern = torch.where(blocked, torch.zeros_like(pattern), pattern)
        pattern = self._at(name + ".pattern", pattern)
        z = torch.matmul(pattern, v).permute(0, 2, 1, 3).contiguous()
        return self._at(name + ".z", z).flatten(2), pattern

    def _vision_attention(self, name, m):
        def forward(hidden_states, **kwargs):
            b, t, d = hidden_states.size()
            q, k, v = m.qkv(hidden_states).reshape(b, t, 3, m.num_heads, d // m.num_heads).permute(2, 0, 3, 1, 4)
            z, pattern = self._attend(name, q, k, v, lambda s: s * m.scale)
            return m.projection(z), pattern

        return forward

    def _text_attention(self, name, m):
        def forward(hidden_states, attention_mask=None, encoder_hidden_states=None, past_key_values=None, **kwargs):
            assert past_key_values is None or past_key_values.get_seq_length() == 0
            hidden = None if attention_mask is None else attention_mask < -1000  # BLIP hides with -10000
            x = self._at(name + ".in", hidden_states)
            keys = x if encoder_hidden_states is None else encoder_hidden_states
            split = lambda y: y.view(*y.shape[:-1], -1, m.attention_head_size).transpose(1, 2)

            def scale(scores):
                scores = scores / math.sqrt(m.attention_head_size)
                return scores if hidden is None else scores.masked_fill(hidden, -torch.inf)

            return self._attend(name, split(m.query(x)), split(m.key(keys)), split(m.value(keys)), scale)

        return forward

    @contextlib.contextmanager
    def _installed(self):
        hooks = Hooks(self)
        self._hook(hooks)
        try:
            yield
        finally:
            hooks.remove()

    def _hook(self, hooks):
        m = self.model
        for name, attention, qkv, _ in self._attentions():
            kind = self._vision_attention if name.startswith("vision.") else self._text_attention
            hooks.swap(attention, kind(name, qkv))
        hook_vision(hooks, m.vision_model)
        hook_bert(hooks, "text_encoder", m.text_encoder)
        hook_bert(hooks, "text_decoder", m.text_decoder.bert)
        hooks.call(m.text_decoder.cls, lambda mod, args, out: self._at("head.logits", out[:, 0])[:, None])


class Hooks:
    """Hooks on modules, removed all at once."""

    def __init__(self, sites):
        self.at, self.undo = sites._at, []

    def call(self, module, function):
        self.undo.append(module.register_forward_hook(function).remove)

    def output(self, module, name):
        self.call(module, lambda mod, args, out: self.at(name, out))

    def argument(self, module, name):
        def hook(mod, args, kwargs):
            if args:
                return (self.at(name, args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": self.at(name, kwargs["hidden_states"])}

        self.undo.append(module.register_forward_pre_hook(hook, with_kwargs=True).remove)

    def stream(self, module, name):
        """The argument changed in place: the residual branch holds the same tensor."""
        def hook(mod, args):
            args[0].copy_(self.at(name, args[0]))

        self.undo.append(module.register_forward_pre_hook(hook).remove)

    def swap(self, module, forward):
        module.forward = forward
        self.undo.append(lambda: delattr(module, "forward"))

    def remove(self):
        for step in self.undo:
            step()


def hook_patches(hooks, convolution):
    def patches(mod, args, out):
        rows = hooks.at("vision.patches", out.flatten(2).transpose(1, 2))
        return rows.transpose(1, 2).reshape(out.shape)

    hooks.call(convolution, patches)


def hook_vision(hooks, vision):
    """BLIP's vision_model, but for its attentions."""
    hook_patches(hooks, vision.embeddings.patch_embedding)
    hooks.output(vision.embeddings, "vision.embed")
    for i, layer in enumerate(vision.encoder.layers):
        at = f"vision.{i}."
        hooks.argument(layer, at + "resid_pre")
        hooks.output(layer.layer_norm1, at + "attn.in")
        hooks.output(layer.self_attn.projection, at + "attn.out")
        hooks.stream(layer.layer_norm2, at + "resid_mid")
        hooks.output(layer.layer_norm2, at + "mlp.in")
        hooks.output(layer.mlp.fc1, at + "mlp.pre")
        hooks.argument(layer.mlp.fc2, at + "mlp.post")
        hooks.output(layer.mlp.fc2, at + "mlp.out")
        hooks.output(layer, at + "resid_post")

    def final(mod, args, out):
        return hooks.at("vision.final", out) if out.dim() == 3 else out  # not the pooler's second use

    hooks.call(vision.post_layernorm, final)


def hook_bert(hooks, stack, bert, cross=True):
    """A BERT or BLIP text stack, but for its attentions."""
    hooks.output(bert.embeddings, f"{stack}.embed")
    for i, layer in enumerate(bert.encoder.layer):
        at = f"{stack}.{i}."
        hooks.argument(layer, at + "resid_pre")
        hooks.output(layer.attention.output.dense, at + "attn.out")
        hooks.output(layer.attention.output.LayerNorm, at + "resid_mid")
        if cross:
            hooks.output(layer.crossattention.output.dense, at + "cross.out")
            hooks.output(layer.crossattention.output.LayerNorm, at + "resid_cross")
        hooks.argument(layer.intermediate.dense, at + "mlp.in")
        hooks.output(layer.intermediate.dense, at + "mlp.pre")
        hooks.argument(layer.output.dense, at + "mlp.post")
        hooks.output(layer.output.dense, at + "mlp.out")
        hooks.output(layer, at + "resid_post")
