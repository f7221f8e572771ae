"""The workloads of compare_vision.py in PyTorch: one forward pass, or one restore with hooks, per line read from
standard input. Answers each with the seconds it took. Float32, gradients off, the given number of threads.
"""

import argparse
import json
import os
import sys
import time


def load(a):
    import torch
    from PIL import Image
    import transformers

    torch.set_num_threads(a.threads)
    torch.set_grad_enabled(False)
    kind = json.load(open(os.path.join(a.model, "config.json")))["model_type"]
    name = {"vit": "ViTForImageClassification", "clip": "CLIPModel"}[kind]
    net = getattr(transformers, name).from_pretrained(a.model, attn_implementation=a.attention, dtype=torch.float32).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(a.model)
    inputs = {"pixel_values": processor(Image.open(a.image).convert("RGB"), return_tensors="pt")["pixel_values"]}
    if kind == "clip":
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=os.path.join(a.model, "tokenizer.json"))
        inputs["input_ids"] = torch.tensor([tokenizer(a.prompt)["input_ids"]])
    return torch, net, inputs


def blocks(net):
    """The transformer blocks of a ViT, whatever this version of transformers calls their list."""
    import torch

    lists = [m for m in net.modules() if isinstance(m, torch.nn.ModuleList)]
    return max(lists, key=len)


def restore(torch, net, inputs, clean, noise, layer, row):
    """The corrupted run with one row of one block's output put back, and the logit of one class."""

    def corrupt(module, args, output):
        return output * noise

    def put_back(module, args, output):
        state = output[0] if isinstance(output, tuple) else output
        state[:, row] = clean[layer][:, row]
        return output

    hooks = [net.vit.embeddings.register_forward_hook(corrupt), blocks(net)[layer].register_forward_hook(put_back)]
    logit = net(**inputs).logits[0, 0]
    for hook in hooks:
        hook.remove()
    return logit


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model")
    arguments.add_argument("--image", required=True)
    arguments.add_argument("--prompt", default="a")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--attention", choices=["eager", "sdpa"], default="eager")
    a = arguments.parse_args()
    torch, net, inputs = load(a)
    first = net(**inputs)
    clean, noise = None, None
    if hasattr(net, "vit"):
        clean = net(**inputs, output_hidden_states=True).hidden_states[1:]
        noise = 1 + 5 * torch.randn_like(clean[0])
    import transformers

    logits = first.logits[0] if hasattr(first, "logits") else first.logits_per_image[0]
    print("ready torch", torch.__version__, "transformers", transformers.__version__, "first logit", float(logits[0]), flush=True)
    for line in sys.stdin:
        words = line.split()
        started = time.perf_counter()
        if words[0] == "forward":
            net(**inputs)
        else:
            restore(torch, net, inputs, clean, noise, int(words[1]), int(words[2]))
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
