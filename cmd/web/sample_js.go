package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// prompt is a text that the page wants. What is absent has sample's defaults.
type prompt struct {
	Prompt      string   `json:"prompt"`
	Model       string   `json:"model"` // empty: the one in training
	MaxTokens   *int     `json:"max_tokens"`
	Temperature *float64 `json:"temperature"`
	TopK        *int     `json:"top_k"`
	TopP        *float64 `json:"top_p"`
	Greedy      bool     `json:"greedy"`
	Seed        *uint64  `json:"seed"`
	Tag         string   `json:"tag"` // comes back with the events
}

func (p prompt) options() model.SampleOptions {
	return model.SampleOptions{MaxTokens: or(p.MaxTokens, 30), Temperature: or(p.Temperature, 1), TopK: or(p.TopK, 50),
		TopP: or(p.TopP, 1), Greedy: p.Greedy, Seed: or(p.Seed, 42)}
}

// or returns what p points to, or fallback where it is nil.
func or[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}

// loaded is a model that only writes. It stays on the device until something else needs that.
type loaded struct {
	path   string // of its weights
	dev    *gpu.Device
	writer train.Writer
}

// unload gives the device back.
func (s *session) unload() {
	if s.loaded != nil {
		s.loaded.dev.Close()
		s.loaded = nil
	}
}

// sample writes a text, by the model in training between two of its steps, or by a stored one, and returns it whole.
// Its pieces are events. Errors: [train.UsageError]; errBusy; those of reading and of the device.
func (s *session) sample(in prompt) (any, error) {
	if err := in.options().Validate(); err != nil {
		return nil, &train.UsageError{Err: err}
	}
	out := written{}
	switch {
	case in.Model != "":
		out = s.sampleStored(in)
	case s.run == nil:
		return nil, usagef("no model is named, and no training runs; hint: model names a run's directory or an " +
			"imported model")
	case !s.run.samples:
		return nil, errors.New("this run writes no texts (sample_every is 0); hint: resume it with sample_every")
	default:
		t := &text{in, make(chan written, 1)}
		s.run.texts = append(s.run.texts, t)
		out = <-t.done
	}
	return map[string]string{"text": out.text}, out.err
}

// sampleStored writes a text of a model that lies in the file system.
func (s *session) sampleStored(in prompt) written {
	ctx, end, err := s.begin("sample", in.Model)
	if err != nil {
		return written{err: err}
	}
	defer end()
	if err := s.load(ctx, in.Model); err != nil {
		return written{err: err}
	}
	out, err := s.loaded.writer.Write(ctx, in.Prompt, in.options(), s.pieces(textEvent{From: "prompt", Tag: in.Tag,
		Step: s.loaded.writer.Step}))
	if err != nil {
		s.unload()
	}
	return written{out, err}
}

// load puts a model on the device, unless it is there already. spec: a run's or a model's directory.
func (s *session) load(ctx context.Context, spec string) error {
	path, err := modelDir(spec)
	if err != nil {
		return err
	}
	if s.loaded != nil && s.loaded.path == path {
		return nil
	}
	s.unload()
	w, src, err := gpt2.Load(path)
	if err != nil {
		return err
	}
	tok, err := data.ModelTokenizer("", src.Tokenizer, src.Path, w.Config.VocabSize)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	d, err := gpu.Open("auto")
	if err != nil {
		return err
	}
	defer train.ReportCompiling(d, s.log)()
	sampler, err := model.NewSampler(d, w, 1)
	if err != nil {
		d.Close()
		return err
	}
	s.loaded = &loaded{path, d, train.Writer{Step: stepOf(path), Sampler: sampler, Tokenizer: tok, Special: src.Special,
		Vocab: w.Config.VocabSize}}
	return nil
}

// modelDir returns the directory of a model: of a run its newest checkpoint.
func modelDir(spec string) (string, error) {
	if gpt2.IsRun(spec) {
		return gpt2.LatestCheckpoint(spec)
	}
	return cmp.Or(spec, "."), nil
}
