package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// TestDryRun plans a run that no test machine could hold; without any GPU it plans one for WebGPU's own limits.
func TestDryRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	code, stdout, stderr := cli(t, "train", "--preset", "gpt2-1558m", "--dtype", "f32", "--dry-run", "--out", out)
	if code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	for _, w := range []string{"48 layers", "vocabulary 50304", "1557686400", "524288 tokens: 256 micro-steps of 2 " +
		"sequences of 1024", "19073 steps", "moments"} {
		if !strings.Contains(stdout, w) {
			t.Errorf("the plan doesn't say %q:\n%s", w, stdout)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a plan made the run's directory")
	}
}

// TestSession is what a user does with a GPU: train, be interrupted, go on, and let the model write.
func TestSession(t *testing.T) {
	gputest.Available(t)
	out := filepath.Join(t.TempDir(), "run")
	train1 := strings.Fields("train --n-layer 1 --n-head 2 --n-embd 16 --block-size 16 --batch-size 2 --steps 3 " +
		"--sample-every 0 --log-format json --out " + out)
	if device := os.Getenv("GPT2WGPU_DEVICE"); device != "" {
		train1 = append(train1, "--device", device)
	}
	if code, _, stderr := cli(t, append(train1, "--stop-after", "2")...); code != exitInterrupted ||
		!strings.Contains(stderr, "--resume") {
		t.Fatalf("--stop-after: code %d: %s", code, stderr)
	}
	if code, _, stderr := cli(t, "train", "--out", out, "--resume"); code != 0 || !strings.Contains(stderr,
		"using device: ") {
		t.Fatalf("--resume: code %d: %s", code, stderr)
	}
	lines, err := metrics.Read(filepath.Join(out, "metrics.jsonl"))
	if err != nil || len(lines) != 3 || lines[2].Step != 2 || lines[2].Tokens != 3*2*16 {
		t.Errorf("metrics: %v, %v", lines, err)
	}
	var c train.Config
	if _, err := train.ReadConfig(filepath.Join(out, "config.json"), &c); err != nil || c.NEmbd != 16 ||
		c.SeqLen != 16 || c.TotalBatchSize != 32 {
		t.Errorf("config.json: %+v, %v", c, err)
	}
	for name, want := range map[string]string{"report.html": "finished", "loss.svg": "<svg"} {
		if raw, err := os.ReadFile(filepath.Join(out, name)); err != nil || !strings.Contains(string(raw), want) {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
	}
	// A second run in the same place is refused.
	wantFailure(t, exitFailed, append(train1, "-q"), "--out", "--resume")

	sample := []string{"sample", "--model", out, "--n", "2", "--max-tokens", "20", "--json", "-q"}
	var texts [2]string
	for i := range texts {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), sample, strings.NewReader("Ho\n"), &stdout, &stderr); code != 0 ||
			stderr.Len() > 0 {
			t.Fatalf("sample: code %d: %s", code, stderr.String())
		}
		texts[i] = stdout.String()
	}
	if texts[0] != texts[1] {
		t.Errorf("the same seed wrote two texts: %q, %q", texts[0], texts[1])
	}
	for _, line := range strings.Split(strings.TrimSpace(texts[0]), "\n") {
		var text struct {
			PromptIDs []int `json:"prompt_ids"`
			IDs       []int `json:"ids"`
		}
		if err := json.Unmarshal([]byte(line), &text); err != nil || len(text.PromptIDs) != 2 ||
			text.PromptIDs[0] != 'H' || len(text.IDs) != 20 {
			t.Errorf("%q: %v", line, err)
		}
	}
	// From the model's weights: the shape is theirs.
	if code, _, stderr := cli(t, "train", "--init", out, "--seq-len", "8", "--steps", "1", "--sample-every", "0", "-q",
		"--out", ""); code != 0 {
		t.Errorf("--init: code %d: %s", code, stderr)
	}
}
