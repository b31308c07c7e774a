#!/usr/bin/env python3
"""tinygrad_train.py WEIGHTS TOKENS BATCH_SIZE SEQ_LEN STEPS LR: trains GPT-2 with tinygrad's WEBGPU backend on one
batch, from the weights of a checkpoint of ours. Prints two lines of JSON: the versions; then losses and the fastest
step's milliseconds. An error is one line. peer_step.py runs it."""
import importlib.metadata, json, os, platform, sys, time

sys.excepthook = lambda kind, e, trace: print(f"{kind.__name__}: {e}".splitlines()[0], file=sys.stderr)
weights, file = sys.argv[1:3]
shape = batch_size, seq_len = int(sys.argv[3]), int(sys.argv[4])
steps, lr = int(sys.argv[5]), float(sys.argv[6])
n = batch_size * seq_len
print(json.dumps({m: importlib.metadata.version(m) for m in ("tinygrad", "dawn-python")}), flush=True)

os.environ.setdefault("DEV", "WEBGPU")
suffix = platform.machine() + (".dylib" if sys.platform == "darwin" else ".so")
for lib in importlib.metadata.files("dawn-python"):  # tinygrad does not look there
    if str(lib).endswith(suffix):
        os.environ.setdefault("WEBGPU_PATH", str(lib.locate()))
from tinygrad import Tensor, TinyJit, dtypes, nn

raw = open(file, "rb").read()  # a .npy file of uint16
tokens = list(memoryview(raw[10 + int.from_bytes(raw[8:10], "little") :]).cast("H"))
x, y = (Tensor(t, dtype=dtypes.int).reshape(shape).realize() for t in (tokens[:n], tokens[1 : n + 1]))
heads = json.load(open(weights + "/config.json"))["n_head"]
stored = nn.state.safe_load(weights + "/model.safetensors")
p = {k.removeprefix("transformer."): v.to(None).float().contiguous().realize() for k, v in stored.items()}
layers = 1 + max(int(k.split(".")[1]) for k in p if k.startswith("h."))


def norm(h, name):
    return h.layernorm(eps=1e-5) * p[name + ".weight"] + p[name + ".bias"]


def linear(h, name):  # Hugging Face stores (in, out)
    return h @ p[name + ".weight"] + p[name + ".bias"]


def loss_of():
    h = p["wte.weight"][x] + p["wpe.weight"][:seq_len]
    c = h.shape[-1]
    for i in range(layers):
        b = f"h.{i}."
        qkv = linear(norm(h, b + "ln_1"), b + "attn.c_attn").split(c, dim=-1)
        q, k, v = (t.reshape(*shape, heads, c // heads).transpose(1, 2) for t in qkv)
        mixed = q.scaled_dot_product_attention(k, v, is_causal=True).transpose(1, 2).reshape(*shape, c)
        h = h + linear(mixed, b + "attn.c_proj")
        h = h + linear(linear(norm(h, b + "ln_2"), b + "mlp.c_fc").gelu(), b + "mlp.c_proj")
    logits = norm(h, "ln_f") @ p["wte.weight"].transpose()
    return logits.reshape(n, -1).sparse_categorical_crossentropy(y.reshape(n))


opt = nn.optim.AdamW(list(p.values()), lr=lr, b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1)


@TinyJit
def step():
    opt.zero_grad()
    loss = loss_of()
    loss.backward()
    size = sum((t.grad.square().sum() for t in opt.params), Tensor(0.0)).sqrt()
    for t in opt.params:
        t.grad = t.grad * (1 / size).minimum(1)  # clipped to 1
    return loss.realize(*opt.schedule_step())


losses, ms = [], []
with Tensor.train():
    for _ in range(steps):
        start = time.perf_counter()
        losses.append(step().item())  # waits
        ms.append(1e3 * (time.perf_counter() - start))
print(json.dumps({"losses": losses, "ms": min(ms[3:])}))  # three steps to compile
