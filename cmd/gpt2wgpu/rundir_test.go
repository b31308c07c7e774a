package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// TestDeadRun: a run that is killed before its first checkpoint says what it is to every command, keeps a second
// process out while it lives, and --resume starts it again with its own settings.
func TestDeadRun(t *testing.T) {
	gputest.Available(t)
	t.Chdir(t.TempDir())
	first, _, stderr := program(t, smallRun("--steps", "1000000", "--save-minutes", "0", "--seed", "5", "--out",
		"r")...)
	first.Dir = "."
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer first.Process.Kill()
	path := filepath.Join("r", "metrics.jsonl")
	ended := make(chan error, 1)
	go func() { ended <- first.Wait() }()
	for {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the run ended by itself: %v: %s", err, stderr)
		case <-time.After(20 * time.Millisecond):
		}
	}
	code, _, said := cli(t, "train", "--resume", "--out", "r", "-q")
	if code != exitFailed || !strings.Contains(said, fmt.Sprintf("in use by process %d on ", first.Process.Pid)) ||
		!strings.Contains(said, "hint: ") {
		t.Errorf("a second process: code %d: %s", code, said)
	}
	first.Process.Kill()
	<-ended

	for _, args := range [][]string{
		{"sample", "--model", "r", "--prompt", "x"}, {"eval", "--model", "r", "--data", "sample"},
		{"export", "--model", "r", "--out", "hf"}, smallRun("--init", "r", "--out", "other", "-q"),
	} {
		wantFailure(t, exitFailed, args, "no complete checkpoint yet", "at its beginning", "gpt2wgpu train --resume "+
			"--out r")
	}
	wantFailure(t, exitFailed, smallRun("--out", "r", "-q"), "--out r", "without a checkpoint", "--resume starts it "+
		"at step 0")
	if code, _, stderr := cli(t, "train", "--resume", "--out", "r", "--steps", "3"); code != 0 ||
		!strings.Contains(stderr, "starts at step 0") {
		t.Fatalf("--resume: code %d: %s", code, stderr)
	}
	lines, err := metrics.Read(path)
	var c train.Config
	if _, failed := train.ReadConfig(filepath.Join("r", "config.json"), &c); failed != nil || c.Seed != 5 ||
		c.NEmbd != 16 {
		t.Errorf("settings %+v, %v", c, failed)
	}
	if err != nil || len(lines) != 3 || lines[0].Step != 0 {
		t.Errorf("%d lines of metrics, %v", len(lines), err)
	}
}

// TestMovedRun: a run whose text has moved, named by its new path, goes on with a warning, without editing a file.
func TestMovedRun(t *testing.T) {
	gputest.Available(t)
	t.Chdir(t.TempDir())
	writeFile(t, "a/t.txt", strings.Repeat("text to train on\n", 1000))
	if code, _, stderr := cli(t, smallRun("--data", "a/t.txt", "--val-every", "0", "--steps", "6", "--stop-after", "2",
		"--out", "r")...); code != exitInterrupted {
		t.Fatalf("code %d: %s", code, stderr)
	}
	if err := os.Rename("a", "b"); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, exitFailed, []string{"train", "--resume", "--out", "r", "-q"}, "a/t.txt", "--data PATH")
	writeFile(t, "b/u.txt", strings.Repeat("text to train ON\n", 1000))
	wantFailure(t, exitFailed, []string{"train", "--resume", "--out", "r", "--data", "b/u.txt", "-q"},
		"u.txt is not the file that the run was trained on", "--data PATH")
	code, _, stderr := cli(t, "train", "--resume", "--out", "r", "--data", "b/t.txt", "--steps", "4", "-q")
	if code != 0 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "lie elsewhere") {
		t.Errorf("code %d: %s", code, stderr)
	}
	wantFailure(t, exitUsage, []string{"train", "--resume", "--out", "r", "--steps", "9", "--init", "gpt2"},
		"--init has no effect with --resume")
	wantFailure(t, exitUsage, []string{"train", "--resume", "--out", "r", "--steps", "9", "--preset", "gpt2-124m"},
		"--preset gpt2-124m has no effect with --resume")
	if code, _, stderr := cli(t, "train", "--resume", "--out", "r", "--steps", "6", "-q"); code != 0 || stderr != "" {
		t.Errorf("the next time: code %d: %s", code, stderr)
	}
}
