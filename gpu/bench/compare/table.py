#!/usr/bin/env python3
"""Prints the table of a folder that `run` has filled: our step and matmul, those of others, and the ratios."""
import glob, json, os, sys

folder = sys.argv[1]


def load(name):
    path = os.path.join(folder, name)
    return json.load(open(path)) if os.path.exists(path) else None


ours = {d: load(f"bench_{d}.json") for d in ("f32", "bf16")}
torch = load("torch.json")
peak = ours["f32"]["peak"]
print(f"{ours['f32']['device']}: {peak['fma_gflops']:.4g} GFLOP/s of multiply-adds, {peak['copy_gb_s']:.4g} GB/s of copies")
if torch:
    print(f"PyTorch {torch['torch']} on {torch['device']}")
print(f"{'':24}{'ours':>12}" + (f"{'PyTorch':>12}{'ratio':>8}  PyTorch's mode" if torch else ""))


def row(name, mine, theirs):
    print(f"{name:24}{mine:12.4g}" + "".join(f"{v:12.4g}{mine / v:8.3f}  {mode}\n{'':36}" for mode, v in theirs).rstrip())


for dtype, modes in (("f32", ("f32", "tf32")), ("bf16", ("bf16",))):
    fc = next(k for k in ours[dtype]["kernels"] if k["name"] == "matmul_forward/fc")
    their = lambda what, key: [(m, torch[what][m][key]) for m in modes if m in torch[what]] if torch else []
    row(f"step {dtype}, tokens/s", ours[dtype]["step"]["tokens_per_s"], their("step", "tokens_per_s"))
    row(f"matmul fc {dtype}, GFLOP/s", fc["gflops"], their("matmul", "gflops"))
for path in sorted(glob.glob(os.path.join(folder, "peer_*.json"))):
    r = load(os.path.basename(path))
    what = f"{r['preset']} {r['batch_size']}x{r['seq_len']} f32, ms a step: ours {r['gpt2wgpu_ms']:.4g}"
    theirs = " and ".join(f"{name} {version}" for name, version in r["versions"].items())
    if "failed" in r:
        print(f"{what}; {theirs} failed: {r['failed']}")
    else:
        ratios = f"{r['peer_ms'] / r['gpt2wgpu_ms']:.1f} times, by round {' '.join(map(str, r['ratios']))}"
        print(f"{what}; {theirs} {r['peer_ms']:.4g}, {ratios}; losses within {r['loss_difference']:.2g}")
