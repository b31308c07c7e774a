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

// TestResumeNotFinite: a checkpoint with NaN in its weights or moments, or a second moment below zero, is refused by the tensor.
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
	m, v, err := readMoments(dir, shape)
	if err != nil {
		t.Fatal(err)
	}
	check := func(want ...string) {
		t.Helper()
		if err := writeMoments(filepath.Join(dir, optimizerFile), shape, m, v); err != nil {
			t.Fatal(err)
		}
		_, _, err := readMoments(dir, shape)
		for _, w := range append(want, "hint: ") {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v, want %q", err, w)
			}
		}
	}
	nan := float32(math.NaN())
	last := len(m) - 1
	m[last][2] = nan
	check("m.ln_f.bias", "value 2", "NaN")
	m[last][2], v[last][0] = 0, float32(math.Inf(1))
	check("v.ln_f.bias", "value 0", "+Inf")
	v[last][0] = -1e-9
	check("v.ln_f.bias", "value 0", "-1e-09", "0 or more")
	v[last][0] = float32(math.Copysign(0, -1)) // zero
	if err := writeMoments(filepath.Join(dir, optimizerFile), shape, m, v); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readMoments(dir, shape); err != nil {
		t.Error(err)
	}

	good.Get("wpe.weight")[3] = nan
	if err := gpt2.WriteDir(dir, good, nil); err != nil {
		t.Fatal(err)
	}
	state, err := readState(dir)
	must(t, err, os.Remove(filepath.Join(dir, gpt2.StateFile)), writeState(dir, state)) // with the checksums of what is there now
	r := newRun(c, quiet())
	r.cfg.Resume = true
	if _, err := r.readStart(); err == nil || !strings.Contains(err.Error(), "wpe.weight") || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("--resume: %v", err)
	}
}
