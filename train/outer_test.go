package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// outerLosses runs c, interrupted after each of stops, and returns its losses.
func outerLosses(t *testing.T, c Job, stops ...int) (losses []float64) {
	t.Helper()
	for _, stop := range append(stops, 0) {
		c.StopAfter = stop
		if err := Run(context.Background(), c, quiet()); err != nil && (stop == 0 || !errors.Is(err, ErrInterrupted)) {
			t.Fatal(err)
		}
		c.Resume = true
	}
	for _, m := range trainMetrics(t, c.Out) {
		losses = append(losses, float64(m.Loss))
	}
	return losses
}

// TestOuter: one rank whose outer step takes its change as it is goes on as if there were none; momentum makes a
// difference, and a resumed run has it.
func TestOuter(t *testing.T) {
	plain := small(t)
	want := outerLosses(t, plain)
	c := small(t)
	c.SyncEvery, c.SaveEvery, c.OuterLR, c.OuterMomentum = 3, 0, 1, 0
	for i, l := range outerLosses(t, c) {
		if math.Abs(l-want[i]) > 1e-5 {
			t.Fatalf("step %d: loss %.7f, without outer steps %.7f", i, l, want[i])
		}
	}
	c.Out, c.OuterMomentum = filepath.Join(t.TempDir(), "run"), 0.9
	whole := outerLosses(t, c)
	if math.Abs(whole[8]-want[8]) < 1e-5 {
		t.Error("momentum changes nothing")
	}
	c.Out = filepath.Join(t.TempDir(), "run")
	for i, l := range outerLosses(t, c, 3, 3) {
		if l != whole[i] {
			t.Fatalf("step %d: loss %v after a resume, %v without", i, l, whole[i])
		}
	}
	if _, err := os.Stat(filepath.Join(c.Out, "checkpoints", "step-000009", outerFile)); err != nil {
		t.Error(err)
	}
	c.SaveEvery = 4
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "--save-every is 4, want a multiple of "+
		"--sync-every 3") {
		t.Error(err)
	}
}
