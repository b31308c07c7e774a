package train

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// plain is small without what comes between steps.
func plain(t *testing.T) Job {
	c := small(t)
	c.Hellaswag, c.HellaswagEvery, c.ValEvery, c.SampleEvery, c.SaveEvery = "", 0, 0, 0, 0
	return c
}

// asked is a context that calls asked when it is asked for its error. The loop does that when it knows a step's loss.
type asked struct {
	context.Context
	asked func()
}

func (a asked) Err() error {
	a.asked()
	return nil
}

// TestGoesAhead: while the loop waits for a step, the device has the next one to begin with, unless something comes
// between them; and there is no other wait in a step.
func TestGoesAhead(t *testing.T) {
	for _, x := range []struct {
		what   string
		change func(c *Job)
		ahead  []int // the steps that are waited for with work behind
	}{
		{"nothing between steps", func(c *Job) {}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{"an invocation's end", func(c *Job) { c.StopAfter = 4 }, []int{0, 1, 2}},
		{"checkpoints", func(c *Job) { c.SaveEvery = 3 }, []int{0, 1, 3, 4, 6, 7}},
		{"validation", func(c *Job) { c.ValEvery = 4 }, []int{0, 1, 2, 4, 5, 6}},
		{"samples", func(c *Job) { c.SampleEvery = 4 }, []int{0, 1, 2, 4, 5, 6}},
		{"HellaSwag", func(c *Job) { c.Hellaswag, c.HellaswagEvery = hellaswagQuestions, 5 }, []int{0, 1, 2, 3, 5, 6,
			7}},
		{"a profile", func(c *Job) { c.Profile = func(Profile) error { return nil } }, []int{0, 1, 4, 5, 6, 7}},
	} {
		t.Run(x.what, func(t *testing.T) {
			c := plain(t)
			x.change(&c)
			r := newRun(c, quiet())
			defer r.close()
			if err := r.open(context.Background()); err != nil {
				t.Fatal(err)
			}
			idle, busy := map[int]int{}, map[int]int{} // up to the end of a step
			err := r.loop(asked{context.Background(), func() { idle[r.step], busy[r.step] = r.dev.Waits() }})
			if err != nil && !(c.StopAfter > 0 && errors.Is(err, ErrInterrupted)) {
				t.Fatal(err)
			}
			var ahead []int
			for step := range r.step {
				if busy[step] > busy[step-1] {
					ahead = append(ahead, step)
				}
				// The first step waits for each submission, to time it.
				if x.what == "nothing between steps" && step > 0 && step < r.step-1 && idle[step] != idle[step-1] {
					t.Errorf("step %d left the device idle", step)
				}
			}
			if !slices.Equal(ahead, x.ahead) {
				t.Errorf("waited for steps %v with work behind them, want %v", ahead, x.ahead)
			}
		})
	}
}

// TestAheadChangesNothing: a run that goes ahead has the metrics and the weights of one that never does, since it saves
// after each step; and it may be interrupted while it is ahead: the checkpoint is that of the step that ended.
func TestAheadChangesNothing(t *testing.T) {
	slow, fast, parts := plain(t), plain(t), plain(t)
	slow.SaveEvery, slow.Keep = 1, 0
	for _, c := range []Job{slow, fast} {
		if err := Run(context.Background(), c, quiet()); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "ahead", metricsOf(t, fast.Out), metricsOf(t, slow.Out))

	n := 1 + 3 // asked at the start and after each step, it ends in the fourth
	r := newRun(parts, quiet())
	defer r.close()
	if err := r.open(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := r.loop(expiring{context.Background(), &n}); !errors.Is(err, ErrInterrupted) || r.prefetched == nil {
		t.Fatalf("%v, ahead: %v; want an interrupt while ahead", err, r.prefetched != nil)
	}
	if got := len(metricsOf(t, parts.Out)); got != 4 || r.step != 4 {
		t.Errorf("metrics of %d steps, stopped after %d, want 4", got, r.step)
	}
	for _, name := range []string{"model.safetensors", optimizerFile} {
		at := filepath.Join(gpt2.CheckpointsDir, "step-000004", name)
		if readText(t, filepath.Join(parts.Out, at)) != readText(t, filepath.Join(slow.Out, at)) {
			t.Errorf("%s differs", at)
		}
	}
	parts.Resume = true
	if err := Run(context.Background(), parts, quiet()); err != nil {
		t.Fatal(err)
	}
	same(t, "interrupted while ahead", metricsOf(t, parts.Out), metricsOf(t, fast.Out))
}

// TestNotFiniteAhead: steps whose gradients are not finite are logged and end the run in the same way whether the loop
// is ahead, which names the tensor while the next step has begun, or not.
func TestNotFiniteAhead(t *testing.T) {
	logged := func(saveEvery int) (lines []string) {
		c := plain(t)
		c.Schedule, c.LR, c.MinLR, c.WarmupSteps, c.SaveEvery, c.Steps = "linear", 1e38, 0, 1, saveEvery, 20
		var log bytes.Buffer
		env := quiet()
		env.Log = slog.New(slog.NewTextHandler(&log, nil))
		err := Run(context.Background(), c, env)
		if err == nil {
			t.Fatal("no error")
		}
		for _, l := range strings.Split(log.String(), "\n") {
			if _, l, ok := strings.Cut(l, "level=WARN "); ok {
				lines = append(lines, l)
			}
		}
		text, _, _ := strings.Cut(err.Error(), "; hint: ") // which names the checkpoint
		return append(append(lines, text), metricsOf(t, c.Out)...)
	}
	want := logged(1)
	if !strings.Contains(want[0], "gradient of ") {
		t.Fatalf("%s: names no gradient", want[0])
	}
	same(t, "ahead", logged(0), want)
}

// TestAheadBadData: data that can't be read ends the run when its step comes, not while the loop is ahead: what came
// before is written.
func TestAheadBadData(t *testing.T) {
	c := plain(t)
	c.TotalBatchSize = c.BatchSize * c.SeqLen
	r := newRun(c, quiet())
	defer r.close()
	if err := r.open(context.Background()); err != nil {
		t.Fatal(err)
	}
	err := r.loop(asked{context.Background(), func() {
		if r.step == 2 && r.prefetched != nil {
			r.corpora[0].Close() // step 3 has its data
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "closed") {
		t.Fatalf("got %v, want that the corpus is closed", err)
	}
	if got := len(metricsOf(t, c.Out)); got != 4 {
		t.Errorf("metrics of %d steps, want 4", got)
	}
}
