package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/bar"
)

// TestMeter: a bar on a terminal, which leaves one line at the end, and lines elsewhere; what is quick has neither.
func TestMeter(t *testing.T) {
	half := coming{"fetching a", 1 << 20, 2 << 20, bytesWord, []string{"1.0 MiB/s"}, time.Second}
	whole := half
	whole.done, whole.left = whole.all, 0
	const lineHalf, lineWhole = "fetching a: 1.0 MiB of 2.0 MiB, 50% | 1.0 MiB/s | 1s left",
		"fetching a: 2.0 MiB of 2.0 MiB, 100% | 1.0 MiB/s"
	const bar50 = "fetching a ███████░░░░░░  50%  1s left · 1.0 MiB of 2.0 MiB"
	for _, c := range []struct {
		name      string
		terminal  bool
		onlyBar   bool
		old       bool // it has taken a while already
		want, not string
	}{
		{name: "piped", old: true, want: lineHalf + "|" + lineWhole, not: "█"},
		{name: "piped, quick", not: "fetching"},
		{name: "piped, only a bar", old: true, onlyBar: true, not: "fetching"},
		{name: "terminal", terminal: true, old: true, want: bar50 + "|" + lineWhole, not: lineHalf},
		{name: "terminal, quick", terminal: true, not: "fetching"},
		{name: "terminal, only a bar", terminal: true, old: true, onlyBar: true, want: bar50, not: ": 2.0 MiB"},
	} {
		var out bytes.Buffer
		e := &env{stderr: &out}
		if c.terminal {
			e.bars = bar.NewTerminal(&out, func() int { return 60 }, nil)
			e.stderr = e.bars
		}
		e.log = slog.New(textHandler(e.stderr, slog.LevelInfo))
		m := newMeter(e)
		m.onlyBar = c.onlyBar
		if c.old {
			m.began, m.last = m.began.Add(-2*time.Second), m.last.Add(-2*time.Second)
		}
		m.report(half)
		m.report(whole)
		text := ansi.Strip(out.String())
		for want := range strings.SplitSeq(c.want, "|") {
			if !strings.Contains(text, strings.TrimSpace(want)) {
				t.Errorf("%s: %q, want %q", c.name, text, want)
			}
		}
		if strings.Contains(text, c.not) {
			t.Errorf("%s: %q has %q", c.name, text, c.not)
		}
	}
}

// TestCompilingBar: compiling kernels is a bar where there can be one, and lines elsewhere.
func TestCompilingBar(t *testing.T) {
	event := func(e *env, name string, fields ...any) {
		e.log.Info("what "+name+" says", train.NewEvent(name, fields...))
	}
	for _, terminal := range []bool{true, false} {
		var out bytes.Buffer
		e := &env{stderr: &out}
		if terminal {
			e.bars = bar.NewTerminal(&out, func() int { return 60 }, nil)
			e.stderr = e.bars
		}
		e.log = slog.New(chosen{textHandler(e.stderr, slog.LevelInfo), e.barEvents})
		event(e, "compiling", "kernel", "matmul_tiled/TM=4", "done", 3, "all", 40)
		if text := out.String(); strings.Contains(text, "3 of 40 · matmul_tiled") != terminal ||
			strings.Contains(text, "what compiling says") == terminal {
			t.Errorf("terminal %v: %q", terminal, text)
		}
		out.Reset()
		event(e, "compiled")
		if erased := strings.Contains(out.String(), "\r\x1b[K"); erased != terminal {
			t.Errorf("terminal %v: %q", terminal, &out)
		}
		out.Reset()
		if event(e, "checkpoint"); !strings.Contains(out.String(), "what checkpoint says") {
			t.Errorf("terminal %v: %q", terminal, &out)
		}
	}
}
