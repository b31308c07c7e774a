package train

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestStateFields: a number in state.json that no run writes is refused by its field.
func TestStateFields(t *testing.T) {
	c := stepsOnly(t)
	good, err := json.Marshal(State{Step: 2, Config: c.Resolved().Config, Optimizer: "adamw"})
	must(t, err)
	for field, lie := range map[string]string{
		"step is -1": `"step":-1`, "step is 4611686018427387904": `"step":4611686018427387904`,
		`"step" is a string`: `"step":"2"`, `"step" is 1.5`: `"step":1.5`, `"step" is 1e99`: `"step":1e99`,
		"tokens is -5": `"tokens":-5`, "tokens is 9223372036854775807": `"tokens":9223372036854775807`,
		"data.epoch is 9223372036854775807": `"data":{"epoch":9223372036854775807}`,
		"skipped_in_a_row is 99":            `"skipped_in_a_row":99`,
		"data.epoch is -1":                  `"data":{"epoch":-1}`, "data.shard is -1": `"data":{"shard":-1}`,
		"data.offset is -2": `"data":{"offset":-2}`, "data.rows is -2": `"data":{"rows":-2}`,
		"data.seq_len is 4611686018427387904": `"data":{"seq_len":4611686018427387904}`,
		"data_files.train":                    `"data_files":{"train":[{"bytes":-1}]}`,
		"checksums.x":                         `"checksums":{"x":{"bytes":-1}}`,
		"--n-layer is -3":                     `"config":{"n_layer":-3,"n_head":2,"n_embd":8,"block_size":8}`,
		"--n-embd is 4611686018427387904": `"config":{"n_layer":1,"n_head":2,"n_embd":4611686018427387904,` +
			`"block_size":8,"vocab_size":9}`,
	} {
		dir := t.TempDir()
		// the last of equal keys counts
		write(t, filepath.Join(dir, gpt2.StateFile), strings.TrimSuffix(string(good), "}")+","+lie+"}")
		_, err := readState(dir)
		if err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", lie, err, field)
		}
	}
}

// TestWeightsOfDamagedCheckpoint: what sample, eval and export read of a checkpoint is compared with its checksums too.
func TestWeightsOfDamagedCheckpoint(t *testing.T) {
	c := stepsOnly(t)
	c.StopAfter = 4 // checkpoints of steps 2 and 4
	mustRun(t, c)
	dir, err := gpt2.LatestCheckpoint(c.Out)
	must(t, err)
	flip := func(name string, at int) {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if at < 0 {
			at += len(raw)
		}
		raw[at] ^= 1
		must(t, os.WriteFile(filepath.Join(dir, name), raw, 0o666))
	}
	if _, src, err := gpt2.Load(dir); err != nil || src.Warning != "" {
		t.Fatalf("%q, %v", src.Warning, err)
	}
	for name, at := range map[string]int{"model.safetensors": -3, "config.json": 40, "state.json": 30} {
		flip(name, at)
		for _, spec := range []string{dir, c.Out} {
			_, _, err := gpt2.Load(spec)
			wantError(t, err, name, "not as it was written")
			if spec == c.Out && (err == nil || !strings.Contains(err.Error(), "step-000002")) {
				t.Errorf("%v\nnames no other checkpoint", err)
			}
		}
		flip(name, at)
	}
	flip("optimizer.safetensors", -3) // which only a resume reads
	flip("generation_config.json", 3)
	if _, src, err := gpt2.Load(dir); err != nil || !strings.Contains(src.Warning, "generation_config.json") {
		t.Errorf("%q, %v", src.Warning, err)
	}
}

// onMessage calls do once, at the first message that begins so.
type onMessage struct {
	slog.Handler
	begins string
	do     func()
	done   *bool
}

func (h onMessage) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, h.begins) && !*h.done {
		*h.done = true
		h.do()
	}
	return h.Handler.Handle(ctx, r)
}

// TestRemovedOut: a run whose directory is removed makes it again, whole but for the old checkpoints, and says so.
func TestRemovedOut(t *testing.T) {
	whole := stepsOnly(t)
	mustRun(t, whole)
	c := stepsOnly(t)
	var log bytes.Buffer
	env := logged(&log)
	removed := true
	env.Log = slog.New(onMessage{env.Log.Handler(), "checkpoint ", func() { removed = os.RemoveAll(c.Out) == nil },
		new(bool)})
	err := Run(context.Background(), c, env)
	if !removed {
		t.Skip("a directory with open files cannot be removed here")
	}
	must(t, err)
	if !strings.Contains(log.String(), "was removed while the run trained") {
		t.Errorf("it is not said: %s", &log)
	}
	same(t, "after the removal", metricsOf(t, c.Out), metricsOf(t, whole.Out))
	if names := gpt2.Checkpoints(c.Out); len(names) == 0 || names[0] != "step-000009" || !hasSettings(c.Out) {
		t.Errorf("checkpoints %v", names)
	}
}

// TestSettingsStay: config.json is written where it has changed only.
func TestSettingsStay(t *testing.T) {
	c := stepsOnly(t)
	c.StopAfter = 2
	mustRun(t, c)
	path := filepath.Join(c.Out, configFile)
	before, err := os.Stat(path)
	must(t, err)
	c.Resume = true
	mustRun(t, c)
	if now, err := os.Stat(path); err != nil || !os.SameFile(before, now) {
		t.Errorf("the same settings were written again: %v", err)
	}
	c.Keep = 9
	mustRun(t, c)
	if now, err := os.Stat(path); err != nil || os.SameFile(before, now) {
		t.Errorf("other settings were not written: %v", err)
	}
}

// TestPruneAfter: beyond --keep, checkpoints of steps that a run that went back has yet to come to go first.
func TestPruneAfter(t *testing.T) {
	for _, x := range []struct {
		keep, step int
		has, left  string
	}{
		{3, 4, "2 4 6 8", "2 4 6"}, {2, 4, "2 4 6 8", "2 4"}, {1, 4, "2 4 6 8", "4"}, {3, 8, "2 4 6 8", "4 6 8"},
		{0, 4, "2 4 6 8", "2 4 6 8"}, {9, 4, "2 4 6 8", "2 4 6 8"},
	} {
		out := t.TempDir()
		name := strings.NewReplacer("2", "step-000002", "4", "step-000004", "6", "step-000006", "8", "step-000008")
		for _, dir := range strings.Fields(name.Replace(x.has)) {
			must(t, os.MkdirAll(filepath.Join(out, gpt2.CheckpointsDir, dir), 0o777))
		}
		c := checkpointer{out: out, keep: x.keep, log: quiet().Log, warned: map[string]bool{}}
		c.prune(filepath.Join(out, gpt2.CheckpointsDir), x.step)
		var left []string
		for _, dir := range gpt2.Checkpoints(out) {
			left = append([]string{dir}, left...)
		}
		if got, want := strings.Join(left, " "), name.Replace(x.left); got != want {
			t.Errorf("keep %d at step %d of %s: %s, want %s", x.keep, x.step, x.has, got, want)
		}
	}
}

// TestRestartWithoutConfig: config.json that cannot be written ends a run that a person starts, and no run that the
// supervisor starts again.
func TestRestartWithoutConfig(t *testing.T) {
	c := stepsOnly(t)
	c.StopAfter = 4
	mustRun(t, c)
	path := filepath.Join(c.Out, configFile)
	must(t, os.Remove(path))
	write(t, filepath.Join(path, "x"), "in the way")
	c.StopAfter, c.Resume = 0, true
	if err := Run(context.Background(), c, quiet()); err == nil {
		t.Error("a run that a person starts goes on without its config.json")
	}
	env, log := telling()
	env.Supervised = &Supervised{First: 0, Restarts: []string{"killed"}}
	must(t, Run(context.Background(), c, env))
	if !strings.Contains(log.String(), "training goes on") {
		t.Errorf("no warning: %s", log)
	}
	if got := len(trainMetrics(t, c.Out)); got != c.Steps {
		t.Errorf("%d steps are logged, want %d", got, c.Steps)
	}
}

// TestLinkedConfig: a config.json that is a link gives no settings of a file outside of the run's directory.
func TestLinkedConfig(t *testing.T) {
	needs.Symlinks(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "other.json"), `{"n_layer": 7, "steps": 3}`)
	run := filepath.Join(dir, "run")
	must(t, os.Mkdir(run, 0o755), os.Symlink("../other.json", filepath.Join(run, configFile)))
	c := tiny()
	if names, err := RunConfig(run, &c); len(names) > 0 || c.NLayer == 7 || hasSettings(run) {
		t.Errorf("settings %v, error %v of a link", names, err)
	}
}
