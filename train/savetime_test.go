package train

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// checkpointsOf returns the names of a run's checkpoints, in order.
func checkpointsOf(t *testing.T, out string) (names []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(out, gpt2.CheckpointsDir, "step-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		names = append(names, filepath.Base(path))
	}
	return names
}

// TestSaveMinutes: with a clock on which every step takes a minute, checkpoints come that many minutes after the one
// before, and change nothing, also where the next step has begun already. Ranks that step by themselves save where they
// meet.
func TestSaveMinutes(t *testing.T) {
	whole := plain(t)
	if err := Run(context.Background(), whole, quiet()); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		what   string
		change func(c *Job)
		want   []string
	}{
		{"every 4 minutes", func(c *Job) { c.SaveMinutes = 4 }, []string{"step-000004", "step-000008", "step-000009"}},
		{"never", func(c *Job) {}, []string{"step-000009"}},
		{"after saves by steps", func(c *Job) { c.SaveEvery, c.SaveMinutes = 3, 2 }, []string{"step-000002",
			"step-000003", "step-000005", "step-000006", "step-000008", "step-000009"}},
		{"in outer steps only", func(c *Job) { c.SyncEvery, c.SaveMinutes = 4, 3 }, []string{"step-000004",
			"step-000008", "step-000009"}},
		{"in no directory", func(c *Job) { c.Out, c.SaveMinutes = "", 1 }, nil},
	} {
		t.Run(x.what, func(t *testing.T) {
			c := plain(t)
			c.SaveMinutes, c.Keep = 0, 0
			out := c.Out
			x.change(&c)
			r := newRun(c, quiet())
			defer r.close()
			if err := r.open(context.Background()); err != nil {
				t.Fatal(err)
			}
			minutes := -1 // the loop asks once before its first step
			r.now = func() time.Time { return time.Unix(0, 0).Add(time.Duration(max(0, minutes)) * time.Minute) }
			if err := r.loop(asked{context.Background(), func() { minutes++ }}); err != nil {
				t.Fatal(err)
			}
			if got := checkpointsOf(t, out); !slices.Equal(got, x.want) {
				t.Errorf("checkpoints %v, want %v", got, x.want)
			}
			if c.Out == "" || c.SyncEvery > 1 {
				return
			}
			same(t, x.what, metricsOf(t, c.Out), metricsOf(t, whole.Out))
			for _, name := range []string{"model.safetensors", optimizerFile} {
				at := filepath.Join(gpt2.CheckpointsDir, "step-000009", name)
				if readText(t, filepath.Join(c.Out, at)) != readText(t, filepath.Join(whole.Out, at)) {
					t.Errorf("%s differs", at)
				}
			}
		})
	}
}
