package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// TestETA: the first step, in which kernels are compiled, says nothing about the others.
func TestETA(t *testing.T) {
	var log bytes.Buffer
	p := newProgress(logged(&log).Log, 104, 3)
	clock := time.Unix(0, 0).Add(30 * time.Second) // the first step's end
	for _, x := range []struct {
		step  int
		after time.Duration
		says  string
	}{
		{3, 0, "tok/s\""},
		{4, 2 * time.Second, "tok/s | 3m18s left"},
		{5, 100 * time.Millisecond, ""}, // less than a second after
		{6, 4 * time.Second, "| 3m17s left"},
		{103, time.Second, "| 0s left"},
	} {
		log.Reset()
		clock = clock.Add(x.after)
		p.step(metrics.Step{Step: x.step}, clock)
		if x.says == "" && log.Len() > 0 || !strings.Contains(log.String(), x.says) {
			t.Errorf("step %d: %s, want %q", x.step, &log, x.says)
		}
	}
}

// TestNarrowProgress: the shortest message of a step fits 60 columns, with the time and the level before it.
func TestNarrowProgress(t *testing.T) {
	p := newProgress(nil, 1000, 0)
	var short []string
	p.log = slog.New(shortMessages{slog.DiscardHandler, &short})
	p.step(metrics.Step{Step: 0}, time.Unix(100, 0))
	p.step(metrics.Step{Step: 1, Loss: 10.123456, TokensPerS: 12345}, time.Unix(101, 0))
	if len(short) != 2 || len("15:04:05 INFO "+short[1]) > 60 || !strings.HasSuffix(short[1], "left") ||
		len(short[0]) <= len(short[1]) {
		t.Errorf("%q", short)
	}
}

// shortMessages keeps the short messages of the last event.
type shortMessages struct {
	slog.Handler
	last *[]string
}

func (shortMessages) Enabled(context.Context, slog.Level) bool { return true }

func (h shortMessages) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if e, ok := a.Value.Any().(Event); ok {
			*h.last = e.Short
		}
		return true
	})
	return nil
}

// TestSummary: what is said at the end of a run, of a part of it, and of the rest.
func TestSummary(t *testing.T) {
	c := plain(t)
	c.Steps, c.ValData, c.ValEvery, c.ValSteps = 6, "sample", 2, 1
	var log bytes.Buffer
	part := c
	part.StopAfter = 3
	if err := Run(context.Background(), part, logged(&log)); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "stopped: 3 of 6 steps in ") || strings.Contains(text,
		"to train on") {
		t.Errorf("interrupted: %s", text)
	}
	log.Reset()
	c.Resume = true
	if err := Run(context.Background(), c, logged(&log)); err != nil {
		t.Fatal(err)
	}
	lines, err := metrics.Read(c.Out + "/metrics.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var first, last metrics.Float
	best := metrics.Validation{Loss: 1e9}
	for _, m := range lines {
		if m.Kind == metrics.KindTrain && m.Step == 0 {
			first = m.Loss
		}
		if m.Kind == metrics.KindTrain {
			last = m.Loss
		}
		if m.Kind == metrics.KindVal && m.Loss < best.Loss {
			best = metrics.Validation{Step: m.Step, Loss: m.Loss}
		}
	}
	for _, w := range []string{
		"done: 6 of 6 steps, the last 3 in ",
		fmt.Sprintf("| loss %.4f -> %.4f | best validation loss %.4f (step %d) | checkpoint ", first, last, best.Loss,
			best.Step),
		"gpt2wgpu sample --model " + c.Out,
		"gpt2wgpu train --out " + c.Out + " --resume --steps 12",
	} {
		if !strings.Contains(log.String(), w) {
			t.Errorf("the end doesn't say %q: %s", w, &log)
		}
	}
}
