package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// modelFlags are --model and --tokenizer, which sample, eval and export have.
type modelFlags struct{ model, tokenizer string }

func (m *modelFlags) define(fs *flagSet) {
	f := fs.section("Model")
	f.StringVar(&m.model, "model", "", "`weights`: a run's directory, a checkpoint, a Hugging Face directory, gpt2, "+
		"gpt2-medium, gpt2-large, gpt2-xl, or an llm.c .bin")
	f.StringVar(&m.tokenizer, "tokenizer", "", "`tokenizer`: gpt2, bytes, or a directory with Hugging Face's files "+
		"(default: the model's own)")
}

func (m *modelFlags) check(bad *mistakes) {
	bad.when(m.model == "", "--model is missing; hint: a run's directory, such as --model %s", someRun())
	if m.tokenizer != "" {
		_, err := data.NewTokenizer(m.tokenizer)
		bad.when(err != nil, "--%w", err)
	}
}

// loaded is what --model and --tokenizer name.
type loaded struct {
	*gpt2.Weights
	source gpt2.Source
	tok    data.Tokenizer
}

// load reads the weights of --model and chooses the tokenizer. Published weights are fetched first.
func (m *modelFlags) load(ctx context.Context, e *env) (l loaded, err error) {
	path := m.model
	if gpt2.Published(path) {
		if path, err = fetchData(ctx, e, path, 0, false); err != nil {
			return l, fmt.Errorf("--model %w", err)
		}
	}
	if l.Weights, l.source, err = gpt2.Load(path); err != nil {
		return l, fmt.Errorf("--model %w", err)
	}
	if l.source.Warning != "" {
		e.log.Warn(l.source.Warning)
	}
	l.tok, err = data.ModelTokenizer(m.tokenizer, l.source.Tokenizer, l.source.Path, l.Config.VocabSize)
	return l, err
}

// open opens the device that --device names. Until the function that it returns closes it, compiling is reported.
func (e *env) open(device string) (*gpu.Device, func(), error) {
	d, err := gpu.Open(device)
	if err != nil {
		return nil, nil, err
	}
	stop := train.ReportCompiling(d, e.log)
	e.log.Info(fmt.Sprintf("using device: %v", d.Info))
	return d, func() { stop(); d.Close() }, nil
}

// someRun is a directory for hints: the newest run, or one that there could be.
func someRun() string { return cmp.Or(train.NewestRun(train.RunsDir), train.RunsDir+"/first") }
