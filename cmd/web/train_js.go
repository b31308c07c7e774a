package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// runsDir holds the runs.
var runsDir = "/runs" // tests have another

// request is what the page wants trained.
type request struct {
	Preset   string          `json:"preset"`
	Settings json.RawMessage `json:"settings"` // fields of config.json
	Out      *string         `json:"out"`      // absent: a new directory; empty: nothing is kept
	Resume   bool            `json:"resume"`
}

// job returns the settings of a request, completed as the command line completes them. Errors: [train.UsageError];
// those of reading a run's config.json.
func (in request) job() (j train.Job, err error) {
	j.Resume = in.Resume
	base := train.DefaultConfig()
	if in.Preset != "" {
		p, err := train.FindPreset(in.Preset)
		if err != nil {
			return j, &train.UsageError{Err: err}
		}
		base = p.Config
	}
	preset := base
	var names []string
	if in.Resume {
		if in.Out == nil || *in.Out == "" {
			return j, usagef("resume needs the run's directory, out")
		}
		if names, err = train.RunConfig(*in.Out, &base); err != nil {
			return j, err
		}
	}
	if len(in.Settings) > 0 {
		given, err := train.ParseConfig("settings", in.Settings, &base)
		if err != nil {
			return j, &train.UsageError{Err: err}
		}
		names = append(names, given...)
	}
	j.Config = base
	if in.Out != nil {
		j.Out = *in.Out
	}
	given := func(flag string) bool { return slices.Contains(names, strings.ReplaceAll(flag, "-", "_")) }
	j.Given = given
	if j, err = j.Settled(preset, given, func(flag string) bool { return !given(flag) }); err != nil {
		return j, err
	}
	if err := j.Validate(); err != nil {
		return j, &train.UsageError{Err: err}
	}
	return j, nil
}

func (s *session) env() train.Env {
	return train.Env{Log: s.log, Stdout: io.Discard, Version: version}
}

// role is the device memory of one role, in bytes.
type role struct {
	Role  gpu.Role `json:"role"`
	Bytes uint64   `json:"bytes"`
}

func roles(d *gpu.Device) (list []role) {
	for _, r := range gpu.Roles {
		list = append(list, role{r, d.Bytes(r)})
	}
	return list
}

// plan returns what a training needs, without running it: memory in bytes, dispatches, and the text of --dry-run.
func (s *session) plan(in request) (any, error) {
	j, err := in.job()
	if err != nil {
		return nil, err
	}
	p, err := train.NewPlan(j, s.env())
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	p.Print(&text)
	d, shape := p.Step.Model.Device, p.Model()
	micro, update := p.Dispatches()
	return map[string]any{
		"config": p.Config, "device": d.Info, "parameters": gpt2.ParamCount(shape),
		"tokens_per_step": p.TokensPerStep(), "micro_steps": p.AccumSteps(), "dispatches": micro,
		"update_dispatches": update, "flops_per_token": shape.FLOPsPerToken(p.SeqLen), "bytes": d.TotalBytes(),
		"roles": roles(d), "checkpoint_bytes": p.Checkpoint, "text": text.String(),
	}, nil
}

// resume is train from the newest checkpoint of a run.
func (s *session) resume(in request) (any, error) {
	in.Resume = true
	return s.train(in)
}

// train runs a training to its end or until it is stopped, and returns how far it came. Errors: those of job and
// [train.Run]; errBusy.
func (s *session) train(in request) (any, error) {
	j, err := in.job()
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.begin("train", j.Out)
	if err != nil {
		return nil, err
	}
	defer end()
	s.unload()
	if in.Out == nil {
		if j.Out, err = train.MakeRunDir(runsDir, cmp.Or(in.Preset, train.Presets[0].Name)); err != nil {
			return nil, err
		}
		s.out = j.Out
		s.event(stateEvent{"state", s.job, s.out})
	}
	r := &running{s: s, samples: j.SampleEvery > 0, end: s.cancel}
	s.run = r
	env := s.env()
	env.Watch = train.Watch{Began: r.began, Record: r.record, Asked: r.asked, Text: r.text, Write: r.write,
		Holds: r.holds}
	err = train.Run(ctx, j, env)
	r.refuse(errors.New("the training has ended"))
	if err == nil { // also of a run that had ended before
		r.step = j.Steps
	}
	if stopped := errors.Is(err, train.ErrInterrupted); err == nil || stopped {
		return map[string]any{"out": j.Out, "step": r.step, "steps": j.Steps, "done": err == nil,
			"stopped": stopped}, nil
	}
	if in.Out == nil {
		train.RemoveUnused(j.Out)
		os.MkdirAll(runsDir, 0o755)
	}
	return nil, err
}

// running is a training in progress and what the page has asked of it.
type running struct {
	s       *session
	samples bool // it can write text
	end     context.CancelFunc
	asks    train.Ask
	pause   bool
	step    int // steps done
	texts   []*text
	writing context.CancelFunc // of the text that is written; nil: none is
	sample  func(piece string) // gets the run's own text; nil: none is written
}

// text is a text that the page has asked for.
type text struct {
	prompt
	done chan written
}

// written is a text that was made, or why it was not.
type written struct {
	text string
	err  error
}

func (r *running) began(b train.Beginning) {
	r.step = b.First
	lines := []string{}
	if b.Out != "" && b.First > 0 {
		content, _ := os.ReadFile(path.Join(b.Out, "metrics.jsonl"))
		for line := range strings.Lines(string(content)) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	r.s.event(map[string]any{
		"event": "began", "steps": b.Steps, "first": b.First, "tokens": b.Tokens, "tokens_per_step": b.TokensPerStep,
		"epoch_tokens": b.EpochTokens, "config": b.Shape, "seq_len": b.SeqLen, "out": b.Out, "device": b.Device.Info,
		"bytes": b.Device.TotalBytes(), "roles": roles(b.Device), "parameters": gpt2.ParamCount(b.Shape),
		"flops_per_token": b.Shape.FLOPsPerToken(b.SeqLen), "lines": lines,
	})
}

func (r *running) record(m metrics.Line) {
	switch m.Kind {
	case metrics.KindTrain:
		r.step = m.Step + 1
	case metrics.KindSample:
		r.sample = nil
	}
	r.s.event(map[string]any{"event": "metrics", "line": string(m.JSON())})
}

func (r *running) asked() (a train.Ask) {
	a, r.asks = r.asks, 0
	if r.pause {
		a |= train.AskPause
	}
	if len(r.texts) > 0 {
		a |= train.AskText
	}
	return a
}

func (r *running) holds(pause bool) {
	r.s.event(map[string]any{"event": "paused", "on": pause, "step": r.step})
}

// textEvent is a piece of text.
type textEvent struct {
	Event string `json:"event"`
	From  string `json:"from"` // run, prompt
	Tag   string `json:"tag,omitempty"`
	Step  int    `json:"step"`
	Begin bool   `json:"begin,omitempty"` // of a text
	Text  string `json:"text"`
}

// pieces returns a function that makes events of a text's pieces.
func (s *session) pieces(e textEvent) func(text string) {
	e.Event, e.Begin = "text", true
	return func(text string) {
		e.Text = text
		s.event(e)
		e.Begin = false
	}
}

// text gets the run's own samples.
func (r *running) text(step int, text string) {
	if r.sample == nil {
		r.sample = r.s.pieces(textEvent{From: "run", Step: step})
	}
	r.sample(text)
}

// write writes the texts that the page has asked for. Error: the device was lost.
func (r *running) write(w train.Writer) error {
	for len(r.texts) > 0 {
		t := r.texts[0]
		r.texts = r.texts[1:]
		ctx, cancel := context.WithCancel(context.Background())
		r.writing = cancel
		out, err := w.Write(ctx, t.Prompt, t.options(), r.s.pieces(textEvent{From: "prompt", Tag: t.Tag, Step: w.Step}))
		cancel()
		r.writing = nil
		t.done <- written{out, err}
		if lost := (*gpu.DeviceError)(nil); errors.As(err, &lost) {
			return err
		}
	}
	return nil
}

func (r *running) cancelText() {
	if r.writing != nil {
		r.writing()
	}
}

// refuse answers the requests for texts that are left with err.
func (r *running) refuse(err error) {
	for _, t := range r.texts {
		t.done <- written{err: err}
	}
	r.texts = nil
}

// ask asks the training in progress to stop, to write a sample, to validate or to save. It does so between two steps.
func (s *session) ask(in struct {
	What string `json:"what"`
}) (any, error) {
	words := map[string]train.Ask{"stop": train.AskStop, "sample": train.AskSample, "validate": train.AskValidation,
		"checkpoint": train.AskCheckpoint}
	a, ok := words[in.What]
	switch {
	case !ok:
		return nil, usagef("what is %q, want stop, sample, validate or checkpoint; hint: stop saves and ends the run",
			in.What)
	case s.run == nil:
		return nil, errIdle
	case a == train.AskStop:
		s.run.end() // also before the first step
	}
	s.run.asks |= a
	return nothing{}, nil
}

// hold makes the training in progress pause, or continue.
func (s *session) hold(in struct {
	On bool `json:"on"`
}) (any, error) {
	if s.run == nil {
		return nil, errIdle
	}
	s.run.pause = in.On
	return nothing{}, nil
}
