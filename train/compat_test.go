package train

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// oldRun copies testdata/old-run, which the program of commit 6079791 wrote:
//
//	gpt2wgpu train --n-layer 1 --n-head 1 --n-embd 16 --block-size 16 --seq-len 16 --batch-size 2 \
//	    --total-batch-size 64 --steps 70 --warmup-steps 2 --sample-every 0 --data testdata/old-run/text.txt \
//	    --val-data testdata/old-run/text.txt --val-every 20 --val-steps 2 --save-every 3 --keep 1 \
//	    --out testdata/old-run --stop-after 7
//
// It returns the settings that --resume takes from it.
func oldRun(t *testing.T) Job {
	t.Helper()
	out := filepath.Join(t.TempDir(), "old-run")
	if err := os.CopyFS(out, os.DirFS("testdata/old-run")); err != nil {
		t.Fatal(err)
	}
	c := Job{Config: DefaultConfig()}
	if _, err := ReadConfig(filepath.Join(out, "config.json"), &c.Config); err != nil {
		t.Fatal(err)
	}
	c.Out, c.Resume = out, true
	c.Device = os.Getenv("GPT2WGPU_DEVICE")
	return c
}

// TestOldRun: a run of the program before digests, locks and --save-minutes resumes as that program resumed it, which
// testdata/old-run.jsonl records: the same steps, validations and losses.
func TestOldRun(t *testing.T) {
	gputest.Available(t)
	c := oldRun(t)
	if c.SaveMinutes != 0 || c.ValFraction != 0 {
		t.Errorf("an old run saves every %v minutes and validates on %v of its text, want neither", c.SaveMinutes,
			c.ValFraction)
	}
	if err := Run(context.Background(), c, quiet()); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("testdata/old-run.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var want []metrics.Line
	for s := bufio.NewScanner(file); s.Scan(); {
		var m metrics.Line
		if err := json.Unmarshal(s.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		want = append(want, m)
	}
	got, err := metrics.Read(filepath.Join(c.Out, "metrics.jsonl"))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d lines of metrics, %v; want %d", len(got), err, len(want))
	}
	state := newestState(t, c.Out)
	limit := 1e-5
	if strings.Contains(state.Tiles.Device, "llvmpipe (LLVM 15.0.6, 256 bits)") { // what the fixture was written on
		limit = 0
	}
	for i, g := range got {
		w := want[i]
		if g.Kind != w.Kind || g.Step != w.Step || g.Tokens != w.Tokens || math.Abs(float64(g.Loss-w.Loss)) > limit ||
			math.Abs(float64(g.LR-w.LR)) > 1e-15 {
			t.Fatalf("line %d: %s at step %d: loss %.9f, lr %v, %d tokens; want %s at step %d: %.9f, %v, %d",
				i+1, g.Kind, g.Step, g.Loss, g.LR, g.Tokens, w.Kind, w.Step, w.Loss, w.LR, w.Tokens)
		}
	}
	if kept, _ := filepath.Glob(filepath.Join(c.Out, "checkpoints", "step-*")); len(kept) != 1 {
		t.Errorf("checkpoints %v, want one", kept)
	}
}

// newestState returns the state of a run's newest checkpoint.
func newestState(t *testing.T, out string) State {
	t.Helper()
	name, err := os.ReadFile(filepath.Join(out, "checkpoints", "latest"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := readState(filepath.Join(out, "checkpoints", strings.TrimSpace(string(name))))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOldRunWithMark: a text's byte order mark was part of it. A run that trained so finds its place in it.
func TestOldRunWithMark(t *testing.T) {
	gputest.Available(t)
	c := oldRun(t)
	text, err := os.ReadFile("testdata/old-run/text.txt")
	if err != nil {
		t.Fatal(err)
	}
	c.Data = filepath.Join(t.TempDir(), "text.txt")
	must(t, os.WriteFile(c.Data, append([]byte("\ufeff"), text[3:]...), 0o644)) // as many bytes as before
	c.ValData, c.StopAfter = c.Data, 1
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Error(err)
	}
}
