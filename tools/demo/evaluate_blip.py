"""Greedy generate() accuracy of the BLIP demo model, by question type.

Usage: python evaluate_blip.py --model MODELDIR --out blip_accuracy.json

Pictures go through the folder's own image processor (PIL backend, bicubic),
questions through its own tokenizer, unpadded; the stored float16 weights are
computed with in float32.  `evaluation.py` says what is asked and what counts.
"""

import torch
from transformers import AutoTokenizer, BlipForQuestionAnswering
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

import evaluation
import scenes


def main():
    args = evaluation.arguments(__doc__)
    model = BlipForQuestionAnswering.from_pretrained(args.model, dtype=torch.float32).eval()
    tok = AutoTokenizer.from_pretrained(args.model)
    proc = BlipImageProcessorPil.from_pretrained(args.model)

    def generate(ids, pics):
        x = proc(pics, return_tensors="pt")["pixel_values"]
        y = model.generate(input_ids=ids, pixel_values=x, do_sample=False, max_new_tokens=5)
        return tok.batch_decode(y, skip_special_tokens=True)

    evaluation.measure(args, scenes, lambda question: tok(question)["input_ids"], generate)


if __name__ == "__main__":
    main()
