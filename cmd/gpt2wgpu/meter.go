package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/muesli/termenv"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/bar"
	"github.com/gpt2wgpu/gpt2wgpu/train/oneline"
)

// beside is a stream of a terminal that has a bar on its last line.
type beside struct {
	io.Writer
	f *os.File
}

func (b beside) file() *os.File { return b.f }

// showBars makes later output go above a bar on the terminal's last line, where there can be one.
func (e *env) showBars() {
	f, ok := terminal(e.stderr)
	if !ok || e.cannotRedraw() != "" {
		return
	}
	restore, err := termenv.EnableVirtualTerminalProcessing(termenv.NewOutput(f)) // an old Windows has none
	if err != nil {
		return
	}
	width := func() int {
		if !inForeground(f) {
			return 0
		}
		return columns(f)
	}
	paint := func(full, empty string) string { return "\x1b[34m" + full + "\x1b[0;2m" + empty + "\x1b[0m" }
	if termenv.NewOutput(f).EnvColorProfile() == termenv.Ascii {
		paint = nil
	}
	e.bars = bar.NewTerminal(e.stderr, width, paint)
	e.stderr = beside{e.bars, f}
	if out, ok := terminal(e.stdout); ok { // the same one, in nearly all cases
		e.stdout = beside{e.bars.Beside(e.stdout), out}
	}
	bars := e.bars
	e.endBars = func() {
		bars.Clear()
		restore()
	}
	atOnce = e.endBars
}

// barEvents reports whether an event is a line of the log. Compiling is a bar where there can be one.
func (e *env) barEvents(event train.Event) bool {
	switch {
	case e.bars == nil:
		return true
	case event.Name == "compiling":
		e.bars.Show(compilingOf(event).bar())
		return false
	case event.Name == "compiled":
		e.bars.Clear()
	}
	return true
}

// compilingOf returns the progress that a compiling event reports.
func compilingOf(event train.Event) coming {
	c := coming{what: "compiling kernels", word: numberWord}
	for _, a := range event.Attrs {
		switch a.Key {
		case "done":
			c.done = a.Value.Int64()
		case "all":
			c.all = a.Value.Int64()
		case "kernel":
			c.more = []string{strings.SplitN(a.Value.String(), "/", 2)[0]}
		}
	}
	return c
}

// meter reports how far something has come: by a bar on a terminal, else by a line once a second at first, and less
// often the longer it takes.
type meter struct {
	e           *env
	onlyBar     bool // the command prints what a line would say
	began, last time.Time
	barred      bool // there was a bar
}

func newMeter(e *env) *meter {
	now := time.Now()
	return &meter{e: e, began: now, last: now}
}

// newBar returns a meter without lines.
func newBar(e *env) *meter {
	m := newMeter(e)
	m.onlyBar = true
	return m
}

// coming is how far something has come.
type coming struct {
	what      string
	done, all int64              // of all things; all 0: not known
	word      func(int64) string // for their number
	more      []string           // other figures
	left      time.Duration      // 0: not known
}

// barPatience is how long something takes before it gets a bar.
const barPatience = 300 * time.Millisecond

// report shows p if it is time. The end leaves a line where something was shown before.
func (m *meter) report(p coming) {
	now, end := time.Now(), p.done == p.all
	if m.e.bars != nil {
		if !end && now.Sub(m.began) > barPatience {
			m.e.bars.Show(p.bar())
			m.barred = true
		}
		if end && m.barred {
			m.e.bars.Clear()
			m.barred = false
			if !m.onlyBar {
				m.e.log.Info(p.line())
			}
		}
		return
	}
	gap := min(max(now.Sub(m.began)/20, time.Second), 15*time.Second)
	if m.onlyBar || now.Sub(m.last) < gap && !(end && m.last.After(m.began)) {
		return
	}
	m.last = now
	m.e.log.Info(p.line())
}

// line returns p for a log.
func (p coming) line() string {
	text := p.what + ": " + p.word(p.done)
	if p.all > 0 {
		text += fmt.Sprintf(" of %s, %.0f%%", p.word(p.all), 100*float64(p.done)/float64(p.all))
	}
	for _, m := range p.more {
		text += " | " + m
	}
	if p.left > 0 {
		text += fmt.Sprintf(" | %v left", p.left.Round(time.Second))
	}
	return text
}

// bar returns p for a terminal.
func (p coming) bar() bar.State {
	s := bar.State{What: oneline.Of(p.what), Part: -1}
	if p.left > 0 {
		s.Words = append(s.Words, fmt.Sprintf("%v left", p.left.Round(time.Second)))
	}
	if p.all > 0 {
		s.Part = float64(p.done) / float64(p.all)
		s.Words = append(s.Words, p.word(p.done)+" of "+p.word(p.all))
	} else {
		s.Words = append(s.Words, p.word(p.done))
	}
	s.Words = slices.Concat(s.Words, p.more)
	return s
}

func (m *meter) tokenizing(p data.TokenizeProgress) {
	m.report(coming{"tokenizing", p.Bytes, p.TotalBytes, bytesWord, []string{fmt.Sprintf("%d tokens in %d shards",
		p.Tokens, p.Shards), fmt.Sprintf("%.3g tokens/s", p.TokensPerSecond)}, p.ETA})
}

// counting reports done of all things, with the time left at the pace so far.
func (m *meter) counting(what string, done, all int) {
	left := time.Duration(float64(time.Since(m.began)) / float64(done) * float64(all-done))
	m.report(coming{what: what, done: int64(done), all: int64(all), word: numberWord, left: left})
}

func numberWord(n int64) string { return fmt.Sprint(n) }

func bytesWord(n int64) string { return gpu.HumanBytes(uint64(max(n, 0))) }
