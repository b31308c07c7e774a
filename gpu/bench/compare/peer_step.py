#!/usr/bin/env python3
"""Times training steps of gpt2wgpu and of another WebGPU program in turns: the same model, weights and batch.

    gpu/bench/compare/peer_step.py tinygrad --preset tiny --batch-size 16 --seq-len 64
    gpu/bench/compare/peer_step.py burn --preset tiny --batch-size 16 --seq-len 64

tinygrad's WEBGPU backend needs tinygrad and dawn-python in this Python. burn's wgpu backend needs cargo, which first
builds gpu/bench/compare/burn below build/cargo. Each round is a process of ours and one of theirs, which train on one
batch from the same weights; the fastest step of all rounds counts. Prints one JSON object: versions, milliseconds, the
ratio of each round, and the largest difference of the losses. Where the other program fails, it says how."""
import argparse, importlib.util, json, os, shutil, subprocess, sys, tempfile

here = os.path.dirname(os.path.abspath(__file__))


def tinygrad():
    """Returns the command that trains with tinygrad."""
    for module in ("tinygrad", "pydawn"):
        if not importlib.util.find_spec(module):
            sys.exit(f"peer_step: this Python has no {module}; hint: pip install tinygrad==0.13.0 dawn-python==0.3.0")
    return [sys.executable, here + "/tinygrad_train.py"]


def burn():
    """Builds the program that trains with burn, and returns its command."""
    if not shutil.which("cargo"):
        sys.exit("peer_step: no cargo here; hint: rustup, for Rust 1.95 or newer")
    target = os.environ.get("CARGO_TARGET_DIR") or os.path.join(here, "../../../build/cargo")
    build = ["cargo", "build", "-q", "--release", "--locked", "--manifest-path", here + "/burn/Cargo.toml"]
    if subprocess.run([*build, "--target-dir", target]).returncode:
        sys.exit("peer_step: burn does not build; hint: it needs Rust 1.95 or newer")
    return [os.path.join(target, "release", "burn_step")]


peers = {"tinygrad": tinygrad, "burn": burn}


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
        sys.exit(f"peer_step: {a.program} {args[0]} failed; hint: its error is above")


def compare(a):
    if not shutil.which(a.program):
        sys.exit(f"peer_step: no program {a.program}; hint: make build, or --program")
    peer = peers[a.peer]()
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
        out = {"peer": a.peer, "preset": a.preset, "batch_size": a.batch_size, "seq_len": a.seq_len, "ratios": []}
        command = [*peer, weights, tokens, *map(str, (a.batch_size, a.seq_len, a.steps, a.lr))]
        for _ in range(a.rounds):
            mine = ours(a, weights, tokens, folder)
            out["gpt2wgpu_ms"] = min(mine["ms"], out.get("gpt2wgpu_ms", mine["ms"]))
            child = subprocess.run(command, capture_output=True, text=True)
            printed = child.stdout.splitlines()
            out["versions"] = json.loads(printed[0]) if printed else {}
            if child.returncode:
                text = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
                out["failed"] = text if len(text) < 300 else text[:100] + " … " + text[-200:]
                break
            theirs = json.loads(printed[-1])
            out["peer_ms"] = min(theirs["ms"], out.get("peer_ms", theirs["ms"]))
            out["ratios"].append(round(theirs["ms"] / mine["ms"], 2))
            differences = [abs(x - y) for x, y in zip(mine["losses"], theirs["losses"], strict=True)]
            out["loss_difference"] = max(*differences, out.get("loss_difference", 0))
        print(json.dumps(out))


p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("peer", choices=peers)
p.add_argument("--program", default="./gpt2wgpu")
p.add_argument("--device", default="", help="of ours, as --device takes it; the others take their first one")
p.add_argument("--preset", default="tiny")
p.add_argument("--batch-size", type=int, default=4)
p.add_argument("--seq-len", type=int, default=64)
p.add_argument("--steps", type=int, default=8, help="of a round; the first three compile, and do not count (default 8)")
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--lr", type=float, default=1e-4)
a = p.parse_args()
if a.steps < 4:
    p.error(f"--steps {a.steps}: the first three do not count; hint: --steps 8")
compare(a)
