package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// chosen is a Tuner that has made its choice.
type chosen struct{ tuning op.Tuning }

func (c chosen) Cached(gpu.AdapterInfo) op.Tuning { return c.tuning }

func (c chosen) Tune(context.Context, gpu.AdapterInfo, func(op.Tuning) ([]op.Use, error), any) (
	op.Tuning, error) {
	return nil, errors.New("a small model is tuned on the way")
}

// other returns tiles for the uses of c that are not those of the fixed tables: the n-th candidate, if there are so
// many.
func other(t *testing.T, c Job, n int) op.Tuning {
	t.Helper()
	gputest.Available(t)
	list, err := gpu.Adapters()
	if err != nil {
		t.Fatal(err)
	}
	info, err := gpu.Choose(list, c.Device)
	if err != nil {
		t.Fatal(err)
	}
	tuning := op.Tuning{}
	var uses []op.Use
	for _, only := range []string{"classifier", ""} { // whose chunks decide on the shapes of others
		if uses, err = Uses(c.Resolved(), info)(tuning); err != nil {
			t.Fatal(err)
		}
		for _, u := range uses {
			if tiles := op.Candidates(op.TargetFor(info, info.Limits), u); len(tiles) > 1 && strings.HasPrefix(u.Class,
				only) {
				if _, ok := tuning[u.Class]; !ok {
					tuning[u.Class] = tiles[min(n, len(tiles)-1)]
				}
			}
		}
	}
	if len(tuning) < 5 {
		t.Fatalf("%d uses have a choice: %v", len(uses), tuning)
	}
	return tuning
}

func stateOf(t *testing.T, out string) State {
	t.Helper()
	dir, err := gpt2.LatestCheckpoint(out)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTilesStay: what was chosen when a run began is in its checkpoint, and is what a resume takes, whatever has been
// chosen since; so the numbers are those of a run that went through. The fixed tables are such a choice too.
func TestTilesStay(t *testing.T) {
	run := func(c Job, tuning op.Tuning) Job {
		t.Helper()
		env := quiet()
		env.Tuner = chosen{tuning}
		if err := Run(context.Background(), c, env); err != nil &&
			!(c.StopAfter > 0 && errors.Is(err, ErrInterrupted)) {
			t.Fatal(err)
		}
		return c
	}
	short := func() Job {
		c := small(t)
		// Enough rows for a choice of the classifier's chunks: tiles of software devices add up in one order, chunks do
		// not.
		c.Steps, c.NEmbd, c.BatchSize, c.TotalBatchSize = 3, 32, 8, 128
		return c
	}
	first, second := other(t, short(), 1), other(t, short(), 2)
	maps.DeleteFunc(second, func(class string, _ op.Tile) bool { return strings.HasPrefix(class, "classifier") })

	fixed, whole := run(short(), nil), run(short(), first)
	if slices.Equal(metricsOf(t, fixed.Out), metricsOf(t, whole.Out)) {
		t.Fatal("other tiles print the same digits: this test sees nothing")
	}
	for name, c := range map[string]struct {
		was, now op.Tuning
		like     Job
	}{
		"tuned, then others": {first, second, whole}, "tuned, then none": {first, nil, whole},
		"fixed, then tuned": {nil, first, fixed},
	} {
		t.Run(name, func(t *testing.T) {
			parts := short()
			parts.StopAfter = 2
			run(parts, c.was)
			s := stateOf(t, parts.Out)
			if got, want := slices.Sorted(maps.Keys(s.Tiles.Tuning)), slices.Sorted(maps.Keys(c.was)); !slices.Equal(
				got, want) || s.Tiles.Device == "" {
				t.Errorf("the checkpoint has tiles of %v chosen on %q, want %v", got, s.Tiles.Device, want)
			}
			parts.Resume, parts.StopAfter = true, 0
			run(parts, c.now)
			same(t, name, metricsOf(t, parts.Out), metricsOf(t, c.like.Out))
			if a, b := stateOf(t, parts.Out), s; len(a.Tiles.Tuning) != len(b.Tiles.Tuning) {
				t.Errorf("tiles changed within the run: %v, %v", a.Tiles, b.Tiles)
			}
		})
	}

	c := short()
	c.NoAutotune = true
	same(t, "--no-autotune", metricsOf(t, run(c, first).Out), metricsOf(t, fixed.Out))
}

// stopped is a run of two steps that stopped after one.
func stopped(t *testing.T) Job {
	t.Helper()
	c := small(t)
	c.Steps, c.StopAfter = 2, 1
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	return c
}

// resumed goes on with a run, once change has changed its state.json, and returns the log.
func resumed(t *testing.T, c Job, change func(state, tiles map[string]any)) (string, error) {
	t.Helper()
	dir, err := gpt2.LatestCheckpoint(c.Out)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, gpt2.StateFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	change(s, s["tiles"].(map[string]any))
	delete(s, "sha256") // of what it was before
	if raw, err = json.Marshal(s); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	c.Resume, c.StopAfter = true, 0
	var log bytes.Buffer
	env := quiet()
	env.Log = slog.New(slog.NewTextHandler(&log, nil))
	err = Run(context.Background(), c, env)
	return log.String(), err
}

// TestBadTiles: a checkpoint with a tile that can't run, or of ops that this version does not tune, is refused.
func TestBadTiles(t *testing.T) {
	c := stopped(t)
	for class, want := range map[string]string{
		"matmul_forward/f32": "impossible geometry", "renamed/f32": "tunes no renamed",
	} {
		_, err := resumed(t, c, func(_, tiles map[string]any) {
			tiles["tuning"] = map[string]any{class: map[string]any{"matmul": map[string]int{"TM": -1}}}
		})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "hint:") {
			t.Errorf("%s: got %v, want %q", class, err, want)
		}
	}
}

// TestOtherTables: a resume under tables that may differ from those of the checkpoint's program says so.
func TestOtherTables(t *testing.T) {
	for _, x := range []struct {
		name, tables, version string
		warns                 bool
	}{
		{"the same", "", "", false},
		{"another version with the same tables", "", "v0.1.0", false},
		{"other tables", "0123456789abcdef", "v0.1.0", true},
		{"another version before there were hashes", "none", "v0.1.0", true},
		{"this version before there were hashes", "none", "", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			log, err := resumed(t, stopped(t), func(state, tiles map[string]any) {
				if x.tables == "none" {
					delete(tiles, "tables")
				} else if x.tables != "" {
					tiles["tables"] = x.tables
				}
				if x.version != "" {
					state["program_version"] = x.version
				}
			})
			if warns := strings.Contains(log, "may change in their last digits"); err != nil || warns != x.warns {
				t.Errorf("warns: %t, want %t; %v\n%s", warns, x.warns, err, log)
			}
		})
	}
}

// asks is a Tuner that keeps what it is asked.
type asks struct{ micro any }

func (a *asks) Cached(gpu.AdapterInfo) op.Tuning { return nil }

func (a *asks) Tune(_ context.Context, _ gpu.AdapterInfo, _ func(op.Tuning) ([]op.Use, error), micro any) (
	op.Tuning, error) {
	a.micro = micro
	return nil, nil
}

// TestTuningStep: what a Tuner is asked for is the run's micro-step, with the run's uses of tuned ops, and is timed.
func TestTuningStep(t *testing.T) {
	c := small(t)
	c.TotalBatchSize = 4 * c.BatchSize * c.SeqLen
	info := gputest.Device(t).Info
	var a asks
	if _, err := Tune(context.Background(), c.Resolved(), info, &a); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(a.micro)
	if err != nil {
		t.Fatal(err)
	}
	trial, err := TuningStep(gputest.Device(t), raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	if took, err := trial(); err != nil || took <= 0 {
		t.Errorf("%v, %v", took, err)
	}
	var micro Job
	if err := json.Unmarshal(raw, &micro.Config); err != nil {
		t.Fatal(err)
	}
	of := func(c Job) []op.Use {
		uses, err := Uses(c.Resolved(), info)(nil)
		if err != nil {
			t.Fatal(err)
		}
		return uses
	}
	if got, want := of(micro), of(c); !reflect.DeepEqual(got, want) || micro.Resolved().AccumSteps() != 1 {
		t.Errorf("%d micro-steps with the uses %v, want %v", micro.Resolved().AccumSteps(), got, want)
	}
}
