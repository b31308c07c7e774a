package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// stepsOnly is a run of milliseconds with nothing beside its steps.
func stepsOnly(t *testing.T) Job {
	t.Helper()
	c := small(t)
	c.Hellaswag, c.HellaswagEvery, c.ValData, c.ValEvery, c.SampleEvery = "", 0, "", 0, 0
	return c
}

// telling is quiet with a record of what is logged from the level of warnings up.
func telling() (Env, *bytes.Buffer) {
	var log bytes.Buffer
	env := quiet()
	env.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return env, &log
}

// wantError checks an error of one line, with a hint and the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", words)
		return
	}
	for _, w := range append(words, "hint: ") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v\nlacks %q", err, w)
		}
	}
	if strings.Count(err.Error(), "hint: ") != 1 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v: want one line and one hint", err)
	}
}

func mustRun(t *testing.T, c Job) {
	t.Helper()
	if err := Run(context.Background(), c, quiet()); err != nil && !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNoCheckpointYet: a run that died before its first checkpoint starts again at step 0, with its own settings and
// without the lines of the dead attempt; until then its directory is refused to a new run, and says what it is to
// others.
func TestNoCheckpointYet(t *testing.T) {
	whole := stepsOnly(t)
	mustRun(t, whole)

	c := stepsOnly(t)
	c.StopAfter, c.SaveEvery = 3, 0
	mustRun(t, c)
	for _, state := range []struct {
		name string
		lose func() error
	}{
		{"no checkpoints", func() error { return os.RemoveAll(filepath.Join(c.Out, gpt2.CheckpointsDir)) }},
		{"an empty directory of checkpoints", func() error {
			return os.MkdirAll(filepath.Join(c.Out,
				gpt2.CheckpointsDir), 0o755)
		}},
		{"a half-written checkpoint", func() error {
			return os.MkdirAll(filepath.Join(c.Out, gpt2.CheckpointsDir, ".writing-step-000002"), 0o755)
		}},
	} {
		must(t, state.lose())
		_, _, err := gpt2.Load(c.Out)
		wantError(t, err, "no complete checkpoint yet", "at its beginning", "train --resume --out "+c.Out)
		fresh := stepsOnly(t)
		fresh.Out = c.Out
		wantError(t, Run(context.Background(), fresh, quiet()), "holds a run already", "--resume starts it at step 0")
		if lines := metricsOf(t, c.Out); len(lines) != 3 {
			t.Fatalf("%s: %d lines are left", state.name, len(lines))
		}
	}
	again := Job{Config: DefaultConfig()}
	if _, err := RunConfig(c.Out, &again.Config); err != nil {
		t.Fatal(err)
	}
	again.Out, again.Resume, again.Device = c.Out, true, c.Device
	env, log := telling()
	if err := Run(context.Background(), again, env); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "starts at step 0") {
		t.Errorf("the log doesn't say that the run starts at step 0: %s", log)
	}
	same(t, "started again", metricsOf(t, c.Out), metricsOf(t, whole.Out))
}

// TestDeadAtStart: a run that was killed before it had opened its data, weights and device starts with its own settings
// too; one that fails there leaves its directory as it was.
func TestDeadAtStart(t *testing.T) {
	whole := stepsOnly(t)
	whole.Seed = 5
	mustRun(t, whole)
	for _, made := range []bool{true, false} {
		c := stepsOnly(t)
		c.Seed = 5
		if !made {
			must(t, os.MkdirAll(c.Out, 0o755))
		}
		killed := filepath.Join(t.TempDir(), "killed")
		env, fault := quiet(), errors.New("a fault")
		env.Fetch = func(*Config, bool) error {
			must(t, os.CopyFS(killed, os.DirFS(c.Out)))
			return fault
		}
		if err := Run(context.Background(), c, env); !errors.Is(err, fault) {
			t.Fatal(err)
		}
		if _, err := os.Stat(c.Out); made == (err == nil) {
			t.Errorf("the directory, made by the run: %v: %v", made, err)
		}
		if _, err := os.Stat(filepath.Join(c.Out, configFile)); err == nil {
			t.Error("settings of a run that did not begin are left")
		}
		again := Job{Config: DefaultConfig()}
		if _, err := RunConfig(killed, &again.Config); err != nil {
			t.Fatal(err)
		}
		again.Out, again.Resume, again.Keep = killed, true, 7
		var log bytes.Buffer
		if err := Run(context.Background(), again, logged(&log)); err != nil {
			t.Fatal(err)
		}
		same(t, "killed at its start", metricsOf(t, killed), metricsOf(t, whole.Out))
		if want := fmt.Sprintf("settings changed: --keep %d -> 7", c.Keep); !strings.Contains(log.String(), want) {
			t.Errorf("%q is not said: %s", want, &log)
		}
	}
}

// TestOutHolds: what a new run and a resumed one say of directories that hold something else.
func TestOutHolds(t *testing.T) {
	for _, x := range []struct {
		name         string
		files        map[string]string
		new, resumed []string // words of the error; nil: none is looked for
	}{
		{"metrics only", map[string]string{"metrics.jsonl": "{\"kind\":\"train\",\"step\":0}\n"},
			[]string{"metrics.jsonl", "neither settings nor a checkpoint", "another --out"},
			[]string{"no complete checkpoint and no config.json"}},
		{"a model", map[string]string{"config.json": `{"model_type":"gpt2"}`, "model.safetensors": "x"},
			[]string{"config.json that is not a run's", "another --out"}, []string{"no complete checkpoint"}},
		{"nothing", map[string]string{"notes.txt": "mine"}, nil, []string{"no complete checkpoint and no config.json",
			"without --resume"}},
	} {
		c := stepsOnly(t)
		for name, text := range x.files {
			write(t, filepath.Join(c.Out, name), text)
		}
		if x.new != nil {
			wantError(t, Run(context.Background(), c, quiet()), x.new...)
		}
		c.Resume = true
		if err := Run(context.Background(), c, quiet()); x.name != "a model" {
			wantError(t, err, x.resumed...)
		}
		_, err := RunConfig(c.Out, &c.Config)
		if x.name == "a model" {
			wantError(t, err, "holds a model, not a run", "--init "+c.Out)
		} else if err != nil {
			t.Errorf("%s: %v", x.name, err)
		}
		for name, text := range x.files {
			if got := readText(t, filepath.Join(c.Out, name)); got != text {
				t.Errorf("%s: %s is %q now", x.name, name, got)
			}
		}
	}
	// An empty directory, with the files that a start leaves, is free.
	c := stepsOnly(t)
	c.StopAfter = 1
	for _, name := range []string{"lock", "metrics.jsonl"} {
		write(t, filepath.Join(c.Out, name), "")
	}
	must(t, os.MkdirAll(filepath.Join(c.Out, gpt2.CheckpointsDir), 0o755))
	mustRun(t, c)
	_, err := RunConfig(filepath.Join(c.Out, gpt2.CheckpointsDir, "step-000001"), &c.Config)
	wantError(t, err, "--out "+c.Out, "latest")
	// A file is reported as what it is, not as settings.
	c.Out, c.Resume = filepath.Join(c.Out, "lock"), true
	if _, err := RunConfig(c.Out, &c.Config); err != nil {
		t.Error(err)
	}
	wantError(t, CheckOut(c), "--out "+c.Out, "a file, want a directory")
}

// TestLostSettings: a run whose config.json is missing or damaged goes on with those of its checkpoint.
func TestLostSettings(t *testing.T) {
	whole := stepsOnly(t)
	mustRun(t, whole)
	for _, lose := range []func(string) error{os.Remove, func(path string) error {
		return os.WriteFile(path,
			[]byte(`{"n_la`), 0o644)
	}} {
		c := stepsOnly(t)
		c.StopAfter = 3
		mustRun(t, c)
		must(t, lose(filepath.Join(c.Out, "config.json")))
		again := Job{Config: DefaultConfig()}
		if _, err := RunConfig(c.Out, &again.Config); err != nil {
			t.Fatal(err)
		}
		again.Out, again.Resume, again.Device = c.Out, true, c.Device
		mustRun(t, again)
		same(t, "resumed without settings", metricsOf(t, c.Out), metricsOf(t, whole.Out))
	}
}

// TestDamagedCheckpoint: every kind of damage to the newest checkpoint is noticed; the run goes on from the one before,
// says so, and ends like one that was not damaged.
func TestDamagedCheckpoint(t *testing.T) {
	whole := stepsOnly(t)
	whole.Keep = 3
	mustRun(t, whole)
	begun := stepsOnly(t)
	begun.Keep, begun.StopAfter = 3, 6
	mustRun(t, begun) // checkpoints of steps 2, 4 and 6
	root := filepath.Join(gpt2.CheckpointsDir)
	newest := filepath.Join(root, "step-000006")
	flip := func(name string, at func(size int) int) func(string) error {
		return func(out string) error {
			path := filepath.Join(out, newest, name)
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			raw[at(len(raw))] ^= 1
			return os.WriteFile(path, raw, 0o644)
		}
	}
	for name, damage := range map[string]func(out string) error{
		"a weight":           flip("model.safetensors", func(n int) int { return n - 5 }),
		"a moment":           flip("optimizer.safetensors", func(n int) int { return n / 2 }),
		"config.json":        flip("config.json", func(n int) int { return n / 2 }),
		"state.json":         flip("state.json", func(n int) int { return n / 2 }),
		"state.json's start": flip("state.json", func(n int) int { return 10 }),
		"state.json is cut": func(out string) error {
			return os.Truncate(filepath.Join(out, newest, "state.json"), 100)
		},
		"weights are cut": func(out string) error {
			return os.Truncate(filepath.Join(out, newest, "model.safetensors"), 1000)
		},
		"moments are gone": func(out string) error {
			return os.Remove(filepath.Join(out, newest,
				"optimizer.safetensors"))
		},
		"the directory is gone": func(out string) error {
			return os.RemoveAll(filepath.Join(out, newest))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := begun
			c.Out, c.Resume, c.StopAfter = filepath.Join(t.TempDir(), "run"), true, 0
			must(t, os.CopyFS(c.Out, os.DirFS(begun.Out)), damage(c.Out))
			env, log := telling()
			if err := Run(context.Background(), c, env); err != nil {
				t.Fatal(err)
			}
			for _, w := range []string{"step-000006", "step-000004", "latest"} {
				if !strings.Contains(log.String(), w) {
					t.Errorf("the log doesn't say %q: %s", w, log)
				}
			}
			same(t, "resumed from the one before", metricsOf(t, c.Out), metricsOf(t, whole.Out))
			if kept := gpt2.Checkpoints(c.Out); len(kept) != 3 || kept[0] != "step-000009" {
				t.Errorf("checkpoints %v", kept)
			}
		})
	}
	// Where only the weights are read, the error names the other checkpoints.
	must(t, os.Truncate(filepath.Join(begun.Out, newest, "model.safetensors"), 1000))
	_, _, err := gpt2.Load(begun.Out)
	wantError(t, err, "model.safetensors", "latest", "step-000004")
	// Where all are damaged nothing starts, least of all at step 0.
	c := begun
	c.Out, c.Resume, c.StopAfter = filepath.Join(t.TempDir(), "run"), true, 0
	must(t, os.CopyFS(c.Out, os.DirFS(begun.Out)))
	for _, name := range gpt2.Checkpoints(c.Out) {
		must(t, os.Remove(filepath.Join(c.Out, root, name, "state.json")))
	}
	before := metricsOf(t, c.Out)
	wantError(t, Run(context.Background(), c, quiet()), "no checkpoint", "step-000006", "latest")
	same(t, "nothing was cut", metricsOf(t, c.Out), before)
}

// TestLatest: a missing `latest`, or one that names nothing, is the newest checkpoint; one that names an older step
// goes back to it, and what was after it neither counts as kept nor disturbs.
func TestLatest(t *testing.T) {
	whole := stepsOnly(t)
	whole.Keep = 3
	mustRun(t, whole)
	for text, from := range map[string]string{"": "6", "step-000099": "6", "../x": "6", "step-000004\n": "4"} {
		c := stepsOnly(t)
		c.Keep, c.StopAfter = 3, 6
		mustRun(t, c)
		latest := filepath.Join(c.Out, gpt2.CheckpointsDir, gpt2.LatestFile)
		if text == "" {
			must(t, os.Remove(latest))
		} else {
			write(t, latest, text)
		}
		_, src, err := gpt2.Load(c.Out)
		if err != nil || filepath.Base(src.Path) != "step-00000"+from || (src.Warning != "") != (from == "6") {
			t.Errorf("latest is %q: weights of %s, warning %q, %v", text, src.Path, src.Warning, err)
		}
		c.Resume, c.StopAfter = true, 0
		env, log := telling()
		if err := Run(context.Background(), c, env); err != nil {
			t.Fatalf("latest is %q: %v", text, err)
		}
		if warned := strings.Contains(log.String(), "latest"); warned != (from == "6") {
			t.Errorf("latest is %q: log %s", text, log)
		}
		same(t, "resumed", metricsOf(t, c.Out), metricsOf(t, whole.Out))
		if s := newestState(t, c.Out); s.Step != 9 {
			t.Errorf("the newest step is %d", s.Step)
		}
	}
}

// TestMovedData: the same files elsewhere are accepted with a warning, others are refused by name.
func TestMovedData(t *testing.T) {
	dir := t.TempDir()
	text := strings.Repeat("text to train on, and text to look at. ", 200)
	was := write(t, filepath.Join(dir, "a", "t.txt"), text)
	val := write(t, filepath.Join(dir, "a", "v.txt"), text[:2000])
	c := stepsOnly(t)
	c.Data, c.ValData, c.ValEvery, c.ValSteps, c.StopAfter = was, val, 3, 2, 3
	mustRun(t, c)
	state := newestState(t, c.Out)
	if len(state.DataFiles["train"]) != 1 || len(state.DataFiles["val"]) != 1 ||
		state.DataFiles["train"][0].Bytes != int64(len(text)) {
		t.Fatalf("state.json has %+v", state.DataFiles)
	}
	moved := filepath.Join(dir, "b")
	must(t, os.Rename(filepath.Join(dir, "a"), moved))
	c.Resume, c.StopAfter = true, 1
	run := func(data, val string) (string, error) {
		c.Data, c.ValData = data, val
		env, log := telling()
		err := Run(context.Background(), c, env)
		return log.String(), err
	}
	t.Run("not there", func(t *testing.T) {
		_, err := run(was, val)
		wantError(t, err, was, "--data PATH")
	})
	other := write(t, filepath.Join(moved, "other.txt"), strings.Replace(text, "look", "LOOK", 1))
	t.Run("other data", func(t *testing.T) {
		_, err := run(other, filepath.Join(moved, "v.txt"))
		wantError(t, err, "other.txt", "t.txt", "--data PATH")
		_, err = run("sample", filepath.Join(moved, "v.txt"))
		wantError(t, err, "--data sample")
		_, err = run(filepath.Join(moved, "t.txt"), other)
		wantError(t, err, "--val-data", "other.txt", "v.txt")
	})
	t.Run("moved", func(t *testing.T) {
		log, err := run(filepath.Join(moved, "t.txt"), filepath.Join(moved, "v.txt"))
		if !errors.Is(err, ErrInterrupted) || strings.Count(log, "lie elsewhere") != 2 || !strings.Contains(log,
			moved) {
			t.Errorf("%v: %s", err, log)
		}
		// from now on that is where they are
		log, err = run(filepath.Join(moved, "t.txt"), filepath.Join(moved, "v.txt"))
		if !errors.Is(err, ErrInterrupted) || log != "" {
			t.Errorf("%v: %s", err, log)
		}
		_, err = run(write(t, filepath.Join(moved, "t.txt"), strings.ToUpper(text)), filepath.Join(moved, "v.txt"))
		wantError(t, err, "t.txt is not the file that the run was trained on")
	})
}

// TestChangedShards: of several files the one that has changed, is new or is missing is named, with the true cause.
func TestChangedShards(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	for i, name := range []string{"a.txt", "b.txt", "c.txt", "val.txt"} {
		write(t, filepath.Join(dir, name), strings.Repeat(fmt.Sprintf("text %d to train on. ", i), 200))
	}
	c := stepsOnly(t)
	c.Data, c.ValEvery, c.ValSteps, c.StopAfter = dir, 3, 2, 3
	mustRun(t, c)
	c.Resume, c.StopAfter = true, 1
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, x := range []struct {
		what   string
		change func()
		undo   func()
		words  []string
	}{
		{"changed", func() { write(t, at("b.txt"), "other") },
			func() { write(t, at("b.txt"), strings.Repeat("text 1 to train on. ", 200)) },
			[]string{at("b.txt") + " is not the file"}},
		{"new", func() { write(t, at("d.txt"), "more") }, func() { must(t, os.Remove(at("d.txt"))) },
			[]string{"4 files, want the run's 3", "new is " + at("d.txt")}},
		{"missing", func() { must(t, os.Rename(at("b.txt"), at("b.off"))) },
			func() { must(t, os.Rename(at("b.off"), at("b.txt"))) },
			[]string{"2 files, want the run's 3", "now without " + at("b.txt")}},
		{"no validation", func() { must(t, os.Rename(at("val.txt"), at("val.off"))) },
			func() { must(t, os.Rename(at("val.off"), at("val.txt"))) },
			[]string{"the file that the run validates on is not there", at("val.txt"), "--val-every 0"}},
		{"unreadable", func() { write(t, at("c.txt"), "") },
			func() { write(t, at("c.txt"), strings.Repeat("text 2 to train on. ", 200)) },
			[]string{at("c.txt")}},
	} {
		t.Run(x.what, func(t *testing.T) {
			x.change()
			err := Run(context.Background(), c, quiet())
			x.undo()
			wantError(t, err, x.words...)
		})
	}
	must(t, os.Rename(at("b.txt"), at("bb.txt")))
	env, log := telling()
	if err := Run(context.Background(), c, env); !errors.Is(err, ErrInterrupted) || !strings.Contains(log.String(),
		at("bb.txt")) {
		t.Errorf("renamed: %v: %s", err, log)
	}
}

// TestMovedOldData: a checkpoint without digests compares the number of tokens.
func TestMovedOldData(t *testing.T) {
	c := oldRun(t)
	small(t) // a device
	text := readText(t, c.Data)
	c.StopAfter, c.ValData, c.ValEvery = 1, "", 0
	c.Data = write(t, filepath.Join(t.TempDir(), "moved.txt"), text+"!")
	wantError(t, Run(context.Background(), c, quiet()), "moved.txt", "4001 tokens", "4000", "--data PATH")
	write(t, c.Data, text)
	env, log := telling()
	if err := Run(context.Background(), c, env); !errors.Is(err, ErrInterrupted) || !strings.Contains(log.String(),
		"number of tokens") {
		t.Errorf("%v: %s", err, log)
	}
}

// TestInUse: a second process is kept out of a run's directory, by --resume too, and learns who is there.
func TestInUse(t *testing.T) {
	c := stepsOnly(t)
	c.StopAfter = 1
	mustRun(t, c)
	if _, err := os.Stat(filepath.Join(c.Out, "lock.json")); err == nil {
		t.Error("lock.json is still there after the run")
	}
	l, err := lock.Take(context.Background(), filepath.Join(c.Out, "lock"), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	patience := lockPatience
	lockPatience = 0
	defer func() { lockPatience = patience }()
	host, _ := os.Hostname()
	for _, c.Resume = range []bool{false, true} {
		wantError(t, Run(context.Background(), c, quiet()), "in use by", fmt.Sprint(os.Getpid()), host)
	}
	if _, _, err := gpt2.Load(c.Out); err != nil {
		t.Errorf("a reader is kept out: %v", err)
	}
}

// TestNoLocks: a file system without locks is warned about, and the run goes on.
func TestNoLocks(t *testing.T) {
	take := takeLock
	defer func() { takeLock = take }()
	takeLock = func(_ context.Context, path string, _ time.Duration, _ func(lock.Owner)) (*lock.Lock, error) {
		return nil, fmt.Errorf("%s: %w", path, lock.ErrUnsupported)
	}
	c := stepsOnly(t)
	c.StopAfter = 1
	env, log := telling()
	if err := Run(context.Background(), c, env); !errors.Is(err, ErrInterrupted) || !strings.Contains(log.String(),
		"without locks") {
		t.Errorf("%v: %s", err, log)
	}
}

// TestUnwritableOut: an --out that cannot be written is refused before anything is opened, and --dry-run leaves nothing
// there.
func TestUnwritableOut(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "file"), "")
	for _, out := range []string{file, filepath.Join(file, "run")} {
		c := stepsOnly(t)
		c.Out, c.Data, c.Init = out, "no/such/data.txt", "no/such/weights"
		wantError(t, Run(context.Background(), c, quiet()), "--out "+out)
		wantError(t, DryRun(c, quiet()), "--out "+out)
	}
	c := stepsOnly(t)
	if err := DryRun(c, quiet()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.Out); err == nil {
		t.Error("--dry-run made the directory")
	}
	// A start that fails leaves nothing behind that was not there before.
	c.Data = "no/such/data.txt"
	top := t.TempDir()
	for _, c.Out = range []string{c.Out, filepath.Join(top, "made", "for", "it"), top} {
		wantError(t, Run(context.Background(), c, quiet()), "no/such/data.txt")
		if _, err := os.Stat(c.Out); err == nil && c.Out != top {
			t.Errorf("%s: left by a start that failed", c.Out)
		}
		if entries, err := os.ReadDir(top); err != nil || len(entries) > 0 {
			t.Errorf("%s: left %v, %v", c.Out, entries, err)
		}
	}
}

// TestSpace: a disk without room for a checkpoint is refused before training, one that will be full is warned about,
// and the plan says what a checkpoint takes.
func TestSpace(t *testing.T) {
	c := stepsOnly(t)
	asked := freeSpace
	defer func() { freeSpace = asked }()
	set := func(free uint64) { freeSpace = func(string) (uint64, bool) { return free, true } }
	if free, known := freeSpace(t.TempDir()); known && free == 0 {
		t.Errorf("%d bytes free here", free)
	}
	var plan bytes.Buffer
	env, log := telling()
	env.Stdout = &plan
	must(t, DryRun(c, env))
	var line string
	for _, l := range strings.Split(plan.String(), "\n") {
		if strings.HasPrefix(l, "checkpoint ") {
			line = l
		}
	}
	if !strings.Contains(line, fmt.Sprintf("about %d bytes", c.checkpointBytes())) || !strings.Contains(line,
		"at most 3 at a time") {
		t.Errorf("the plan says %q", line)
	}

	set(c.checkpointBytes() - 1)
	wantError(t, Run(context.Background(), c, env), "--out "+c.Out, "free, a checkpoint takes")
	set(2 * c.checkpointBytes())
	must(t, Run(context.Background(), c, env))
	if !strings.Contains(log.String(), "the disk may be full") {
		t.Errorf("log: %s", log)
	}
	total := int64(0)
	dir, err := gpt2.LatestCheckpoint(c.Out)
	must(t, err)
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		total += info.Size()
	}
	if got := int64(c.checkpointBytes()); got < total || got > total+20000 {
		t.Errorf("a checkpoint takes %d bytes, %d were foretold", total, got)
	}
}

// TestUnremovable: old checkpoints and leftovers that cannot be removed are warned about, and training goes on.
func TestUnremovable(t *testing.T) {
	c := stepsOnly(t)
	c.StopAfter = 2
	mustRun(t, c)
	root := filepath.Join(c.Out, gpt2.CheckpointsDir)

	removed := remove
	remove = func(path string) error {
		if strings.Contains(path, "step-000002") {
			return &os.PathError{Op: "unlinkat", Path: path, Err: errors.New("directory not empty")}
		}
		return removed(path)
	}
	defer func() { remove = removed }()
	c.Resume, c.StopAfter, c.Keep = true, 0, 1
	env, log := telling()
	if err := Run(context.Background(), c, env); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "cannot be removed") || !strings.Contains(log.String(), "step-000002") {
		t.Errorf("log: %s", log)
	}
	if n := strings.Count(log.String(), "cannot be removed"); n != 1 {
		t.Errorf("warned %d times: %s", n, log)
	}
	if kept := gpt2.Checkpoints(c.Out); len(kept) != 2 || kept[0] != "step-000009" || kept[1] != "step-000002" {
		t.Errorf("checkpoints %v", kept)
	}
	var s State
	must(t, json.Unmarshal([]byte(readText(t, filepath.Join(root, "step-000009", "state.json"))), &s))
	if len(s.Checksums) < 3 || s.SHA256 == "" {
		t.Errorf("state.json has the checksums %+v", s.Checksums)
	}
}
