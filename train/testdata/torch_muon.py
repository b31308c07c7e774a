#!/usr/bin/python3
"""PyTorch reference for --optimizer muon: GPT-2 training in float32 on the CPU, step by step.

Needs Debian's python3-torch, and torch_gpt2.py, whose model, initialisation and loader it uses:
  TORCH_GPT2=path/to/torch_gpt2.py train/testdata/torch_muon.py --text data/sample.txt --n-layer 2 ... --muon-lr 0.02
Prints one JSON object a step, as torch_gpt2.py does: {"step", "loss", "lr", "grad_norm"}.

Muon takes the four matrices of each block, as nn.Linear holds them, (out,in), c_attn as three (C,C) parts; AdamW takes
the rest. After clipping, which counts all gradients, for each part
  m = mu m + g      u = g + mu m      X = u / (|u| + 1e-7), turned if it has more rows than columns
  five times: A = X X^T, X = 3.4445 X + (-4.7750 A + 2.0315 A A) X;  X is turned back
  w = (1 - rate decay) w - rate sqrt(max(1, rows/columns)) X,  rate = --muon-lr times lr(step) / --lr
"""
import argparse, importlib.util, json, os
import numpy as np
import torch
import torch.nn.functional as F

spec = importlib.util.spec_from_file_location("torch_gpt2", os.environ["TORCH_GPT2"])
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)


def orthogonal(u):
    x = u / (u.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t()
    for _ in range(5):
        a = x @ x.t()
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.t() if tall else x


class Muon:
    def __init__(self, parameters, mu, decay):
        self.parts = [part for w, n in parameters for part in zip([w] * n, range(n), [n] * n)]
        self.mu, self.decay = mu, decay
        self.m = [torch.zeros_like(w.detach().chunk(n)[i]) for w, i, n in self.parts]

    @torch.no_grad()
    def step(self, rate):
        for (w, i, n), m in zip(self.parts, self.m):
            g, part = w.grad.chunk(n)[i], w.detach().chunk(n)[i]
            m.mul_(self.mu).add_(g)
            x = orthogonal(g + self.mu * m)
            rows, cols = part.shape
            part.mul_(1 - rate * self.decay).sub_(rate * max(1, rows / cols) ** 0.5 * x)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--text", required=True)
    for name, default in dict(n_layer=12, n_head=12, n_embd=768, block_size=1024, vocab_size=50257, batch_size=4,
                              seq_len=32, grad_accum=1, steps=50, warmup_steps=0, seed=1337).items():
        p.add_argument("--" + name.replace("_", "-"), type=int, default=default)
    for name, default in dict(lr=3e-4, min_lr=0.0, weight_decay=0.01, beta1=0.9, beta2=0.999, eps=1e-8, grad_clip=0.0,
                              muon_lr=0.02, muon_momentum=0.95, muon_weight_decay=0.0).items():
        p.add_argument("--" + name.replace("_", "-"), type=float, default=default)
    p.add_argument("--schedule", default="constant", choices=["constant", "cosine"])
    p.add_argument("--decay", default="all", choices=["all", "matrices"])
    p.add_argument("--optimizer", default="muon", choices=["muon"])
    p.add_argument("--init-projections", default="scaled", choices=["scaled", "zero"])
    a = p.parse_args()

    torch.manual_seed(a.seed)
    model = reference.GPT2(a)
    if a.init_projections == "zero":
        with torch.no_grad():
            for block in model.transformer.h:
                block.attn.c_proj.weight.zero_()
                block.mlp.c_proj.weight.zero_()
    tokens = torch.from_numpy(np.fromfile(a.text, "u1").astype("i8"))
    loader = reference.Loader(tokens, a.batch_size, a.seq_len)
    params = list(model.parameters())
    hidden = [(w, 3 if "c_attn" in name else 1) for name, w in model.transformer.h.named_parameters() if w.dim() == 2]
    others = [w for w in params if not any(w is h for h, _ in hidden)]
    decayed = [w for w in others if a.decay == "all" or w.dim() == 2]
    plain = [w for w in others if not any(w is d for d in decayed)]
    groups = [{"params": decayed, "weight_decay": a.weight_decay}]
    if plain:
        groups.append({"params": plain, "weight_decay": 0.0})
    adamw = torch.optim.AdamW(groups, lr=a.lr, betas=(a.beta1, a.beta2), eps=a.eps)
    muon = Muon(hidden, a.muon_momentum, a.muon_weight_decay)
    for step in range(a.steps):
        adamw.zero_grad(set_to_none=False)
        for w, _ in hidden:
            w.grad = None
        loss_sum = 0.0
        for _ in range(a.grad_accum):
            x, y = loader.next()
            loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten()) / a.grad_accum
            loss_sum += loss.item()
            loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params, a.grad_clip if a.grad_clip > 0 else float("inf")).item()
        lr = reference.learning_rate(a, step)
        for g in adamw.param_groups:
            g["lr"] = lr
        adamw.step()
        muon.step(a.muon_lr * lr / a.lr)
        print(json.dumps({"step": step, "loss": loss_sum, "lr": lr, "grad_norm": norm}), flush=True)


if __name__ == "__main__":
    main()
