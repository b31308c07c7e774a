package train

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestNotFinite: a learning rate that throws the weights to infinity: the steps after it are skipped with a warning
// that names step and tensor, the third in a row ends the run, and the checkpoint from before is kept.
func TestNotFinite(t *testing.T) {
	c := small(t)
	c.Schedule, c.LR, c.MinLR, c.WarmupSteps = "linear", 1e38, 0, 1
	c.SaveEvery, c.ValEvery, c.SampleEvery, c.Steps = 1, 0, 0, 20
	var log bytes.Buffer
	env := quiet()
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	err := Run(context.Background(), c, env)
	if err == nil || !strings.Contains(err.Error(), "3 steps in a row") || !strings.Contains(err.Error(), "hint:") {
		t.Fatalf("got %v", err)
	}
	if n := strings.Count(log.String(), "step skipped"); n != 3 || !strings.Contains(log.String(), "tensor=") {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	// The bad weights came from a finite step, so its checkpoint is the newest; skipped steps save none.
	dir, err := gpt2.LatestCheckpoint(c.Out)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	steps := trainMetrics(t, c.Out)
	if s.Step != len(steps)-3 || s.Skipped != 0 {
		t.Errorf("newest checkpoint after %d steps with %d skipped; %d steps were made, the last 3 skipped", s.Step,
			s.Skipped, len(steps))
	}
}
