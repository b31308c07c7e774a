#!/usr/bin/env python3
"""Scores questions.jsonl with PyTorch as build-nanogpt's hellaswag.py does: four rows a question, a mask over the ending.

  TORCH_GPT2=path/to/torch_gpt2.py python3 train/eval/testdata/hellaswag/reference.py > train/eval/testdata/hellaswag/torch.json

The model is the Hugging Face directory of model/testdata/greedy, tokens are bytes. A row longer than the context and one
target loses its oldest tokens. Prints the cross-entropy of every ending, summed and averaged over its tokens, and the two
accuracies.
"""
import argparse, importlib.util, json, os, pathlib
import torch
import torch.nn.functional as F

here = pathlib.Path(__file__).parent
weights = here.parents[2] / "model" / "testdata" / "greedy"
spec = importlib.util.spec_from_file_location("torch_gpt2", os.environ["TORCH_GPT2"])
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

config = json.loads((weights / "config.json").read_text())
shape = argparse.Namespace(block_size=config["n_positions"], **{k: config[k] for k in ("n_layer", "n_head", "n_embd", "vocab_size")})
model = reference.GPT2(shape)
reference.load_hf(model, str(weights))

questions, right, right_norm = [], 0, 0
for line in (here / "questions.jsonl").read_text(encoding="utf-8").splitlines():
    q = json.loads(line)
    rows, masks = [], []
    for ending in q["endings"]:
        context, end = list(q["ctx"].encode()), list((" " + ending).encode())
        keep = slice(-(shape.block_size + 1), None)
        rows.append((context + end)[keep])
        masks.append(([0] * len(context) + [1] * len(end))[keep])
    width = max(map(len, rows))
    tokens = torch.tensor([r + [0] * (width - len(r)) for r in rows])
    mask = torch.tensor([m + [0] * (width - len(m)) for m in masks])[:, 1:].float()
    with torch.no_grad():
        logits = model(tokens[:, :-1])
    losses = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none") * mask
    total = losses.sum(1)
    mean = total / mask.sum(1)
    right += total.argmin().item() == q["label"]
    right_norm += mean.argmin().item() == q["label"]
    questions.append({"sum": total.tolist(), "mean": mean.tolist()})
n = len(questions)
print(json.dumps({"n": n, "acc": right / n, "acc_norm": right_norm / n, "questions": questions}, indent=1))
