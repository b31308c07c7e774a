"""Logits of a GPT-2 directory by PyTorch: logits.py DIR IDS OUT

IDS is a file with a JSON array of rows of ids, all of one length; OUT gets rows x length x vocabulary float32. By transformers where it
accepts this Python's torch, else by the lines below, which need only torch (1.12 or newer) and numpy. Prints which it was.
"""
import json, math, os, struct, sys

import numpy as np
import torch
from torch.nn import functional as F


def weights(folder):
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        raw = f.read()
    start = 8 + struct.unpack("<Q", raw[:8])[0]
    tensors = json.loads(raw[8:start])
    tensors.pop("__metadata__", None)
    for name, t in tensors.items():
        assert t["dtype"] == "F32", t
        a, b = (start + o for o in t["data_offsets"])
        yield name.removeprefix("transformer."), torch.from_numpy(np.frombuffer(raw[a:b], np.float32).reshape(t["shape"]).copy())


def forward(folder, ids):
    with open(os.path.join(folder, "config.json")) as f:
        c = json.load(f)
    w, C = dict(weights(folder)), c["n_embd"]
    norm = lambda x, name: F.layer_norm(x, (C,), w[name + ".weight"], w[name + ".bias"], c["layer_norm_epsilon"])
    linear = lambda x, name: x @ w[name + ".weight"] + w[name + ".bias"]  # Conv1D's layout
    B, T = ids.shape
    x = w["wte.weight"][ids] + w["wpe.weight"][:T]
    for i in range(c["n_layer"]):
        h = f"h.{i}."
        q, k, v = (y.view(B, T, c["n_head"], -1).transpose(1, 2) for y in linear(norm(x, h + "ln_1"), h + "attn.c_attn").split(C, 2))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf)
        x = x + linear((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, C), h + "attn.c_proj")
        x = x + linear(F.gelu(linear(norm(x, h + "ln_2"), h + "mlp.c_fc"), approximate="tanh"), h + "mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].t()


try:
    from transformers import AutoModelForCausalLM
    from transformers.utils import is_torch_available

    accepted = is_torch_available()
except ImportError:
    accepted = False
folder, ids, out = sys.argv[1:]
with open(ids) as f:
    ids = torch.tensor(json.load(f))
with torch.no_grad():
    logits = AutoModelForCausalLM.from_pretrained(folder)(ids).logits if accepted else forward(folder, ids)
logits.float().numpy().tofile(out)
print("transformers" if accepted else "PyTorch", torch.__version__)
