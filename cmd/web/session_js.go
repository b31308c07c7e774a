package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// session is the state of the page's program, which does one job at a time. Its goroutines switch only where one waits,
// so the fields need no lock.
type session struct {
	event func(any)
	log   *slog.Logger

	job    string // idle, train, sample, selftest
	out    string // of train
	cancel context.CancelFunc
	run    *running // nil: no training
	loaded *loaded  // nil: no model for texts
}

func newSession(event func(any)) *session {
	return &session{event: event, log: slog.New(logger{event: event}), job: "idle"}
}

// stateEvent reports what the device is used for.
type stateEvent struct {
	Event string `json:"event"`
	Job   string `json:"job"`
	Out   string `json:"out,omitempty"`
}

// begin takes the device for a job; end gives it back.
func (s *session) begin(job, out string) (ctx context.Context, end func(), err error) {
	if s.job != "idle" {
		return nil, nil, fmt.Errorf("%w by %s; hint: stop it, or wait for its end", errBusy, s.job)
	}
	ctx, s.cancel = context.WithCancel(context.Background())
	s.job, s.out = job, out
	s.event(stateEvent{"state", job, out})
	return ctx, func() {
		s.cancel()
		s.job, s.out, s.run = "idle", "", nil
		s.event(stateEvent{"state", "idle", ""})
	}, nil
}

// stop ends a sample or a self-test.
func (s *session) stop(nothing) (any, error) {
	switch {
	case s.run != nil:
		s.run.cancelText()
	case s.job != "idle":
		s.cancel()
	}
	return nothing{}, nil
}

// setting describes one of train.Settings.
type setting struct {
	Name    string `json:"name"`
	Section string `json:"section"`
	Usage   string `json:"usage"`
	Default any    `json:"default"`
}

// preset is one of train.Presets.
type preset struct {
	Name   string       `json:"name"`
	Short  string       `json:"short"`
	Config train.Config `json:"config"`
}

// info returns the version, the presets and the settings.
func (s *session) info(nothing) (any, error) {
	out := struct {
		Version  string    `json:"version"`
		Presets  []preset  `json:"presets"`
		Settings []setting `json:"settings"`
	}{Version: version}
	for _, p := range train.Presets {
		out.Presets = append(out.Presets, preset{p.Name, p.Short, p.Config})
	}
	section, defaults := "", train.Job{Config: train.DefaultConfig()}
	for _, t := range train.Settings {
		if t.Section != "" {
			section = t.Section
		}
		if !t.Invocation {
			usage := strings.ReplaceAll(t.Usage, "`", "")
			out.Settings = append(out.Settings, setting{t.Name, section, usage, t.In(&defaults)})
		}
	}
	return out, nil
}

// device returns the device that gpu.Open takes. Error: there is none.
func (s *session) device(nothing) (any, error) {
	list, err := gpu.Adapters()
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// selftestRow is a case with what failed in it.
type selftestRow struct {
	selftest.Row
	Failures []string `json:"failures,omitempty"`
}

var digits = regexp.MustCompile(`\d+`)

// selftest runs the self-test's cases whose names have Kernel in them and returns their results. Each case is an event.
func (s *session) selftest(in struct {
	Kernel string `json:"kernel"` // empty: all
	Every  string `json:"every"`  // kernel: one case of each kernel and type; empty: all
}) (any, error) {
	ctx, end, err := s.begin("selftest", "")
	if err != nil {
		return nil, err
	}
	defer end()
	s.unload()
	d, err := gpu.Open("auto")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var entries []selftest.Entry
	seen := map[string]bool{}
	for _, e := range selftest.Catalogue(d) {
		kernel := digits.ReplaceAllString(e.Name, "") + e.DType // a kernel's tiles differ in numbers
		if !strings.Contains(e.Name, in.Kernel) || in.Every == "kernel" && seen[kernel] {
			continue
		}
		seen[kernel] = true
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, usagef("kernel is %q, want a part of a kernel's name; hint: matmul or attention", in.Kernel)
	}
	n := 0
	r, err := selftest.Run(ctx, d, entries, func(r selftest.Row) {
		n++
		s.event(struct {
			Event string      `json:"event"`
			Row   selftestRow `json:"row"`
			N     int         `json:"n"`
			Of    int         `json:"of"`
		}{"selftest", selftestRow{r, r.Failures}, n, len(entries)})
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	return r, nil
}

// logger is a handler that makes events of what the program logs.
type logger struct {
	event func(any)
	attrs []slog.Attr
}

func (l logger) Enabled(context.Context, slog.Level) bool { return true }

func (l logger) WithAttrs(a []slog.Attr) slog.Handler {
	l.attrs = append(l.attrs[:len(l.attrs):len(l.attrs)], a...)
	return l
}

func (l logger) WithGroup(string) slog.Handler { return l }

func (l logger) Handle(_ context.Context, r slog.Record) error {
	out := struct {
		Event   string         `json:"event"`
		Level   string         `json:"level"`
		Message string         `json:"message"`
		Name    string         `json:"name,omitempty"`
		Fields  map[string]any `json:"fields,omitempty"`
	}{"log", r.Level.String(), r.Message, "", map[string]any{}}
	add := func(a slog.Attr) bool {
		switch v := a.Value.Any().(type) {
		case train.Event:
			out.Name = v.Name
			for _, f := range v.Attrs {
				out.Fields[f.Key] = f.Value.Any()
			}
		case error:
			out.Fields[a.Key] = v.Error()
		case float64: // may be one that JSON lacks
			out.Fields[a.Key] = a.Value.String()
		default:
			out.Fields[a.Key] = v
		}
		return true
	}
	for _, a := range l.attrs {
		add(a)
	}
	r.Attrs(add)
	l.event(out)
	return nil
}
