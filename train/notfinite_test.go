package train

import (
	"bytes"
	"context"
	"fmt"
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
	runErr := Run(context.Background(), c, env)
	wantError(t, runErr, "3 steps in a row")
	if n := strings.Count(log.String(), "step skipped"); n != 3 || !strings.Contains(log.String(), "tensor=") {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
	early := c
	early.Out, early.SaveEvery = c.Out+"2", 0
	err := Run(context.Background(), early, quiet())
	wantError(t, err, "3 steps in a row", "--resume starts again at step 0, since there is no checkpoint")
	early.Out = ""
	wantError(t, Run(context.Background(), early, quiet()), "3 steps in a row", "nothing was saved")

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
	if want := fmt.Sprintf("--resume goes on from step %d,", s.Step); !strings.Contains(runErr.Error(), want) {
		t.Errorf("%v\nlacks %q", runErr, want)
	}
	if s.Step != len(steps)-3 || s.Skipped != 0 {
		t.Errorf("newest checkpoint after %d steps with %d skipped; %d steps were made, the last 3 skipped", s.Step,
			s.Skipped, len(steps))
	}
}
