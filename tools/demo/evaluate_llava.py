"""Greedy generate() accuracy of the LLaVA demo model, by question type.

Usage: python evaluate_llava.py --model MODELDIR --out llava_accuracy.json

Pictures go through the folder's own image processor (PIL backend, bicubic),
questions in the prompt's template through its own tokenizer, unpadded; the
stored float16 weights are computed with in float32.  `evaluation.py` says what
is asked and what counts.
"""

import torch
from transformers import AutoTokenizer, LlavaForConditionalGeneration
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import evaluation
import sentences
from train_llava import IMAGE_ROWS, prompt


def main():
    args = evaluation.arguments(__doc__)
    model = LlavaForConditionalGeneration.from_pretrained(args.model, dtype=torch.float32).eval()
    tok = AutoTokenizer.from_pretrained(args.model)
    proc = CLIPImageProcessorPil.from_pretrained(args.model)

    def generate(ids, pics):
        x = proc(pics, return_tensors="pt")["pixel_values"]
        y = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=x, do_sample=False,
                           max_new_tokens=24)
        return tok.batch_decode(y[:, ids.shape[1]:], skip_special_tokens=True)

    evaluation.measure(args, sentences, lambda question: tok(prompt(question, IMAGE_ROWS))["input_ids"], generate)


if __name__ == "__main__":
    main()
