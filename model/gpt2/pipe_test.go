//go:build unix

package gpt2

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPipes: a named pipe, a directory or a device in the place of a model's file is refused at once.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{configFile, weightsFile, StateFile} {
		model := filepath.Join(dir, "m-"+name)
		if err := writeDir(model, numbered(odd), nil); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(model, name))
		if err := os.Link(pipe, filepath.Join(model, name)); err != nil {
			t.Fatal(err)
		}
		_, _, err := Load(model)
		wantError(t, err, name, "a named pipe, want a file")
	}
	for _, read := range []func(string) error{
		func(path string) error { _, err := ReadSafetensors(path); return err },
		func(path string) error { _, err := ReadLLMC(path); return err },
		func(path string) error { _, _, err := Load(path); return err },
	} {
		wantError(t, read(pipe), pipe, "a named pipe, want a file")
	}
	_, err := ReadSafetensors(dir)
	wantError(t, err, "a directory, want a file")
}
