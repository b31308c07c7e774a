//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// Supervised runs that are ended at random, as in a bad week. TestRandomEnds does twenty ends; `make chaos` sets the
// first variable to a time, and more kinds of faults then happen until it is over; the second one to a number of ends.
const (
	chaosTime = "GPT2WGPU_CHAOS"
	chaosEnds = "GPT2WGPU_CHAOS_ENDS"
	soakTime  = "GPT2WGPU_SOAK" // of TestSoak, which `make soak` runs
)

// victim is a supervised run whose processes are ended.
type victim struct {
	t    *testing.T
	args []string
	out  string
	env  []string
	cmd  *exec.Cmd // the supervisor
	said bytes.Buffer
	over chan error
}

// start starts the supervisor, to go on with what is there.
func (v *victim) start() {
	v.t.Helper()
	args := v.args
	if train.HasRun(v.out) {
		args = append(args[:len(args):len(args)], "--resume")
	}
	v.cmd = exec.Command(os.Args[0], args...)
	v.cmd.Env = append(append(os.Environ(), asProgram+"=1", "NO_COLOR=1"), v.env...)
	v.cmd.Stdout, v.cmd.Stderr = &v.said, &v.said
	v.cmd.WaitDelay = time.Second
	if err := v.cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	over, cmd := make(chan error, 1), v.cmd
	v.over = over
	go func() { over <- cmd.Wait() }()
	v.t.Cleanup(func() { cmd.Process.Kill() })
}

// until waits until so, and fails if the supervisor ends before.
func (v *victim) until(so func() bool) {
	v.t.Helper()
	for !so() {
		select {
		case err := <-v.over:
			v.t.Fatalf("the supervisor ended: %v\n%s", err, v.said.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// child waits for the training process that is not the one before, and returns its id.
func (v *victim) child(before int) (pid int) {
	v.t.Helper()
	v.until(func() bool {
		pid = childOf(v.cmd.Process.Pid)
		return pid > 0 && pid != before
	})
	return pid
}

func childOf(pid int) int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		raw, _ := os.ReadFile(path)
		for _, word := range strings.Fields(string(raw)) {
			n, _ := strconv.Atoi(word)
			args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n))
			if bytes.Contains(args, []byte(trainChild)) {
				return n
			}
		}
	}
	return 0
}

// gone reports whether a process has ended, be it that nobody has asked how.
func gone(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(raw), ") ")
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

func (v *victim) size() int64 {
	info, err := os.Stat(filepath.Join(v.out, "metrics.jsonl"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// fault is a way to end or to hurt the training process.
type fault struct {
	name string
	do   func(v *victim, pid int)
	long bool // only in make chaos
}

var faults = []fault{
	{"SIGKILL", func(v *victim, pid int) { syscall.Kill(pid, syscall.SIGKILL) }, false},
	{"SIGABRT", func(v *victim, pid int) { syscall.Kill(pid, syscall.SIGABRT) }, false},
	{"SIGSEGV", func(v *victim, pid int) { syscall.Kill(pid, syscall.SIGSEGV) }, false},
	{"SIGSTOP and SIGKILL", func(v *victim, pid int) {
		syscall.Kill(pid, syscall.SIGSTOP)
		syscall.Kill(pid, syscall.SIGKILL)
	}, false},
	{"SIGKILL of the supervisor", func(v *victim, pid int) {
		v.cmd.Process.Kill()
		<-v.over
		for !gone(pid) { // for ever: the test's own limit
			time.Sleep(time.Millisecond)
		}
		v.start()
	}, false},
	{"SIGSTOP", func(v *victim, pid int) {
		syscall.Kill(pid, syscall.SIGSTOP)
		v.until(func() bool { return gone(pid) }) // the supervisor's work
	}, true},
	{"a full disk", func(v *victim, pid int) {
		full := unix.Rlimit{Cur: 20_000, Max: unix.RLIM_INFINITY}
		var was unix.Rlimit
		if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &full, &was); err != nil {
			v.t.Logf("no full disk: %v", err)
			return
		}
		time.Sleep(time.Second)
		unix.Prlimit(pid, unix.RLIMIT_FSIZE, &was, nil)
	}, true},
	{"a truncated file", func(v *victim, pid int) {
		syscall.Kill(pid, syscall.SIGSTOP)
		if names := gpt2.Checkpoints(v.out); len(names) > 1 {
			files, _ := os.ReadDir(filepath.Join(v.out, gpt2.CheckpointsDir, names[0]))
			f := files[rand.IntN(len(files))]
			if info, err := f.Info(); err == nil {
				os.Truncate(filepath.Join(v.out, gpt2.CheckpointsDir, names[0], f.Name()), info.Size()/2)
			}
		}
		if rand.IntN(4) == 0 {
			os.Truncate(filepath.Join(v.out, "config.json"), 10)
		}
		syscall.Kill(pid, syscall.SIGKILL)
	}, true},
}

// TestRandomEnds: a supervised run whose processes end at random moments and in random ways logs every step once, and
// its losses and its weights are those of one that was left alone, bit for bit. No process stays behind.
func TestRandomEnds(t *testing.T) {
	gputest.Available(t)
	if testing.Short() {
		t.Skip("twenty starts of the program, half a minute; go test without -short runs it")
	}
	ends, limit := 20, time.Duration(0)
	if text := os.Getenv(chaosEnds); text != "" {
		ends, _ = strconv.Atoi(text)
	}
	if text := os.Getenv(chaosTime); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))

	// The settings come from a file, so that a restart must find them in the run's.
	dir := t.TempDir()
	c := train.DefaultConfig()
	c.NLayer, c.NHead, c.NEmbd, c.BlockSize, c.BatchSize, c.SeqLen = 1, 2, 16, 16, 2, 16
	c.TotalBatchSize, c.Steps, c.SaveEvery, c.ValEvery, c.SampleEvery = 0, 1_000_000, 25, 0, 0
	c.Keep, c.ValFraction = 5, 0
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "settings.json")
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	v := &victim{t: t, out: filepath.Join(dir, "run"), env: []string{"GPT2WGPU_PATIENCE=20s"}}
	v.args = append([]string{"train", "--config", file, "--max-restarts", "1000", "--out", v.out}, device()...)
	if limit > 0 {
		v.env = []string{"GPT2WGPU_PATIENCE=4s"}
	}
	v.start()
	pid, done, began := 0, map[string]int{}, time.Now()
	for n := 0; limit == 0 && n < ends || time.Since(began) < limit; n++ {
		pid = v.child(pid)
		// Some ends fall anywhere, the start included; the others among steps and saves, which begin when the metrics
		// grow.
		if n%4 != 0 {
			before := v.size()
			v.until(func() bool { return v.size() > before })
		}
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
		f := faults[r.IntN(len(faults))]
		for f.long && limit == 0 {
			f = faults[r.IntN(len(faults))]
		}
		if n%5 == 0 {
			t.Logf("%v: %s after %d bytes of metrics", time.Since(began).Round(time.Second), f.name, v.size())
		}
		f.do(v, pid)
		done[f.name]++
		if f.name == "a full disk" {
			pid = 0
		}
	}
	pid = v.child(pid)
	before := v.size()
	v.until(func() bool { return v.size() > before })
	memory := status(v.cmd.Process.Pid, "VmHWM") << 10
	v.cmd.Process.Signal(os.Interrupt)
	if err := <-v.over; v.cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Fatalf("interrupted: %v\n%s", err, v.said.String())
	}
	if !gone(pid) {
		t.Errorf("process %d is still there", pid)
	}
	if memory > 50<<20 {
		t.Errorf("the supervisor took %d MiB, want at most 50", memory>>20)
	}
	checkpoint, err := gpt2.LatestCheckpoint(v.out)
	if err != nil {
		t.Fatal(err)
	}
	steps := strings.TrimLeft(strings.TrimPrefix(filepath.Base(checkpoint), "step-"), "0")
	t.Logf("%v: %v, then interrupted after %s steps; the supervisor took %d MiB", time.Since(began).Round(time.Second),
		done, steps, memory>>20)

	whole := filepath.Join(dir, "whole")
	code, _, said := cli(t, append([]string{"train", "--config", file, "--out", whole, "--save-every", "0", "-q",
		"--stop-after", steps}, device()...)...)
	if code != exitInterrupted {
		t.Fatalf("left alone: code %d: %s", code, said)
	}
	got, restarts := stepsOf(t, v.out)
	want, _ := stepsOf(t, whole)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("metrics (-left alone +ended at random):\n%.3000s", d)
	}
	if restarts == 0 {
		t.Error("no restart in the metrics")
	}
	for _, name := range []string{"model.safetensors", "optimizer.safetensors"} {
		same := content(t, whole, gpt2.CheckpointsDir, filepath.Base(checkpoint), name)
		if !bytes.Equal(content(t, checkpoint, name), same) {
			t.Errorf("%s differs", name)
		}
	}
}

func content(t *testing.T, path ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// stepsOf returns what must be the same of each step of a run, as text, and the number of restarts.
func stepsOf(t *testing.T, out string) (steps []string, restarts int) {
	t.Helper()
	lines, err := metrics.Read(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range lines {
		switch m.Kind {
		case metrics.KindTrain:
			steps = append(steps, fmt.Sprintf("%d %v %v %v %d", m.Step, m.Loss, m.LR, m.GradNorm, m.Tokens))
		case metrics.KindRestart:
			restarts++
			if m.Reason == "" {
				t.Error("a restart without a reason")
			}
		}
	}
	return steps, restarts
}

// status returns a number of /proc/PID/status, 0 if there is none.
func status(pid int, field string) (n int) {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(raw), "\n"+field+":")
	fmt.Sscan(after, &n)
	return n
}

// TestSoak: nothing of a run grows with its steps.
func TestSoak(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv(soakTime))
	if err != nil {
		t.Skipf("%s names no time; hint: make soak", soakTime)
	}
	gputest.Available(t)
	v := &victim{t: t, out: filepath.Join(t.TempDir(), "run")}
	v.args = append(strings.Fields("train --steps 100000000 --schedule constant --n-layer 2 --n-embd 32 "+
		"--val-every 50 --val-steps 2 --val-data sample --sample-every 100 --save-every 50 -q"),
		append(device(), "--out", v.out)...)
	v.start()
	pid, began := v.child(0), time.Now()
	type sizes struct{ Steps, TrainKiB, Threads, Files, SuperKiB, SuperThreads, SuperFiles int }
	look := func() sizes {
		super := v.cmd.Process.Pid
		files := func(pid int) int {
			entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
			return len(entries)
		}
		step, _ := metrics.Newest(filepath.Join(v.out, "metrics.jsonl"))
		return sizes{step + 1, status(pid, "VmRSS"), status(pid, "Threads"), files(pid), status(super, "VmRSS"),
			status(super, "Threads"), files(super)}
	}
	var seen []sizes
	for i := 1; i <= 10; i++ {
		v.until(func() bool { return time.Since(began) > limit*time.Duration(i)/10 })
		seen = append(seen, look())
		t.Logf("%v: %+v", time.Since(began).Round(time.Second), seen[i-1])
	}
	v.cmd.Process.Signal(os.Interrupt)
	if err := <-v.over; v.cmd.ProcessState.ExitCode() != exitInterrupted || strings.Contains(v.said.String(), "crash") {
		t.Fatalf("%v: %s", err, v.said.String())
	}
	early, late := seen[1], seen[9]
	if late.TrainKiB > early.TrainKiB*11/10 || late.SuperKiB > early.SuperKiB*11/10 || late.Threads > early.Threads+2 ||
		late.SuperThreads > early.SuperThreads+2 || late.Files > early.Files+2 || late.SuperFiles > early.SuperFiles+2 {
		t.Errorf("from %+v to %+v", early, late)
	}
}

// TestHang: a training process that answers no more is replaced.
func TestHang(t *testing.T) {
	gputest.Available(t)
	v := &victim{t: t, out: filepath.Join(t.TempDir(), "run"), env: []string{"GPT2WGPU_PATIENCE=5s"}}
	v.args = smallRun("--steps", "1000000", "--save-every", "20", "--out", v.out)
	v.start()
	pid := v.child(0)
	v.until(func() bool { _, err := gpt2.LatestCheckpoint(v.out); return err == nil })
	syscall.Kill(pid, syscall.SIGSTOP)
	v.child(pid)
	before := v.size()
	v.until(func() bool { return v.size() > before })
	v.cmd.Process.Signal(os.Interrupt)
	<-v.over
	for _, want := range []string{"no progress for ", "goes on from the checkpoint of step ", "restart 1 of at most"} {
		if !strings.Contains(v.said.String(), want) {
			t.Errorf("lacks %q: %s", want, v.said.String())
		}
	}
	if !gone(pid) {
		t.Error("the stopped process is still there")
	}
}

// TestStopAfterRestart: --stop-after counts from where the supervised run began, and an end that no restart can mend
// ends it.
func TestStopAfterRestart(t *testing.T) {
	gputest.Available(t)
	out := filepath.Join(t.TempDir(), "run")
	v := &victim{t: t, out: out}
	v.args = smallRun("--steps", "1000000", "--stop-after", "600", "--save-every", "100", "--out", out)
	v.start()
	pid := v.child(0)
	v.until(func() bool { _, err := gpt2.LatestCheckpoint(out); return err == nil })
	syscall.Kill(pid, syscall.SIGKILL)
	if err := <-v.over; v.cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Fatalf("%v: %s", err, v.said.String())
	}
	if steps, restarts := stepsOf(t, out); len(steps) != 600 || restarts != 1 {
		t.Errorf("%d steps, %d restarts, want 600 and 1: %s", len(steps), restarts, v.said.String())
	}
	if _, err := os.Stat(train.CrashLog(out)); err == nil {
		t.Errorf("SIGKILL prints nothing, but there is a crash log: %s", content(t, train.CrashLog(out)))
	}
	v.args = append(v.args, "--max-restarts", "0", "--resume")
	os.Remove(filepath.Join(out, "crash.log"))
	v.said.Reset()
	v.start()
	pid = v.child(0)
	before := v.size()
	v.until(func() bool { return v.size() > before })
	syscall.Kill(pid, syscall.SIGABRT)
	if err := <-v.over; v.cmd.ProcessState.ExitCode() != exitFailed {
		t.Fatalf("%v: %s", err, v.said.String())
	}
	said := v.said.String()
	last := said[strings.LastIndexByte(strings.TrimSpace(said), '\n')+1:]
	for _, want := range []string{"gpt2wgpu train: the training process crashed: ended by SIGABRT", "crash.log",
		"hint: --out ", "goes on from step 600"} {
		if !strings.Contains(last, want) {
			t.Errorf("lacks %q: %s", want, last)
		}
	}
	if text := string(content(t, train.CrashLog(out))); !strings.Contains(text, "SIGABRT: abort") {
		t.Errorf("crash log: %.300s", text)
	}
}

// TestNoRestart: what another process would do in the same way again is not tried.
func TestNoRestart(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"train", "--n-embd", "17", "--out", "r"}, exitUsage},
		{[]string{"train", "--data", "no/such.txt", "--out", "r"}, exitFailed},
		{[]string{"train", "--device", "no such device", "--out", "r"}, exitFailed},
		{[]string{"train", "--resume", "--out", "."}, exitFailed},
		{[]string{trainChild, "3,4,5", "train"}, exitUsage},
		{[]string{trainChild, "x", "train"}, exitUsage},
	} {
		cmd, _, stderr := program(t, c.args...)
		cmd.Run()
		if cmd.ProcessState.ExitCode() != c.code || strings.Count(stderr.String(), "hint: ") != 1 ||
			strings.Contains(stderr.String(), "restart ") {
			t.Errorf("%q: %v, want code %d and one hint: %s", c.args, cmd.ProcessState, c.code, stderr)
		}
		if _, err := os.Stat(filepath.Join(cmd.Dir, "r")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q leaves its directory: %v", c.args, err)
		}
	}
}
