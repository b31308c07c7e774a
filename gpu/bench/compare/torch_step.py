#!/usr/bin/env python3
"""Times PyTorch at what `gpt2wgpu bench` measures: GPT-2's training step and its largest matmul, on the same card.

Prints one JSON object: milliseconds and tokens/s of a step (forward, backward, clipping, AdamW) for float32 without and with TF32 and for
bf16 autocast, which PyTorch 2 compiles, and GFLOP/s of N x K x OC matmuls. Needs only torch, from 1.12 on.
"""
import argparse, json, math, sys, time

try:
    import torch
except ImportError:
    sys.exit("torch_step: this Python has no torch; hint: apt-get install python3-torch, then /usr/bin/python3 " + sys.argv[0])
import torch.nn as nn
from torch.nn import functional as F


def attention(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):  # PyTorch 2
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    t = q.shape[2]
    s = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    return s.masked_fill(torch.ones(t, t, device=q.device).triu(1).bool(), -math.inf).softmax(-1) @ v


class Block(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.qkv, self.proj = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.fc, self.fcproj = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in self.qkv(self.ln_1(x)).split(c, 2))
        y = attention(q, k, v).transpose(1, 2).reshape(b, t, c)
        x = x + self.proj(y)
        return x + self.fcproj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, layers, heads, c, vocab, context):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, c), nn.Embedding(context, c)
        self.blocks = nn.Sequential(*(Block(c, heads) for _ in range(layers)))
        self.ln_f = nn.LayerNorm(c)

    def forward(self, x, y):
        h = self.ln_f(self.blocks(self.wte(x) + self.wpe.weight[: x.shape[1]]))
        return F.cross_entropy((h @ self.wte.weight.t()).flatten(0, 1), y.flatten())


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def fastest(device, run, runs):
    best = math.inf
    for i in range(runs + 2):  # two to warm up, or compile
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        if i >= 2:
            best = min(best, time.perf_counter() - start)
    return best


def step(a, tf32, bf16):
    torch.manual_seed(1337)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    model = GPT(a.layers, a.heads, a.channels, a.vocab, a.seq_len).to(a.device)
    loss_of = torch.compile(model) if bf16 and a.compile else model
    opt = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, **({"fused": True} if a.device == "cuda" else {}))
    x = torch.randint(a.vocab, (a.batch_size, a.seq_len), device=a.device)

    def run():
        opt.zero_grad(set_to_none=True)
        with torch.autocast(a.device, torch.bfloat16, enabled=bf16):
            loss = loss_of(x, x)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()

    seconds = fastest(a.device, run, a.runs)
    return {"ms": seconds * 1e3, "tokens_per_s": a.batch_size * a.seq_len / seconds}


def matmul(a, tf32, dtype):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    n, k, oc = a.batch_size * a.seq_len, a.channels, 4 * a.channels
    x, w = torch.randn(n, k, device=a.device, dtype=dtype), torch.randn(oc, k, device=a.device, dtype=dtype)
    return {"gflops": 2e-9 * n * k * oc / fastest(a.device, lambda: x @ w.t(), 5 * a.runs)}


p = argparse.ArgumentParser(description=__doc__)
p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
p.add_argument("--batch-size", type=int, default=8)
p.add_argument("--seq-len", type=int, default=1024)
p.add_argument("--layers", type=int, default=12)
p.add_argument("--heads", type=int, default=12)
p.add_argument("--channels", type=int, default=768)
p.add_argument("--vocab", type=int, default=50304)
p.add_argument("--runs", type=int, default=10)
p.add_argument("--no-compile", dest="compile", action="store_false", help="do not compile the bf16 step")
a = p.parse_args()
a.compile = a.compile and hasattr(torch, "compile")  # PyTorch 1 cannot
out = {"torch": torch.__version__, "device": torch.cuda.get_device_name() if a.device == "cuda" else "cpu", "compiled": a.compile}
out["step"] = {"f32": step(a, False, False), "tf32": step(a, True, False), "bf16": step(a, False, True)}
out["matmul"] = {"f32": matmul(a, False, torch.float32), "tf32": matmul(a, True, torch.float32), "bf16": matmul(a, True, torch.bfloat16)}
print(json.dumps(out))
