package train

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

const hellaswagQuestions = "eval/testdata/hellaswag/questions.jsonl"

// expiring is a context that ends by itself once its error was asked for n times.
type expiring struct {
	context.Context
	n *int
}

func (e expiring) Err() error {
	if *e.n--; *e.n < 0 {
		return context.Canceled
	}
	return nil
}

// TestHellaSwagInterrupted ends a run in the middle of a measurement. The resumed run writes what a run without
// interruption does.
func TestHellaSwagInterrupted(t *testing.T) {
	whole := small(t)
	whole.Steps, whole.ValEvery, whole.SampleEvery = 5, 0, 0
	if err := Run(context.Background(), whole, quiet()); err != nil {
		t.Fatal(err)
	}
	want := metricsOf(t, whole.Out)
	c := whole
	c.Out = filepath.Join(t.TempDir(), "run")
	// The loop asks once a step, a measurement of 18 batches 19 times; these end in those of steps 0, 4 and 5.
	for i, n := range []int{2, 5 + 19 + 3, 1 + 19 + 3} {
		if err := Run(expiring{context.Background(), &n}, c, quiet()); !errors.Is(err, ErrInterrupted) {
			t.Fatal(err)
		}
		dir, err := gpt2.LatestCheckpoint(c.Out)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := readState(dir); err != nil || s.Step != []int{0, 4, 5}[i] {
			t.Errorf("interruption %d came at step %d, %v", i, s.Step, err)
		}
		c.Resume = true
	}
	if err := Run(context.Background(), c, quiet()); err != nil {
		t.Fatal(err)
	}
	same(t, "interrupted while measuring", metricsOf(t, c.Out), want)
}

// TestHellaSwagPlan: the plan has the memory of a measurement where a micro-batch is shorter than the context.
func TestHellaSwagPlan(t *testing.T) {
	plan := func(file string, seq int) string {
		var out strings.Builder
		env := quiet()
		env.Stdout = &out
		c := Job{Config: tiny()}
		c.Hellaswag, c.HellaswagEvery, c.SeqLen, c.BatchSize = file, 10, seq, 1
		if err := DryRun(c, env); err != nil {
			t.Fatal(err)
		}
		_, memory, _ := strings.Cut(out.String(), "device memory")
		return memory
	}
	block := tiny().BlockSize
	if plan("questions.jsonl", block) != plan("", block) {
		t.Error("a measurement in the training's memory costs some")
	}
	if plan("questions.jsonl", block/2) == plan("", block/2) {
		t.Error("a measurement with rows longer than the micro-batch costs nothing")
	}
}
