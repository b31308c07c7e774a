//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// inShell returns a command that finds the program under its name, in a directory with two runs.
func inShell(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	twoRuns(t)
	bin := t.TempDir()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n" + asProgram + "=1 exec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "gpt2wgpu"), []byte(script), 0o777); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TERM=dumb", "HOME="+bin)
	return cmd
}

// TestBash types on a terminal, and has bash complete it.
func TestBash(t *testing.T) {
	needs.Programs(t, "bash")
	cmd := inShell(t, "bash", "--norc", "--noprofile", "-i")
	cmd.Env = append(cmd.Env, "PS1=$ ", "INPUTRC=/dev/null")
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 200})
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	defer f.Close()
	var seen []byte
	wait := func(want string) {
		t.Helper()
		buffer := make([]byte, 4096)
		for !strings.Contains(string(seen), want) {
			n, err := f.Read(buffer)
			seen = append(seen, buffer[:n]...)
			if err != nil {
				t.Fatalf("%v before %q: %q", err, want, seen)
			}
		}
		seen = nil
	}
	io.WriteString(f, "source <(gpt2wgpu completion bash); echo re''ady\n")
	wait("ready\r\n")
	for _, c := range [][2]string{
		{"gpt2wgpu tra\t", "gpt2wgpu train "},
		{"gpt2wgpu train --total\t", "gpt2wgpu train --total-batch-size "},
		{"gpt2wgpu train --preset fi\t", "--preset first-steps "},
		{"gpt2wgpu train --preset=fi\t", "--preset=first-steps "},
		{"gpt2wgpu sample --model runs/t\t", "--model runs/tiny-1"},
		{"gpt2wgpu runs plot runs/m\t", `plot runs/my\ run`},
		{"gpt2wgpu data fetch sh\t", "fetch shakespeare "},
	} {
		io.WriteString(f, c[0])
		wait(c[1])
		io.WriteString(f, "\x15") // clears the line
	}
}

// TestShells has other shells complete, where there are any.
func TestShells(t *testing.T) {
	for shell, args := range map[string][]string{
		"fish": {"-N", "-c", "gpt2wgpu completion fish | source; complete -C 'gpt2wgpu train --preset fi'; " +
			"complete -C 'gpt2wgpu train --preset=fi'; complete -C 'gpt2wgpu sample --model runs/t'"},
		"pwsh": {"-NoProfile", "-Command", "gpt2wgpu completion powershell | Out-String | Invoke-Expression; " +
			"'train --preset fi', 'train --preset=fi', 'sample --model runs/t' | ForEach-Object { " +
			"$l = \"gpt2wgpu $_\"; " +
			"(TabExpansion2 $l $l.Length).CompletionMatches.CompletionText }"},
	} {
		t.Run(shell, func(t *testing.T) {
			needs.Programs(t, shell)
			out, err := inShell(t, append([]string{shell}, args...)...).Output()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for l := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
				word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
				got = append(got, strings.TrimSuffix(word, "/"))
			}
			want := "first-steps --preset=first-steps runs/tiny-1"
			if strings.Join(got, " ") != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
