package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/charmbracelet/x/term"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/bench"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/oneline"
	"github.com/gpt2wgpu/gpt2wgpu/train/panel"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// progresses are the values of --progress.
var progresses = []string{"auto", "panel", "lines", "none"}

// display shows a training: on a terminal as a panel, once it begins, and elsewhere as lines.
type display struct {
	stderr   io.Writer
	terminal *os.File // nil: lines
	bars     func(train.Event) bool

	mu    sync.Mutex
	panel *panel.Panel // nil: before the first step, after the last, or lines
}

// showProgress makes the log and the samples go with what --progress says, and what is shown of the run. Errors: a
// panel that cannot be.
func (e *env) showProgress(how string, en *train.Env) (d *display, err error) {
	why := e.cannotRedraw()
	if how == "panel" && why != "" {
		return nil, usagef("--progress panel: %s; hint: --progress lines", why)
	}
	d = &display{stderr: e.stderr, bars: e.barEvents}
	if how == "none" || how == "lines" {
		e.bars = nil
	}
	switch {
	case how == "none":
		e.log = slog.New(chosen{e.log.Handler(), func(ev train.Event) bool { return ev.Name != "step" }})
	case how != "lines" && why == "":
		d.terminal, _ = terminal(e.stderr)
		level := slog.LevelInfo
		if e.opts.verbose {
			level = slog.LevelDebug
		}
		e.log = slog.New(chosen{textHandler(d, level), d.wants})
		if isTerminalFile(os.Stdout) { // the same one, in nearly all cases
			en.Stdout = &visible{w: &wrapped{w: d}}
		}
		en.Watch = train.Watch{Began: d.began, Record: d.record, Asked: d.asked}
	}
	en.Log = e.log
	if s := talker.Load(); s != nil {
		talker.Store(&speech{log: e.log, step: s.step})
	}
	return d, nil
}

// cannotRedraw returns why nothing can be drawn in place on standard error; empty: it can.
func (e *env) cannotRedraw() string {
	f, ok := terminal(e.stderr)
	switch {
	case !ok:
		return "standard error is not a terminal"
	case os.Getenv("TERM") == "dumb":
		return "the terminal cannot redraw (TERM=dumb)"
	case e.opts.format == "json":
		return "--log-format json is for programs"
	case e.opts.quiet:
		return "-q prints only warnings"
	case ranks.Launched(os.Getenv):
		return "a launcher has the terminal"
	case !inForeground(f):
		return "the program runs in the background"
	}
	switch width, height, err := term.GetSize(f.Fd()); {
	case err != nil || width < 1 || height < 1:
		return "the terminal has no size"
	case width < panel.Least:
		return "the terminal is too narrow"
	}
	return ""
}

// chosen leaves out events that want refuses.
type chosen struct {
	slog.Handler
	want func(train.Event) bool
}

func (h chosen) Handle(ctx context.Context, r slog.Record) error {
	wanted := true
	r.Attrs(func(a slog.Attr) bool {
		if e, ok := a.Value.Any().(train.Event); ok {
			wanted = h.want(e)
		}
		return wanted
	})
	if !wanted || !h.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// Enabled implements slog.Handler: want sees the events of all levels.
func (h chosen) Enabled(context.Context, slog.Level) bool { return true }

func (h chosen) WithAttrs(a []slog.Attr) slog.Handler { return chosen{h.Handler.WithAttrs(a), h.want} }
func (h chosen) WithGroup(name string) slog.Handler   { return chosen{h.Handler.WithGroup(name), h.want} }

// open returns the panel, if one is shown.
func (d *display) open() *panel.Panel {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.panel
}

// file makes it the terminal that it writes to.
func (d *display) file() *os.File { return d.terminal }

// Write prints lines, above the panel where there is one.
func (d *display) Write(p []byte) (int, error) {
	if shown := d.open(); shown != nil {
		shown.Print(string(p))
		return len(p), nil
	}
	return d.stderr.Write(p)
}

// wants reports whether an event is a line of the log: steps are in the panel, and the summary comes after it.
func (d *display) wants(event train.Event) bool {
	shown := d.open()
	switch {
	case event.Name == "summary":
		d.close()
	case shown == nil:
		return d.bars(event)
	case event.Name == "step":
		return false
	case event.Name == "compiling":
		c := compilingOf(event)
		shown.Change(func(s *panel.State) { s.Status = fmt.Sprintf("compiling %d of %d", c.done+1, c.all) })
		return false
	case event.Name == "checkpoint":
		shown.Change(func(s *panel.State) { s.Asked = "" })
	}
	return true
}

// began opens the panel.
func (d *display) began(b train.Beginning) {
	plan := panel.Plan{Name: cmp.Or(oneline.Of(filepath.ToSlash(b.Out)), "nothing is saved"),
		Device: oneline.Of(b.Device.Info.String()), Params: gpt2.ParamCount(b.Shape),
		Memory: b.Device.TotalBytes(), Steps: b.Steps, First: b.First, TokensPerStep: b.TokensPerStep,
		EpochTokens: b.EpochTokens, FLOPsPerToken: b.Shape.FLOPsPerToken(b.SeqLen)}
	if !b.Device.Info.Software() {
		if peak, err := bench.MeasurePeak(b.Device); err == nil {
			plan.Peak = peak.FMA * 1e9
		}
	}
	var keys io.Reader
	if isTerminalFile(os.Stdin) {
		keys = os.Stdin
	}
	d.bars(train.Event{Name: "compiled"})
	p := panel.Open(keys, d.terminal, plan, interruptAll)
	for _, m := range b.Losses {
		p.Record(m)
	}
	d.mu.Lock()
	d.panel = p
	d.mu.Unlock()
}

func (d *display) record(m metrics.Line) {
	if shown := d.open(); shown != nil {
		shown.Record(m)
	}
}

// asks are what the panel's keys ask for.
var asks = map[panel.Wish]train.Ask{panel.Stop: train.AskStop, panel.Sample: train.AskSample,
	panel.Validate: train.AskValidation, panel.Checkpoint: train.AskCheckpoint, panel.Pause: train.AskPause}

func (d *display) asked() (a train.Ask) {
	shown := d.open()
	if shown == nil {
		return 0
	}
	wishes := shown.Wishes()
	for w, ask := range asks {
		if wishes&w != 0 {
			a |= ask
		}
	}
	return a
}

// close gives the terminal back.
func (d *display) close() {
	if shown := d.open(); shown != nil {
		d.mu.Lock()
		d.panel = nil
		d.mu.Unlock()
		shown.Close()
	}
}

// terminalAsItWas returns a function that gives the terminal back which a process with a panel has left by crashing.
func terminalAsItWas() func() {
	state, err := term.GetState(os.Stdin.Fd())
	if err != nil {
		return func() {}
	}
	return func() {
		now, err := term.GetState(os.Stdin.Fd())
		if err != nil || reflect.DeepEqual(now, state) || !inForeground(os.Stdin) {
			return
		}
		term.Restore(os.Stdin.Fd(), state)
		fmt.Fprint(os.Stderr, "\r\n\x1b[?25h\x1b[?2004l") // the cursor, and pasting as it is
	}
}

// checkProgress refuses a value that --progress does not have.
func checkProgress(how string) error {
	if !slices.Contains(progresses, how) {
		return usagef("--progress is %q, want %s; hint: --progress auto", how, strings.Join(progresses, ", "))
	}
	return nil
}
