#!/usr/bin/env python3
"""Times training steps of gpt2wgpu and of tinygrad's WEBGPU backend in turns: the same model, weights and batch.

    pip install tinygrad==0.13.0 dawn-python==0.3.0
    gpu/bench/compare/tinygrad_step.py --preset tiny --batch-size 4 --seq-len 64

Each round is a process of ours and one of tinygrad's, which train on one batch from the same weights; the fastest step
of all rounds counts. Prints one JSON object: versions, milliseconds, the ratio of each round, and the largest
difference of the losses. Where tinygrad fails, it says how."""
import argparse, importlib.metadata, json, os, platform, shutil, subprocess, sys, tempfile, time


def peer(a):
    """Trains with tinygrad and prints losses and milliseconds. An error is one line."""
    sys.excepthook = lambda kind, e, trace: print(f"{kind.__name__}: {e}".splitlines()[0], file=sys.stderr)
    os.environ.setdefault("DEV", "WEBGPU")
    suffix = platform.machine() + (".dylib" if sys.platform == "darwin" else ".so")
    for lib in importlib.metadata.files("dawn-python"):  # tinygrad does not look there
        if str(lib).endswith(suffix):
            os.environ.setdefault("WEBGPU_PATH", str(lib.locate()))
    from tinygrad import Tensor, TinyJit, dtypes, nn

    tokens = read(a.tokens)
    n = a.batch_size * a.seq_len
    shape = (a.batch_size, a.seq_len)
    x, y = (Tensor(t, dtype=dtypes.int).reshape(shape).realize() for t in (tokens[:n], tokens[1 : n + 1]))
    heads = json.load(open(a.weights + "/config.json"))["n_head"]
    stored = nn.state.safe_load(a.weights + "/model.safetensors")
    p = {k.removeprefix("transformer."): v.to(None).float().contiguous().realize() for k, v in stored.items()}
    layers = 1 + max(int(k.split(".")[1]) for k in p if k.startswith("h."))

    def norm(h, name):
        return h.layernorm(eps=1e-5) * p[name + ".weight"] + p[name + ".bias"]

    def linear(h, name):  # Hugging Face stores (in, out)
        return h @ p[name + ".weight"] + p[name + ".bias"]

    def loss_of():
        h = p["wte.weight"][x] + p["wpe.weight"][: a.seq_len]
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

    opt = nn.optim.AdamW(list(p.values()), lr=a.lr, b1=0.9, b2=0.95, eps=1e-8, weight_decay=0.1)

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
        for _ in range(a.steps):
            start = time.perf_counter()
            losses.append(step().item())  # waits
            ms.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"losses": losses, "ms": min(ms[3:])}))  # three steps to compile


def read(path):
    """Returns the values of a .npy file of uint16."""
    raw = open(path, "rb").read()
    return list(memoryview(raw[10 + int.from_bytes(raw[8:10], "little") :]).cast("H"))


def ours(a, weights, tokens, folder):
    """Trains with this program and returns losses and milliseconds."""
    with tempfile.TemporaryDirectory(dir=folder) as out:  # its checkpoint has 1.5 GB for 124M
        run(a, "train", "--init", weights, "--data", tokens, "--val-every", "0", "--out", out, "--steps", str(a.steps),
            "--lr", str(a.lr), "--schedule", "constant", "--warmup-steps", "0", "--weight-decay", "0.1",
            "--decay", "all", "--beta1", "0.9", "--beta2", "0.95", "--grad-clip", "1")
        lines = map(json.loads, open(out + "/metrics.jsonl"))
        steps = [e for e in lines if e["kind"] == "train"]
    return {"losses": [e["loss"] for e in steps], "ms": min(e["ms"] for e in steps[3:])}


def run(a, *args):
    more = ["--device", a.device] if a.device else []
    args += ("--batch-size", str(a.batch_size), "--seq-len", str(a.seq_len), "--dtype", "f32", "--sample-every", "0",
             "-q", "--total-batch-size", str(a.batch_size * a.seq_len))
    if subprocess.run([a.program, *args, *more]).returncode:
        sys.exit(f"tinygrad_step: {a.program} {args[0]} failed; hint: its error is above")


def compare(a):
    if not shutil.which(a.program):
        sys.exit(f"tinygrad_step: no program {a.program}; hint: make build, or --program")
    try:
        versions = {m: importlib.metadata.version(m) for m in ("tinygrad", "dawn-python")}
    except importlib.metadata.PackageNotFoundError as e:
        sys.exit(f"tinygrad_step: this Python has no {e.name}; hint: pip install tinygrad==0.13.0 dawn-python==0.3.0")
    with tempfile.TemporaryDirectory() as folder:
        n = a.batch_size * a.seq_len
        tokens = folder + "/tokens.npy"
        values = [i * 2654435761 % 251 for i in range(n + 1)]
        head = f"{{'descr': '<u2', 'fortran_order': False, 'shape': ({n + 1},), }}".ljust(117) + "\n"
        with open(tokens, "wb") as f:
            f.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
            f.write(b"".join(v.to_bytes(2, "little") for v in values))
        run(a, "train", "--preset", a.preset, "--data", tokens, "--val-every", "0", "--steps", "1",
            "--out", folder + "/w")
        weights = folder + "/w/checkpoints/" + open(folder + "/w/checkpoints/latest").read().strip()
        out = {"versions": versions, "preset": a.preset, "batch_size": a.batch_size, "seq_len": a.seq_len, "ratios": []}
        command = [sys.executable, __file__, "--weights", weights, "--tokens", tokens, "--steps", str(a.steps),
                   "--lr", str(a.lr), "--batch-size", str(a.batch_size), "--seq-len", str(a.seq_len)]
        for _ in range(a.rounds):
            mine = ours(a, weights, tokens, folder)
            out["gpt2wgpu_ms"] = min(mine["ms"], out.get("gpt2wgpu_ms", mine["ms"]))
            child = subprocess.run(command, capture_output=True, text=True)
            if child.returncode:
                out["failed"] = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1][:300]
                break
            theirs = json.loads(child.stdout.splitlines()[-1])
            out["tinygrad_ms"] = min(theirs["ms"], out.get("tinygrad_ms", theirs["ms"]))
            out["ratios"].append(round(theirs["ms"] / mine["ms"], 2))
            differences = [abs(x - y) for x, y in zip(mine["losses"], theirs["losses"], strict=True)]
            out["loss_difference"] = max(*differences, out.get("loss_difference", 0))
        print(json.dumps(out))


p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--program", default="./gpt2wgpu")
p.add_argument("--device", default="", help="of ours, as --device takes it; tinygrad takes Dawn's first one")
p.add_argument("--preset", default="tiny")
p.add_argument("--batch-size", type=int, default=4)
p.add_argument("--seq-len", type=int, default=64)
p.add_argument("--steps", type=int, default=8)
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--lr", type=float, default=1e-4)
p.add_argument("--weights", help=argparse.SUPPRESS)
p.add_argument("--tokens", help=argparse.SUPPRESS)
a = p.parse_args()
peer(a) if a.weights else compare(a)
