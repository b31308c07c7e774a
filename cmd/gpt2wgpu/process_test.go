package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// asProgram makes the test binary be the program: signals, exit codes and terminals need a process.
const asProgram = "GPT2WGPU_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main() // its children, which inherit the variable, too
	}
	code := m.Run()
	if _, err := os.Stat(train.RunsDir); err == nil {
		fmt.Fprintln(os.Stderr, "FAIL: a test trains without --out and leaves "+train.RunsDir+"; hint: --out ''")
		code = 1
	}
	os.Exit(code)
}

// program returns the program as a process of its own in an empty directory, with what it prints.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "NO_COLOR=1")
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), stdout, stderr
	return cmd, stdout, stderr
}

// smallRun are the arguments of a training whose steps take milliseconds.
func smallRun(more ...string) []string {
	args := strings.Fields("train --n-layer 1 --n-head 2 --n-embd 16 --block-size 16 --batch-size 2 --data sample " +
		"--sample-every 0")
	if device := os.Getenv("GPT2WGPU_DEVICE"); device != "" {
		args = append(args, "--device", device)
	}
	return append(args, more...)
}
