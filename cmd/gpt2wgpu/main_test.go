package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// cli runs the program in this process.
func cli(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// wantFailure checks that args fail with the code, and one line on standard error that says each of the words.
func wantFailure(t *testing.T, code int, args []string, words ...string) {
	t.Helper()
	got, stdout, stderr := cli(t, args...)
	if got != code || stdout != "" || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%q: code %d, stdout %q, stderr %q; want code %d, nothing, and one line", args, got, stdout, stderr,
			code)
	}
	for _, w := range append(words, "gpt2wgpu", "hint: ") {
		if !strings.Contains(stderr, w) {
			t.Errorf("%q: %q doesn't say %q", args, stderr, w)
		}
	}
}

// TestHelp walks all commands: help is a result, says what the command does, and lists every flag with an explanation.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"--help"}, {"-h"}} {
		code, root, stderr := cli(t, args...)
		if code != 0 || stderr != "" {
			t.Fatalf("%q: code %d, stderr %q", args, code, stderr)
		}
		at := 0
		for _, c := range commands {
			i := strings.Index(root, "\n  "+c.name+" ")
			if i < at {
				t.Errorf("%q: %s is missing or out of order", args, c.name)
			}
			at = i
		}
	}
	for _, c := range commands {
		code, text, stderr := cli(t, c.name, "--help")
		if code != 0 || stderr != "" {
			t.Errorf("%s --help: code %d, stderr %q", c.name, code, stderr)
		}
		if _, again, _ := cli(t, "help", c.name); again != text {
			t.Errorf("help %s and %s --help differ", c.name, c.name)
		}
		if !strings.Contains(text, "  gpt2wgpu "+c.name) {
			t.Errorf("%s --help has no usage", c.name)
		}
		if c.group == "" {
			t.Errorf("%s is in no group", c.name)
		}
		if first := c.short[:1]; first != strings.ToUpper(first) || strings.HasSuffix(c.short, ".") {
			t.Errorf("%s: %q: want a capital first and no full stop", c.name, c.short)
		}
		fs := newFlagSet(c.name)
		c.setup(fs)
		if err := fs.parse(nil); err != nil {
			t.Fatal(err)
		}
		fs.VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(text, "--"+f.Name+" ") && !strings.Contains(text, "--"+f.Name+"\n") {
				t.Errorf("%s --help doesn't list --%s", c.name, f.Name)
			}
			if f.Usage == "" || strings.ToLower(f.Name) != f.Name || strings.Contains(f.Name, "_") {
				t.Errorf("%s --%s: no usage, or a name in another style", c.name, f.Name)
			}
		})
		for _, line := range strings.Split(text, "\n") {
			if len(line) > 120 {
				t.Errorf("%s --help: %d columns: %s", c.name, len(line), line)
			}
		}
	}
}

// wantFlags holds the flags of the documented interface.
func wantFlags(t *testing.T, command, flags string) {
	t.Helper()
	c, err := findCommand(command)
	if err != nil {
		t.Fatal(err)
	}
	fs := newFlagSet(command)
	c.setup(fs)
	if err := fs.parse(nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	fs.VisitAll(func(f *pflag.Flag) { got = append(got, f.Name) })
	want := strings.Fields(flags + " log-format verbose quiet")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s has the flags %v, want %v", command, got, want)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, x := range []struct {
		args  []string
		words []string
	}{
		{nil, []string{"no command", "gpt2wgpu help"}},
		{[]string{"dveices"}, []string{`"dveices"`, "did you mean devices?"}},
		{[]string{"frobnicate"}, []string{`"frobnicate"`, "gpt2wgpu help"}},
		{[]string{"--versoin"}, []string{"--versoin", "did you mean --version?"}},
		{[]string{"help", "dveices"}, []string{"did you mean devices?"}},
		{[]string{"help", "devices", "version"}, []string{"want one"}},
		{[]string{"version", "now"}, []string{`"now"`}},
		{[]string{"version", "--json"}, []string{"--json"}},
		{[]string{"devices", "--josn"}, []string{"gpt2wgpu devices: unknown flag --josn", "did you mean --json?"}},
		{[]string{"devices", "-json"}, []string{"-json", "did you mean --json?"}},
		{[]string{"devices", "--wobble"}, []string{"--wobble", "gpt2wgpu devices --help"}},
		{[]string{"devices", "--json=perhaps"}, []string{"--json", "true or false"}},
		{[]string{"devices", "-v", "-q"}, []string{"contradict"}},
		{[]string{"devices", "--log-format", "xml"}, []string{"text, json"}},
		{[]string{"devices", "--log-format"}, []string{"--log-format has no value", "--log-format text"}},
	} {
		wantFailure(t, exitUsage, x.args, x.words...)
	}
}

func TestVersion(t *testing.T) {
	defer func(v string) { version = v }(version)
	version = "v1.2.3"
	for _, args := range [][]string{{"version"}, {"--version"}} {
		code, stdout, stderr := cli(t, args...)
		if code != 0 || !strings.HasPrefix(stdout, "gpt2wgpu v1.2.3 (go") || strings.Count(stdout, "\n") != 1 ||
			stderr != "" {
			t.Errorf("%q: code %d, %q, %q", args, code, stdout, stderr)
		}
	}
	if version = ""; programVersion() == "" {
		t.Error("no version without the linker's")
	}
}

// TestExitCodes runs commands that end in each way.
func TestExitCodes(t *testing.T) {
	defer func(c []*command) { commands = c }(commands)
	action := func(context.Context, *env, []string) error { return nil }
	commands = append(slices.Clone(commands), &command{name: "probe", short: "Probe", setup: func(fs *flagSet) runFunc {
		fs.logFlags(fs.section("Other"))
		return func(ctx context.Context, e *env, args []string) error { return action(ctx, e, args) }
	}})
	for _, x := range []struct {
		action func() error
		code   int
		says   string
	}{
		{func() error { return nil }, 0, ""},
		{func() error { return errors.New("broken\nin two") }, 1, "gpt2wgpu probe: broken in two\n"},
		{func() error { return errors.Join(errors.New("a"), errors.New("b")) }, 1, "gpt2wgpu probe: a\ngpt2wgpu " +
			"probe: b\n"},
		{func() error { return usagef("wrong") }, 2, "gpt2wgpu probe: wrong\n"},
		{func() error { return fmt.Errorf("%w after 3 steps", train.ErrInterrupted) }, 130,
			"gpt2wgpu probe: interrupted after 3 steps\n"},
		{func() error { return context.Canceled }, 130, "gpt2wgpu probe: interrupted\n"},
		{func() error { panic("impossible\nstate") }, 1, "gpt2wgpu probe: internal error: impossible state; hint: " +
			"please report this with the output of -v\n"},
	} {
		action = func(context.Context, *env, []string) error { return x.action() }
		if code, stdout, stderr := cli(t, "probe"); code != x.code || stdout != "" || stderr != x.says {
			t.Errorf("code %d, %q, want %d, %q", code, stderr, x.code, x.says)
		}
	}
	action = func(context.Context, *env, []string) error { panic("impossible") }
	if _, _, stderr := cli(t, "probe", "-v"); !strings.Contains(stderr, "main_test.go") {
		t.Errorf("-v shows no stack: %q", stderr)
	}
}

// TestLog checks that the log, errors included, is on standard error and JSON on demand.
func TestLog(t *testing.T) {
	defer func(c []*command) { commands = c }(commands)
	commands = append(slices.Clone(commands), &command{name: "probe", short: "Probe", setup: func(fs *flagSet) runFunc {
		fs.logFlags(fs.section("Other"))
		return func(_ context.Context, e *env, _ []string) error {
			e.log.Debug("deep", "n", 1)
			e.log.Info("event", "n", 2)
			e.log.Warn("careful", "n", 3)
			return errors.New("failed")
		}
	}})
	for flag, want := range map[string][]string{
		"":   {"event n=2", "careful n=3", "gpt2wgpu probe: failed"},
		"-q": {"careful n=3", "gpt2wgpu probe: failed"},
		"-v": {"deep n=1", "event n=2", "careful n=3", "gpt2wgpu probe: failed"},
	} {
		_, stdout, stderr := cli(t, strings.Fields("probe "+flag)...)
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		if stdout != "" || len(lines) != len(want) {
			t.Errorf("%q: %q, %q", flag, stdout, lines)
			continue
		}
		for i, w := range want {
			if !strings.HasSuffix(lines[i], w) {
				t.Errorf("%q: line %q, want %q", flag, lines[i], w)
			}
		}
	}
	_, _, stderr := cli(t, "probe", "--log-format", "json")
	var last map[string]any
	for _, line := range strings.Split(strings.TrimSpace(stderr), "\n") {
		last = nil
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if last["msg"] != "failed" || last["level"] != "error" {
		t.Errorf("the error is logged as %v", last)
	}
}

func TestNearest(t *testing.T) {
	for _, x := range [][2]string{{"stpes", "steps"}, {"batchsize", "batch-size"}, {"LR", "lr"}, {"x", ""},
		{"completely-else", ""}} {
		if got := nearest(x[0], []string{"steps", "batch-size", "lr", "schedule"}); got != x[1] {
			t.Errorf("%s: %q, want %q", x[0], got, x[1])
		}
	}
}

// TestInterruptedWords: an interrupt is reported in the program's words, whatever it ended.
func TestInterruptedWords(t *testing.T) {
	var stderr bytes.Buffer
	e := &env{stderr: &stderr, name: "gpt2wgpu tune"}
	if code := e.report(fmt.Errorf("measuring: %w; hint: again", context.Canceled)); code != exitInterrupted {
		t.Errorf("code %d, want %d", code, exitInterrupted)
	}
	if got, want := stderr.String(), "gpt2wgpu tune: measuring: interrupted; hint: again\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
