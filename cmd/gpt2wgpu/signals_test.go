//go:build unix

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// waitFor reads lines until one has word.
func waitFor(t *testing.T, r *bufio.Reader, word string) {
	t.Helper()
	var seen strings.Builder
	for {
		line, err := r.ReadString('\n')
		seen.WriteString(line)
		if strings.Contains(line, word) {
			return
		}
		if err != nil {
			t.Fatalf("%v before %q: %s", err, word, seen.String())
		}
	}
}

// startRun starts a training that would go on for a long time and returns once it has done a step, with the rest of its
// standard error.
func startRun(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	cmd.Stderr = nil
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	r := bufio.NewReader(pipe)
	waitFor(t, r, "step ")
	return r
}

func wantCheckpoint(t *testing.T, cmd *exec.Cmd, code int, err error, out string) {
	t.Helper()
	if cmd.ProcessState.ExitCode() != code {
		t.Errorf("ended with %v (%v), want exit code %d", cmd.ProcessState, err, code)
	}
	if _, err := gpt2.LatestCheckpoint(filepath.Join(cmd.Dir, out)); err != nil {
		t.Errorf("no checkpoint: %v", err)
	}
}

// skipIgnored skips a test of a signal that the tests' own process ignores, as under nohup: the program would too.
func skipIgnored(t *testing.T, signals ...os.Signal) {
	t.Helper()
	if slices.ContainsFunc(signals, signal.Ignored) {
		t.Skipf("%v: ignored by this process", signals)
	}
}

// TestStopSignals: each signal that asks a training to stop lets it save. One that comes twice at the same moment
// counts once.
func TestStopSignals(t *testing.T) {
	gputest.Available(t)
	for name, signals := range map[string][]os.Signal{
		"SIGINT":       {syscall.SIGINT},
		"SIGTERM":      {syscall.SIGTERM},
		"SIGHUP":       {syscall.SIGHUP},
		"SIGHUP twice": {syscall.SIGHUP, syscall.SIGHUP},
		"timeout":      {syscall.SIGTERM, syscall.SIGTERM}, // which signals the process and its group
		"timeout INT":  {syscall.SIGINT, syscall.SIGINT},
		"shutdown":     {syscall.SIGTERM, syscall.SIGHUP},
	} {
		t.Run(name, func(t *testing.T) {
			skipIgnored(t, signals[0])
			cmd, _, _ := program(t, smallRun("--steps", "1000000", "--out", "r")...)
			stderr := startRun(t, cmd)
			for _, s := range signals {
				cmd.Process.Signal(s)
			}
			io.Copy(io.Discard, stderr)
			wantCheckpoint(t, cmd, exitInterrupted, cmd.Wait(), "r")
		})
	}
}

// TestStopReading: the signals end a command that waits for its input at once, whatever it is.
func TestStopReading(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		skipIgnored(t, s)
		cmd, _, _ := program(t, "sample", "--model", "x")
		in, err := cmd.StdinPipe() // stays open
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = nil
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, bufio.NewReader(stderr), "reading the prompt")
		cmd.Process.Signal(s)
		cmd.Wait()
		in.Close()
		if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
			t.Errorf("%v: %v, want exit code %d", s, cmd.ProcessState, exitInterrupted)
		}
	}
}

// TestNohup: a hangup that was ignored when the program started stays so.
func TestNohup(t *testing.T) {
	gputest.Available(t)
	run, _, _ := program(t)
	cmd := exec.Command("sh", append([]string{"-c", `trap "" HUP; exec "$0" "$@"`, os.Args[0]},
		smallRun("--steps", "1000000", "--out", "r")...)...)
	cmd.Env, cmd.Dir = run.Env, run.Dir
	stderr := startRun(t, cmd)
	cmd.Process.Signal(syscall.SIGHUP)
	waitFor(t, stderr, "step ")
	waitFor(t, stderr, "step ")
	cmd.Process.Signal(syscall.SIGINT)
	io.Copy(io.Discard, stderr)
	wantCheckpoint(t, cmd, exitInterrupted, cmd.Wait(), "r")
}

// TestOutputGone: a training goes on when nobody reads what it prints, as when Ctrl-C has ended a tee, and still ends
// as an interrupt wants.
func TestOutputGone(t *testing.T) {
	gputest.Available(t)
	for name, interrupt := range map[string]bool{"interrupted": true, "not interrupted": false} {
		t.Run(name, func(t *testing.T) {
			args, code := smallRun("--steps", "40", "--sample-every", "20", "--out", "r"), exitDone
			if interrupt {
				args, code = smallRun("--steps", "1000000", "--out", "r"), exitInterrupted
			}
			cmd, _, _ := program(t, args...)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout, cmd.Stderr = w, w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			w.Close()
			waitFor(t, bufio.NewReader(r), "step ")
			r.Close()
			if interrupt {
				cmd.Process.Signal(syscall.SIGINT)
			}
			wantCheckpoint(t, cmd, code, cmd.Wait(), "r")
		})
	}
}

// TestOutputClosed: a training runs without standard output and standard error, and with ones that have no space left.
func TestOutputClosed(t *testing.T) {
	gputest.Available(t)
	for _, to := range []string{">&- 2>&-", ">/dev/full 2>/dev/full", ">/dev/full"} {
		if strings.Contains(to, "/dev/full") {
			needs.Paths(t, "/dev/full")
		}
		cmd, _, stderr := program(t)
		args := append([]string{"-c", `"$0" "$@" ` + to, os.Args[0]}, smallRun("--steps", "4", "--sample-every", "1",
			"--out", "r")...)
		sh := exec.Command("sh", args...)
		sh.Env, sh.Dir, sh.Stderr = cmd.Env, cmd.Dir, stderr
		if err := sh.Run(); err != nil {
			t.Errorf("%s: %v: %s", to, err, stderr)
		}
		if lines, err := metrics.Read(filepath.Join(cmd.Dir, "r", "metrics.jsonl")); err != nil || len(lines) != 8 {
			t.Errorf("%s: %d lines of metrics, %v, want 8", to, len(lines), err)
		}
		if warned := strings.Count(stderr.String(), "standard output cannot be written"); to == ">/dev/full" &&
			warned != 1 {
			t.Errorf("%s: warned %d times: %s", to, warned, stderr)
		}
	}
}

// TestFullOutput: commands whose results cannot be written fail with the reason.
func TestFullOutput(t *testing.T) {
	needs.Paths(t, "/dev/full")
	for _, args := range [][]string{{"version"}, {"help"}, {"help", "train"}, {"train", "--help"}} {
		cmd, _, stderr := program(t, args...)
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		cmd.Stdout = full
		cmd.Run()
		if said := stderr.String(); cmd.ProcessState.ExitCode() != exitFailed || strings.Count(said, "\n") != 1 ||
			!strings.Contains(said, "standard output cannot be written") || !strings.Contains(said, "hint: ") {
			t.Errorf("%q: %v: %s", args, cmd.ProcessState, said)
		}
	}
}

// TestNoReader: commands whose reader has gone end quietly, by SIGPIPE.
func TestNoReader(t *testing.T) {
	cmd, _, stderr := program(t, "train", "--help")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd.Stdout = w
	err = cmd.Run()
	w.Close()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGPIPE || stderr.Len() > 0 {
		t.Errorf("%v, %q; want SIGPIPE and not a word", err, stderr)
	}
}

// onTerminal runs the program on a terminal of 80 columns that never answers, and checks that nothing is asked and
// lines fit.
func onTerminal(t *testing.T, args ...string) string {
	t.Helper()
	all := terminalOutput(t, args...)
	for _, query := range []string{"\x1b]10;", "\x1b]11;", "\x1b[6n", "\x1b[c", "\x1b[0c", "\x1b[>"} {
		if strings.Contains(all, query) {
			t.Errorf("%q asks the terminal %q", args, query)
		}
	}
	for _, line := range strings.Split(all, "\n") {
		if n := ansi.StringWidth(strings.TrimRight(line, "\r")); n > 80 {
			t.Errorf("%q: %d columns: %s", args, n, line)
		}
	}
	return all
}

// terminalOutput runs the program on a terminal of 80 columns that never answers, and returns what it writes there.
func terminalOutput(t *testing.T, args ...string) string {
	t.Helper()
	cmd, _, _ := program(t, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, nil, nil
	cmd.Env = append(cmd.Env, "NO_COLOR=", "TERM=xterm-256color", "CI=")
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	var all bytes.Buffer
	io.Copy(&all, f) // ends with EIO
	f.Close()
	cmd.Wait()
	return all.String()
}

// TestQuit: Ctrl-\ ends a training at once with one line and no stacks on the terminal. Where the training was is in
// crash.log.
func TestQuit(t *testing.T) {
	gputest.Available(t)
	skipIgnored(t, syscall.SIGQUIT)
	for _, x := range []struct {
		args []string
		file bool
	}{
		{smallRun("--steps", "1000000", "--out", "r", "--progress", "lines", "--save-every", "1"), true},
		{smallRun("--steps", "1000000", "--out", "r", "--progress", "lines", "--no-supervise"), false},
	} {
		cmd, _, _ := program(t, x.args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, nil, nil
		f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 1000})
		if err != nil {
			t.Skipf("no pseudo terminal: %v", err)
		}
		defer cmd.Process.Kill()
		r := bufio.NewReader(f)
		waitFor(t, r, "step ")
		f.Write([]byte{28}) // Ctrl-\
		said, _ := io.ReadAll(r)
		cmd.Wait()
		f.Close()
		if code := cmd.ProcessState.ExitCode(); code != exitQuit {
			t.Errorf("%q: exit code %d, want %d", x.args, code, exitQuit)
		}
		if strings.Contains(string(said), "goroutine ") || strings.Count(string(said), "ended at once") != 1 {
			t.Errorf("%q: %s", x.args, said)
		}
		crash, err := os.ReadFile(filepath.Join(cmd.Dir, "r", "crash.log"))
		if (err == nil) != x.file || x.file && (!strings.Contains(string(crash), "goroutine ") ||
			!strings.Contains(string(said), "crash.log; hint: --out r --resume goes on from step ")) {
			t.Errorf("%q: %v, %q, %.300s", x.args, err, said, crash)
		}
	}
	// Who asks for Go's stacks gets them.
	cmd, _, stderr := program(t, smallRun("--steps", "1000000", "--out", "r", "--no-supervise")...)
	cmd.Env = append(cmd.Env, "GOTRACEBACK=all")
	r := startRun(t, cmd)
	cmd.Process.Signal(syscall.SIGQUIT)
	said, _ := io.ReadAll(r)
	if cmd.Wait(); !strings.Contains(string(said), "goroutine ") {
		t.Errorf("GOTRACEBACK=all: %s%s", said, stderr)
	}
}

func TestTerminal(t *testing.T) {
	for _, args := range [][]string{
		{"version"},
		{"help"},
		{"sample"},
		{"train", "--sync-every", "0", "--total-batch-size", "1000", "--vocab-size", "1"},
	} {
		if text := onTerminal(t, args...); text == "" {
			t.Errorf("%q prints nothing", args)
		}
	}
	for _, c := range commands {
		onTerminal(t, c.name, "--help")
	}
}

func TestTerminalTraining(t *testing.T) {
	gputest.Available(t)
	text := onTerminal(t, smallRun("--steps", "3", "--out", "r", "--progress", "lines")...)
	if !strings.Contains(text, "\x1b[") || !strings.Contains(text, "loss ") {
		t.Errorf("no colour, or no loss: %s", text)
	}
	// The panel goes by no answer, asks for no colour and no place of the cursor, and gives the terminal back: the
	// cursor is shown again.
	text = terminalOutput(t, smallRun("--steps", "3", "--out", "p", "--progress", "panel")...)
	for _, query := range []string{"\x1b]10;", "\x1b]11;", "\x1b[6n", "\x1b[c", "\x1b[0c"} {
		if strings.Contains(text, query) {
			t.Errorf("the panel asks the terminal %q", query)
		}
	}
	hidden, shown := strings.LastIndex(text, "\x1b[?25l"), strings.LastIndex(text, "\x1b[?25h")
	if !strings.Contains(text, "100%") || hidden < 0 || shown < hidden {
		t.Errorf("no panel, or the cursor stays hidden: %q", text)
	}
	onTerminal(t, "devices")
	onTerminal(t, smallRun("--dry-run")...)
}

// TestTerminalGone: a terminal that closes hangs up, and writing to it fails from then on.
func TestTerminalGone(t *testing.T) {
	gputest.Available(t)
	skipIgnored(t, syscall.SIGHUP)
	cmd, _, _ := program(t, smallRun("--steps", "1000000", "--out", "r")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, nil, nil
	f, err := pty.Start(cmd)
	if err != nil {
		t.Skipf("no pseudo terminal: %v", err)
	}
	defer cmd.Process.Kill()
	waitFor(t, bufio.NewReader(f), "step ")
	f.Close()
	wantCheckpoint(t, cmd, exitInterrupted, cmd.Wait(), "r")
}
