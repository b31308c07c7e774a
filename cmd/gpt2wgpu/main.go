package main

// The rules of this interface:
//
//   - Results (samples, tables, --json, help that was asked for) go to standard output, everything else to standard
//     error.
//   - An error is one line, "gpt2wgpu COMMAND: what failed, got and want; hint: what to do", and several mistakes in
//     one command line are a line each. No capital at the start, no full stop at the end. Never a stack, but for a
//     panic with -v.
//   - Progress is the logger's: lower case, at most one line per second.
//   - Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. The first interrupt, SIGTERM or hangup lets a step
//     finish and writes a checkpoint, the second ends the process at once. So does SIGQUIT, with 131.
//   - Output that cannot be written never ends a training. What it does to other commands, see streams.go.
//   - Colour, streaming and the breaks of long lines depend on the terminal, which is never asked anything.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/pflag"

	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/bar"
	"github.com/gpt2wgpu/gpt2wgpu/train/oneline"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130 // 128 + SIGINT, as shells count
	exitQuit        = 131 // 128 + SIGQUIT
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == tuneChild {
		os.Exit(runTuneChild())
	}
	args := os.Args[1:]
	if len(args) > 0 && args[0] == completeWord {
		complete(os.Stdout, args[1:])
		os.Exit(exitDone)
	}
	if len(args) > 1 && args[0] == trainChild {
		attach(args[1])
		args = args[2:]
	}
	autotune, supervised = true, link == nil
	ctx, cancel := context.WithCancel(context.Background())
	watchSignals(cancel)
	os.Exit(run(ctx, args, os.Stdin, results{os.Stdout}, messages{os.Stderr}))
}

// A command is one word of the command line. Each has a file of its own.
type command struct {
	group    string // in the list
	name     string
	args     string   // its usage behind the name, with " | " between verbs; empty: nothing may follow the flags
	short    string   // one line for the list
	long     string   // paragraphs for its help
	examples []string // command lines that work as they stand
	setup    func(fs *flagSet) runFunc
}

// A runFunc does a command's work once the flags are parsed.
type runFunc func(ctx context.Context, e *env, args []string) error

// commands are all there are, in the order of help.
var commands = []*command{trainCommand, sampleCommand, evalCommand, exportCommand, runsCommand, dashboardCommand,
	dataCommand, devicesCommand, reportCommand, benchCommand, tuneCommand, selftestCommand,
	completionCommand, versionCommand, helpCommand}

// env is what a command may touch of the outside.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
	group          ranks.Group // nil: none was joined

	name string     // that errors begin with
	opts logOptions // of the logger

	began bool // the training's first step has come

	bars    *bar.Terminal // nil: progress is lines
	endBars func()
}

// leave ends this process's part in a group of several: in peace where all do, else all at once.
func (e *env) leave(err error, code int) {
	if e.group == nil || e.group.Size() == 1 {
		return
	}
	// The launcher ends the others with SIGTERM once one has failed: too late for "stopping once this step is done".
	signal.Reset(stopSignals()...)
	if ranks.Agreed(err) {
		e.group.Close()
	} else {
		e.group.Abort(code)
	}
}

// run is the program without its process: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	e := &env{stdin: stdin, stdout: stdout, stderr: stderr, log: slog.New(slog.DiscardHandler), name: "gpt2wgpu"}
	var err error
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v; hint: please report this with the output of -v", r)
			if link != nil {
				code = endByPanic(r)
			} else if code = e.report(err); e.opts.verbose {
				fmt.Fprintf(stderr, "%s", debug.Stack())
			}
		}
		e.leave(err, code)
	}()
	err = e.run(ctx, args)
	if link != nil {
		return e.end(err)
	}
	return e.report(err)
}

// run parses the command line and runs its command.
func (e *env) run(ctx context.Context, args []string) error {
	root := newFlagSet("gpt2wgpu")
	root.SetInterspersed(false)
	version := root.Bool("version", false, "print the version")
	switch err := root.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return helpCommand.run(ctx, e)
	case err != nil:
		return root.explain(err, "gpt2wgpu help")
	case *version:
		return versionCommand.run(ctx, e)
	case root.NArg() == 0:
		return usagef("no command; hint: gpt2wgpu help, or gpt2wgpu train for a first run")
	}
	c, err := findCommand(root.Arg(0))
	if err != nil {
		return err
	}
	e.name += " " + c.name

	fs := newFlagSet(c.name)
	action := c.setup(fs)
	if err := fs.parse(root.Args()[1:]); errors.Is(err, pflag.ErrHelp) {
		return printHelp(e.stdout, c)
	} else if err != nil {
		if wantsJSON(args) {
			e.opts.format, e.log = "json", slog.New(jsonHandler(e.stderr, slog.LevelInfo))
		}
		return fs.explain(err, e.name+" --help")
	}
	e.opts = fs.log
	e.showBars()
	if e.endBars != nil {
		defer e.endBars()
	}
	log, err := fs.log.logger(e.stderr)
	if err != nil {
		return err
	}
	if e.log = log; e.bars != nil {
		e.log = slog.New(chosen{log.Handler(), e.barEvents})
	}
	talker.Store(&speech{log: e.log, step: c == trainCommand})
	if isTerminal(e.stdout) {
		e.stdout = &visible{w: e.stdout}
		if c != sampleCommand { // which streams
			tables := &wrapped{w: e.stdout, indent: 4}
			defer tables.flush()
			e.stdout = tables
		}
	}
	if c.args == "" && fs.NArg() > 0 {
		return usagef("%q follows no flag, and %s takes nothing else; hint: %s --help", fs.Arg(0), c.name, e.name)
	}
	return action(ctx, e, fs.Args())
}

// run runs a command that needs no flags.
func (c *command) run(ctx context.Context, e *env) error {
	return c.setup(newFlagSet(c.name))(ctx, e, nil)
}

func findCommand(name string) (*command, error) {
	var names []string
	for _, c := range commands {
		if c.name == name {
			return c, nil
		}
		names = append(names, c.name)
	}
	hint := didYouMean("", name, names, "gpt2wgpu help lists the commands")
	return nil, usagef("unknown command %q; hint: %s", name, hint)
}

// report prints err, if there is one, and returns the exit code.
func (e *env) report(err error) int {
	if err == nil || errors.Is(err, ranks.ErrElsewhere) { // the code is that of the rank that reports the reason
		return exitDone
	}
	if child := (*childEnded)(nil); errors.As(err, &child) { // which has reported
		return child.code
	}
	for _, line := range errorLines(err) {
		line = strings.ReplaceAll(line, context.Canceled.Error(), train.ErrInterrupted.Error())
		if e.opts.format == "json" {
			e.log.Error(line, "command", e.name)
		} else {
			fmt.Fprint(e.stderr, wrap(oneline.Of(e.name+": "+line)+"\n", columns(e.stderr), 2))
		}
	}
	var usage *train.UsageError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, train.ErrInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// errorLines returns one line for err, or one for each error that was joined.
func errorLines(err error) []string {
	if usage, ok := err.(*train.UsageError); ok {
		err = usage.Err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var lines []string
		for _, e := range joined.Unwrap() {
			lines = append(lines, errorLines(e)...)
		}
		return lines
	}
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	return []string{strings.Join(lines, " ")}
}

// isTerminal reports whether a stream is one that a person looks at.
func isTerminal(stream any) bool {
	_, ok := terminal(stream)
	return ok
}

func isTerminalFile(f *os.File) bool {
	return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())
}

// writeJSON prints v as one line.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
