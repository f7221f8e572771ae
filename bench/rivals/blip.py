"""The workloads of the benchmark in PyTorch and in pyvene, on a BLIP-VQA checkpoint folder.

What is timed is what a user of those tools runs: float32, eager attention, gradients off, the given number of threads.
"""

import argparse
import statistics
import sys
import time


def load(model, threads):
    import torch
    from PIL import Image  # noqa: F401  (imported here so that its import is not timed later)
    from transformers import AutoTokenizer, BlipForQuestionAnswering, BlipImageProcessor

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    net = BlipForQuestionAnswering.from_pretrained(model, attn_implementation="eager", torch_dtype=torch.float32).eval()
    return torch, net, AutoTokenizer.from_pretrained(model), BlipImageProcessor.from_pretrained(model)


def inputs(torch, tokenizer, processor, image, question):
    from PIL import Image

    pixels = processor(Image.open(image).convert("RGB"), return_tensors="pt")["pixel_values"]
    return tokenizer(question, return_tensors="pt")["input_ids"], pixels


def forward(torch, net, ids, pixels):
    """One plain run: picture, question, one decoder row."""
    image = net.vision_model(pixel_values=pixels)[0]
    mask = torch.ones(image.shape[:-1], dtype=torch.long)
    question = net.text_encoder(input_ids=ids, encoder_hidden_states=image, encoder_attention_mask=mask)[0]
    start = torch.full((1, 1), net.decoder_start_token_id)
    return net.text_decoder(input_ids=start, encoder_hidden_states=question).logits[0, -1]


def torch_device(net):
    return next(net.parameters()).device


def pyvene_runs(net, base, source, cells):
    """Interchange of a block's output at one row, one (layer, row) cell after the other."""
    import pyvene
    from pyvene.models.blip.modelings_blip import BlipWrapper

    wrapped = BlipWrapper(net)
    wrapped.device = torch_device(net)  # pyvene asks for it and its wrapper has none
    for layer, row in cells:
        config = pyvene.IntervenableConfig(
            model_type=type(wrapped),
            representations=[{"layer": layer, "component": "block_output", "unit": "pos", "max_number_of_units": 1}],
            intervention_types=pyvene.VanillaIntervention,
        )
        intervenable = pyvene.IntervenableModel(config, model=wrapped)
        intervenable.set_device("cpu")
        started = time.perf_counter()
        intervenable(
            {"input_ids": base[0], "pixel_values": base[1]},
            [{"input_ids": source[0], "pixel_values": source[1]}],
            {"sources->base": ([[[row]]], [[[row]]])},
        )
        yield time.perf_counter() - started


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model")
    arguments.add_argument("--image", required=True)
    arguments.add_argument("--question", default="what is the color of the shirt")
    arguments.add_argument("--other", default="what is the shirt of the color")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--repeat", type=int, default=5)
    arguments.add_argument("--pyvene", type=int, default=0, metavar="CELLS", help="time this many interchange runs, too")
    arguments.add_argument("--serve", action="store_true", help="time one forward per line read from standard input")
    a = arguments.parse_args()
    torch, net, tokenizer, processor = load(a.model, a.threads)
    source = inputs(torch, tokenizer, processor, a.image, a.question)
    base = inputs(torch, tokenizer, processor, a.image, a.other)
    forward(torch, net, *source)
    if a.serve:
        print("ready", flush=True)
        for _ in sys.stdin:
            started = time.perf_counter()
            forward(torch, net, *source)
            print(time.perf_counter() - started, flush=True)
        return
    times = []
    for _ in range(a.repeat):
        started = time.perf_counter()
        forward(torch, net, *source)
        times.append(time.perf_counter() - started)
    print(f"forward_min {min(times):.4f}\nforward_median {statistics.median(times):.4f}")
    if a.pyvene:
        cells = [((5 * i) % net.config.text_config.num_hidden_layers, i % source[0].shape[1]) for i in range(a.pyvene)]
        times = list(pyvene_runs(net, base, source, cells))
        print(f"pyvene_run_min {min(times):.4f}\npyvene_run_median {statistics.median(times):.4f}")


if __name__ == "__main__":
    main()
