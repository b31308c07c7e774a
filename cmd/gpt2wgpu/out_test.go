package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// TestOutDefault: a run without --out is kept in a directory of its own, which is printed at the start and at the end;
// what fails before it has written anything leaves none.
func TestOutDefault(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{
		{"train", "--dry-run"},
		{"train", "--steps", "0"},
		{"train", "--data", "no/such.txt"},
		{"train", "--init", "no/such/weights"},
		{"train", "--device", "no such device"},
	} {
		if code, _, stderr := cli(t, args...); code == 0 && args[1] != "--dry-run" {
			t.Errorf("%q: code %d: %s", args, code, stderr)
		}
		if left := entries(t, "."); len(left) > 0 {
			t.Errorf("%q leaves %v", args, left)
		}
	}
	wantFailure(t, exitUsage, []string{"train", "--resume"}, "--out DIR --resume")

	gputest.Available(t)
	for i, out := range []string{"runs/tiny-1", "runs/tiny-2"} {
		out = filepath.FromSlash(out)
		code, _, stderr := cli(t, smallRun("--steps", "2")...)
		if code != 0 || strings.Count(stderr, out) < 2 {
			t.Fatalf("%d: code %d, want %s twice: %s", i, code, out, stderr)
		}
		if _, err := gpt2.LatestCheckpoint(out); err != nil {
			t.Error(err)
		}
	}
	wantFailure(t, exitUsage, []string{"train", "--resume"}, "--out "+filepath.Join("runs", "tiny-2")+" --resume")
	code, _, stderr := cli(t, smallRun("--steps", "4", "--stop-after", "1", "--preset", "first-steps", "--tokenizer",
		"bytes", "--vocab-size", "256")...)
	if code != exitInterrupted || !strings.Contains(stderr, filepath.Join("runs", "first-steps-1")+" --resume") {
		t.Errorf("code %d: %s", code, stderr)
	}
	if code, _, stderr := cli(t, smallRun("--steps", "1", "--out", "")...); code != 0 || !strings.Contains(stderr,
		"nothing will be saved") {
		t.Errorf("--out '': code %d: %s", code, stderr)
	}
	if got := entries(t, "runs"); strings.Join(got, " ") != "first-steps-1 tiny-1 tiny-2" {
		t.Errorf("runs holds %v", got)
	}
}
