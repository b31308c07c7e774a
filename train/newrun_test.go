package train

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

func TestMakeRunDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "runs")
	for i, want := range []string{"tiny-1", "tiny-2"} {
		if got, err := MakeRunDir(dir, "tiny"); err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%d: %q, %v, want %s", i, got, err, want)
		}
	}
	for _, name := range []string{"tiny-7", "tiny-x", "tiny", "tiny-99-old", "other-20"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "tiny-9"), nil, 0o644); err != nil { // a file takes the name too
		t.Fatal(err)
	}
	// Many at once get each their own.
	var all sync.Map
	var wait sync.WaitGroup
	for range 20 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			got, err := MakeRunDir(dir, "tiny")
			if err != nil {
				t.Error(err)
			}
			if _, there := all.LoadOrStore(got, true); there {
				t.Errorf("%s twice", got)
			}
		}()
	}
	wait.Wait()
	if _, there := all.Load(filepath.Join(dir, "tiny-10")); !there {
		t.Error("no tiny-10")
	}
	if _, err := MakeRunDir(filepath.Join(dir, "tiny-9"), "tiny"); err == nil {
		t.Error("made in a file")
	}
}

func TestRemoveUnused(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "runs")
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	make := func(files ...string) string {
		path, err := MakeRunDir(parent, "tiny")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text := "x"
			if f == "metrics.jsonl" {
				text = ""
			}
			os.MkdirAll(filepath.Dir(filepath.Join(path, f)), 0o755)
			if err := os.WriteFile(filepath.Join(path, f), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	for _, files := range [][]string{nil, {"config.json", "lock", "lock.json", "metrics.jsonl"}} {
		if path := make(files...); !there(path) {
			t.Fatal("not made")
		} else if RemoveUnused(path); there(path) || there(parent) {
			t.Errorf("%v: still there", files)
		}
	}
	for _, files := range [][]string{{"mine.txt"}, {"checkpoints/latest"}, {"config.json", "notes.md"}} {
		path := make(files...)
		if RemoveUnused(path); !there(filepath.Join(path, files[len(files)-1])) {
			t.Errorf("%v: removed", files)
		}
	}
	path := make()
	os.WriteFile(filepath.Join(path, "metrics.jsonl"), []byte("{}\n"), 0o644)
	if RemoveUnused(path); !there(path) {
		t.Error("a run's metrics are removed")
	}
}

func TestNewestRun(t *testing.T) {
	dir := t.TempDir()
	if got := NewestRun(dir); got != "" {
		t.Errorf("in an empty directory: %q", got)
	}
	at := func(name, file string, age time.Duration) {
		path := filepath.Join(dir, name, file)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	at("tiny-2", "metrics.jsonl", 2*time.Hour)
	at("tiny-10", "metrics.jsonl", time.Hour)
	at("notes", "readme.txt", 0)
	if got := NewestRun(dir); got != filepath.Join(dir, "tiny-10") {
		t.Errorf("%q", got)
	}
	at("tiny-2", filepath.Join(gpt2.CheckpointsDir, gpt2.LatestFile), time.Minute)
	if got := NewestRun(dir); got != filepath.Join(dir, "tiny-2") {
		t.Errorf("%q", got)
	}
}
