package train

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestResumeNotFinite: a checkpoint with NaN in its weights or moments, or a second moment below zero, is refused by
// the tensor.
func TestResumeNotFinite(t *testing.T) {
	c := small(t)
	c.HellaswagEvery, c.SampleEvery, c.ValEvery, c.StopAfter = 0, 0, 0, 1
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	dir, err := gpt2.LatestCheckpoint(c.Out)
	if err != nil {
		t.Fatal(err)
	}
	shape := c.Resolved().Model()
	good, err := gpt2.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	path, list := filepath.Join(dir, optimizerFile), c.optimizer().State(shape)
	values, err := readTensors(path, list)
	must(t, err)
	rewrite := func() {
		t.Helper()
		must(t, gpt2.WriteSafetensors(path, list, func(i int) ([]float32, error) { return values[i], nil }, nil))
	}
	check := func(want ...string) {
		t.Helper()
		rewrite()
		_, err := readTensors(path, list)
		for _, w := range append(want, "hint: ") {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v, want %q", err, w)
			}
		}
	}
	nan := float32(math.NaN())
	m, v := values[len(values)-2], values[len(values)-1]
	m[2] = nan
	check("m.ln_f.bias", "value 2", "NaN")
	m[2], v[0] = 0, float32(math.Inf(1))
	check("v.ln_f.bias", "value 0", "+Inf")
	v[0] = -1e-9
	check("v.ln_f.bias", "value 0", "-1e-09", "0 or more")
	v[0] = float32(math.Copysign(0, -1)) // zero
	rewrite()
	if _, err := readTensors(path, list); err != nil {
		t.Error(err)
	}

	good.Get("wpe.weight")[3] = nan
	if err := gpt2.WriteDir(dir, good.Config, good.Tensor, nil); err != nil {
		t.Fatal(err)
	}
	state, err := readState(dir)
	// with the checksums of what is there now
	must(t, err, os.Remove(filepath.Join(dir, gpt2.StateFile)), state.write(dir))
	r := newRun(c, quiet())
	r.cfg.Resume = true
	if _, err := r.readStart(); err == nil || !strings.Contains(err.Error(), "wpe.weight") ||
		!strings.Contains(err.Error(), "NaN") {
		t.Errorf("--resume: %v", err)
	}
}
