#!/usr/bin/env python3
"""What FXC makes of kernel texts, and which ones break a rule.

table.py list DIR [PART]... prints the texts in DIR that DX12 can use and whose names have every PART; the word default
                            selects those that it uses by default
table.py LOG DIR            prints the log of d3dcompiler.c as a table, the slowest last, and exits with 1 if a rule is
                            broken; the log names texts by their file or label

DIR has *.wgsl and index.json as `make texts` writes them; without index.json DX12 uses every text by default. Rules for
a text that a target uses by default on DX12: it compiles, in at most 3 CPU seconds, and matmul and attention leave no
indexable temporaries."""
import glob, json, os, sys

MOST = 3.0  # CPU seconds
log, folder = sys.argv[1:3]
roles = {}  # by file and label: whether the text is a default on DX12
if os.path.exists(folder + "/index.json"):
    index = json.load(open(folder + "/index.json"))
    known = {t for e in index for t in e["targets"]}

    def on_dx12(target):
        """Whether DX12 uses the target's tables: not those of other devices, nor those that it has others for."""
        other = target in ("cpu", "lavapipe", "apple") or target.endswith("-metal") or target + "-dx12" in known
        return not other

    for e in index:
        if any(map(on_dx12, e["targets"])):
            for name in e["file"].removesuffix(".wgsl"), e["label"]:
                roles[name] = roles.get(name, False) or e["default"]
else:
    roles = {os.path.basename(f).removesuffix(".wgsl"): True for f in glob.glob(folder + "/*.wgsl")}

if log == "list":
    for name, default in sorted(roles.items()):
        file = f"{folder}/{name}.wgsl"
        if os.path.exists(file) and all(default if p == "default" else p in name for p in sys.argv[3:]):
            print(file)
    sys.exit()

rows = {}  # by the printed row: CPU seconds, and whether a default breaks a rule
for line in open(log):
    fields = line.rstrip("\n").split("\t")
    if len(fields) != 7:  # two compilers have written at once
        sys.exit(f"fxc: a line of the log is torn: {line[:80]!r}; hint: run it again, what is compiled is kept")
    name, cpu, hr, slots, temps, indexable, said = fields
    name = name.removesuffix(".hlsl")
    broken = []
    if hr != "00000000":
        broken.append("does not compile: " + (said or hr))
    if float(cpu) > MOST:
        broken.append(f"more than {MOST:g} s")
    if indexable and name.startswith(("matmul", "attention")):
        broken.append("indexable temporaries")
    default = roles.get(name, False)
    note = "; ".join(broken) + ("" if default or not broken else " (no default)")
    row = f"{float(cpu):7.2f} {slots:>6} {temps:>5} {indexable.count(';'):>9}  {name}  {note}".rstrip()
    rows[row] = float(cpu), bool(broken and default)
print(" FXC, s  slots temps indexable  text")
for row in sorted(rows, key=lambda r: rows[r][0]):
    print(row)
failed = sum(bad for _, bad in rows.values())
print(f"{sum(cpu for cpu, _ in rows.values()):.1f} CPU seconds in all")
print(f"{len(rows) - failed} passed, {failed} failed")
sys.exit(failed > 0)
