#!/usr/bin/env python3
"""table.py RESULTS INDEX: prints what FXC makes of each text, the slowest last, and which ones break a rule.

RESULTS is the log of d3dcompiler.c, with the names of files. INDEX is index.json of
`make texts`; without it every text counts as a default. Rules for a text that a GPU's target uses by default on DX12:
it compiles in at most 3 CPU seconds, and matmul and attention leave no indexable temporaries."""
import json, os, sys

MOST = 3.0  # CPU seconds
results, index = sys.argv[1:3]
roles = {}  # by file: targets that use it by default, and targets that may choose it
if os.path.exists(index):
    for e in json.load(open(index)):
        roles.setdefault(e["file"].removesuffix(".wgsl"), ([], []))[not e["default"]].extend(e["targets"])
    known = {t for of in roles.values() for ts in of for t in ts}


def on_dx12(target):
    """Whether DX12 uses the target's tables: not those of CPUs and Metal, nor those that DX12 has others for."""
    return target not in ("cpu", "lavapipe") and not target.endswith("-metal") and target + "-dx12" not in known


rows, passed, failed, total = [], 0, 0, 0.0
for line in open(results):
    name, cpu, hr, slots, temps, indexable, said = line.rstrip("\n").split("\t")
    name = name.removesuffix(".hlsl")
    default, other = roles.get(name, (["-"], []))
    default = [t for t in default if t == "-" or on_dx12(t)]
    broken = []
    if hr != "00000000":
        broken.append("does not compile: " + (said or hr))
    if float(cpu) > MOST:
        broken.append(f"more than {MOST:g} s")
    if indexable and name.startswith(("matmul", "attention")):
        broken.append("indexable temporaries")
    failed += bool(broken and default)
    passed += not (broken and default)
    total += float(cpu)
    note = "; ".join(broken) + ("" if default or not broken else " (no default)")
    row = f"{float(cpu):7.2f} {slots:>6} {temps:>5} {indexable.count(';'):>9}  {name}  {note}"
    rows.append((float(cpu), row.rstrip()))
print(" FXC, s  slots temps indexable  text")
for _, row in sorted(rows):
    print(row)
print(f"{total:.1f} CPU seconds in all")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
