//go:build unix

package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// A test that kills its run needs the run in a process of its own: the test binary started again with these variables.
const (
	childConfig = "GPT2WGPU_TEST_CONFIG" // JSON
	childResume = "GPT2WGPU_TEST_RESUME"
	childLimit  = "GPT2WGPU_TEST_FILE_LIMIT" // bytes that a file may have
)

func TestMain(m *testing.M) {
	raw := os.Getenv(childConfig)
	if raw == "" {
		os.Exit(m.Run())
	}
	var c Job
	if err := json.Unmarshal([]byte(raw), &c.Config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	c.Resume = os.Getenv(childResume) != ""
	if limit := os.Getenv(childLimit); limit != "" {
		var n uint64
		fmt.Sscan(limit, &n)
		signal.Ignore(syscall.SIGXFSZ) // so that a write fails as on a full disk
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := Run(ctx, c, quiet())
	stop()
	switch {
	case errors.Is(err, ErrInterrupted):
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, c Job, env ...string) *exec.Cmd {
	t.Helper()
	raw, err := json.Marshal(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childConfig+"="+string(raw)), env...)
	cmd.Stderr = new(strings.Builder)
	return cmd
}

// TestKill: a run that is killed eight times at random moments and resumed each time has the metrics of one that was
// not.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("eight processes")
	}
	c := small(t)
	c.Steps, c.SaveEvery, c.ValEvery, c.HellaswagEvery, c.SampleEvery = 1_000_000, 2, 50, 0, 0
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	const kills = 8
	for kill := range kills {
		var env []string
		if hasSettings(c.Out) { // from then on, be there a checkpoint or not
			env = append(env, childResume+"=1")
		}
		cmd, ended := start(t, child(t, c, env...))
		// Two kills fall anywhere, the start included; the others among steps and saves, which start when the metrics
		// grow. Each of these leaves at least a step more than the one before.
		if kill%5 != 0 {
			before := size(c.Out)
			until(t, cmd, ended, func() bool { return size(c.Out) > before })
		}
		select {
		case err := <-ended:
			t.Fatalf("after %d kills the run ended by itself: %v: %s", kill, err, cmd.Stderr)
		case <-time.After(time.Duration(r.IntN(700)) * time.Millisecond):
			cmd.Process.Kill()
			<-ended
		}
	}
	dir, err := gpt2.LatestCheckpoint(c.Out)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills, the last checkpoint of step %d", kills, s.Step)
	// Finish a few steps after the last checkpoint, and compare with a run that was left alone up to there.
	c.StopAfter, c.Resume = 5, true
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	whole := c
	whole.Out, whole.Resume, whole.StopAfter, whole.SaveEvery = filepath.Join(t.TempDir(), "whole"), false, s.Step+5, 0
	if err := Run(context.Background(), whole, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	same(t, "killed eight times", metricsOf(t, c.Out), metricsOf(t, whole.Out))
}

// start starts a child. Its end is sent to ended.
func start(t *testing.T, cmd *exec.Cmd) (_ *exec.Cmd, ended chan error) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	ended = make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return cmd, ended
}

// until returns when it is so, however long that takes, and fails when the child ends before.
func until(t *testing.T, cmd *exec.Cmd, ended chan error, so func() bool) {
	t.Helper()
	for !so() {
		select {
		case err := <-ended:
			t.Fatalf("the run ended by itself: %v: %s", err, cmd.Stderr)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// size returns the bytes of a run's metrics.
func size(out string) int64 {
	info, err := os.Stat(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// TestSIGINT: an interrupted process finishes its step, writes the checkpoint, exits with 130 and resumes exactly.
func TestSIGINT(t *testing.T) {
	c := small(t)
	c.Steps, c.SaveEvery, c.ValEvery, c.HellaswagEvery, c.SampleEvery = 1_000_000, 0, 0, 0, 0
	cmd, ended := start(t, child(t, c))
	until(t, cmd, ended, func() bool { return size(c.Out) > 1000 })
	cmd.Process.Signal(os.Interrupt)
	if err := <-ended; cmd.ProcessState.ExitCode() != 130 {
		t.Fatalf("%v: %s", err, cmd.Stderr)
	}
	dir, err := gpt2.LatestCheckpoint(c.Out)
	if err != nil {
		t.Fatal(err)
	}
	s, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(metricsOf(t, c.Out)); got != s.Step {
		t.Errorf("checkpoint at step %d, metrics of %d steps", s.Step, got)
	}
	c.Resume, c.StopAfter = true, 3
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	whole := c
	whole.Out, whole.Resume, whole.StopAfter = filepath.Join(t.TempDir(), "whole"), false, s.Step+3
	if err := Run(context.Background(), whole, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	same(t, "after SIGINT", metricsOf(t, c.Out), metricsOf(t, whole.Out))
}

// inChild runs the test that calls it in a process of its own, whose limits are its own, and reports whether this
// is it.
func inChild(t *testing.T) bool {
	t.Helper()
	const mark = "GPT2WGPU_TEST_ALONE"
	if os.Getenv(mark) != "" {
		return true
	}
	small(t) // a device
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), mark+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// limitFiles keeps the files that this process writes below n bytes, as a full disk would, until full is called again
// with -1.
func limitFiles(t *testing.T) (full func(n int64)) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Skip(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	full = func(n int64) {
		now := was
		if n >= 0 {
			now.Cur = uint64(n)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { full(-1) })
	return full
}

// TestFullDiskForAWhile: while the disk is full training goes on, lines of the metrics wait, and no checkpoint is
// completed before its lines are there. Once there is space again nothing is missing.
func TestFullDiskForAWhile(t *testing.T) {
	if !inChild(t) {
		return
	}
	whole := stepsOnly(t)
	mustRun(t, whole)
	c := stepsOnly(t)
	full := limitFiles(t)
	metrics := filepath.Join(c.Out, "metrics.jsonl")
	var warnings []string
	env := quiet()
	env.Log = slog.New(onLog{slog.DiscardHandler, func(level slog.Level, text string) {
		switch {
		case strings.HasSuffix(text, "step-000004"):
			full(size(c.Out) + 50) // a part of the next line fits
		case level == slog.LevelWarn:
			warnings = append(warnings, text)
			if strings.Contains(text, "step-000006") {
				if lines := metricsOf(t, c.Out); len(lines) != 4 {
					t.Errorf("%d lines on the full disk, want 4", len(lines))
				}
				if left, _ := filepath.Glob(filepath.Join(c.Out, gpt2.CheckpointsDir, ".*")); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				full(-1)
			}
		case strings.HasSuffix(text, "step-000008"):
			if lines := metricsOf(t, c.Out); len(lines) != 8 {
				t.Errorf("%d lines at the checkpoint of step 8", len(lines))
			}
		}
	}})
	if err := Run(context.Background(), c, env); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0], metrics) || !strings.Contains(warnings[1],
		"the next save tries again") {
		t.Errorf("warnings: %q", warnings)
	}
	same(t, "on a disk that was full", metricsOf(t, c.Out), metricsOf(t, whole.Out))
	if names := gpt2.Checkpoints(c.Out); len(names) != 2 || names[0] != "step-000009" || names[1] != "step-000008" {
		t.Errorf("checkpoints %v", names)
	}
}

// TestFullDiskAtTheEnd: the last save of an invocation, its end or an interrupt, is the one that must not fail.
func TestFullDiskAtTheEnd(t *testing.T) {
	if !inChild(t) {
		return
	}
	for _, stop := range []int{0, 5} {
		c := stepsOnly(t)
		full := limitFiles(t)
		c.StopAfter = stop
		env := quiet()
		env.Log = slog.New(onLog{slog.DiscardHandler, func(_ slog.Level, text string) {
			if strings.HasSuffix(text, "step-000004") {
				full(20000)
			}
		}})
		err := Run(context.Background(), c, env)
		full(-1)
		wantError(t, err, "checkpoint", "--resume")
		if errors.Is(err, ErrInterrupted) {
			t.Errorf("--stop-after %d: an interrupt that could not save passes for one that did: %v", stop, err)
		}
		c.Resume, c.StopAfter = true, 0
		mustRun(t, c)
		whole := stepsOnly(t)
		mustRun(t, whole)
		same(t, "resumed", metricsOf(t, c.Out), metricsOf(t, whole.Out))
	}
}

// TestFullDisk: a last checkpoint that can't be written ends the run with an error; the one before stays the latest and
// usable.
func TestFullDisk(t *testing.T) {
	c := small(t)
	c.StopAfter = 2
	if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	before, err := gpt2.LatestCheckpoint(c.Out)
	if err != nil {
		t.Fatal(err)
	}
	c.StopAfter = 0
	cmd := child(t, c, childResume+"=1", childLimit+"=20000") // metrics fit, weights of 33 KB do not
	err = cmd.Run()
	text := fmt.Sprint(cmd.Stderr)
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(text, "checkpoint") || !strings.Contains(text, "hint:") {
		t.Fatalf("exit %d, %v: %s", cmd.ProcessState.ExitCode(), err, text)
	}
	if after, err := gpt2.LatestCheckpoint(c.Out); err != nil || after != before {
		t.Fatalf("latest is %s, %v; want %s", after, err, before)
	}
	if left, _ := filepath.Glob(filepath.Join(c.Out, gpt2.CheckpointsDir, ".writing-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	c.Resume = true
	if err := Run(context.Background(), c, quiet()); err != nil {
		t.Fatal(err)
	}
}
