package main

import (
	"strings"
	"testing"
)

// TestIdleFlags: a flag that is given and can have no effect is refused with the reason, before anything is opened.
func TestIdleFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, line := range []string{
		"train --schedule constant --min-lr 1e-5",
		"train --preset first-steps --min-lr 1e-5",
		"train --weight-decay 0 --decay matrices",
		"train --schedule cosine --decay-fraction 0.3",
		"train --optimizer adamw --muon-lr 0.02",
		"train --optimizer adamw --muon-momentum 0.9",
		"train --optimizer adamw --muon-weight-decay 0.1",
		"train --init x --init-projections zero",
		"train --out= --save-every 5",
		"train --out= --save-minutes 5",
		"train --out= --keep 5",
		"train --preset first-steps --val-steps 3",
		"train --val-every 0 --val-steps 3",
		"train --val-every 0 --val-data x.txt",
		"train --hellaswag-every 5",
		"train --hellaswag-every 0 --hellaswag x.jsonl",
		"train --outer-lr 0.5",
		"train --sync-every 1 --outer-momentum 0.5",
		"train --grad-dtype bf16",
		"train --check-every 5",
		"train --init x --sample-every 0 --seed 5",
		"sample --model x --greedy --top-k 5",
		"sample --model x --greedy --temperature 0.5",
		"sample --model x --greedy --top-p 0.5",
		"sample --model x --greedy --seed 5",
		"eval --model x --hellaswag x.jsonl --val-steps 5",
		"eval --model x --hellaswag x.jsonl --seq-len 5",
		"bench --kernels=false --kernel matmul",
		"bench --kernels=false --passes 5",
		"export --model x --out x.bin --format llmc --tokenizer gpt2",
	} {
		args := strings.Fields(line)
		last := args[len(args)-1]
		if strings.HasPrefix(args[len(args)-2], "--") {
			last = args[len(args)-2]
		}
		wantFailure(t, exitUsage, args, last+" has no effect with")
	}
	lines := writeFile(t, "rows/a.jsonl", `{"text": "a"}`)
	for _, in := range []string{lines, "rows"} {
		wantFailure(t, exitUsage, []string{"data", "tokenize", in, "--out", "shards", "--separator", "x"},
			"--separator has no effect")
	}
	writeFile(t, "rows/b.txt", strings.Repeat("a text x another ", 50))
	if code, _, stderr := cli(t, "data", "tokenize", "rows", "--out", "shards", "--separator", "x", "--tokenizer",
		"bytes"); code != 0 {
		t.Errorf("--separator with a text: code %d: %s", code, stderr)
	}
	// What switches off what is off, what files and presets say, and what depends on another flag.
	writeFile(t, "c.json", `{"schedule": "constant", "min_lr": 0.0001, "outer_lr": 0.5}`)
	for _, line := range []string{
		"train --schedule constant --min-lr 0",
		"train --preset first-steps --val-steps 0",
		"train --hellaswag-every 0 --val-every 0",
		"train --config c.json",
		"train --sync-every 4 --outer-lr 0.5",
		"train --out= --save-every 0",
		"train --weight-decay 0",
		"train --schedule wsd --decay-fraction 0.3",
		"train --optimizer adamw --muon-weight-decay 0",
		"train --optimizer muon --muon-lr 0.02 --muon-momentum 0 --muon-weight-decay 0.1 --init-projections zero",
	} {
		if code, _, stderr := cli(t, append(strings.Fields(line), "--dry-run", "-q")...); code != 0 {
			t.Errorf("%s: code %d: %s", line, code, stderr)
		}
	}
}
