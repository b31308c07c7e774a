package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

var exportCommand = &command{
	name:  "export",
	short: "Convert a checkpoint to a Hugging Face directory or an llm.c .bin",
	long: `
hf is a directory that transformers loads as it stands: model.safetensors in float32, config.json,
generation_config.json, and the tokenizer's files; those that a model came with are copied unchanged. llmc is the
checkpoint file of llm.c, float32. Both leave out the rows that pad GPT-2's vocabulary from 50257 to 50304.

  gpt2wgpu export --model runs/first --format hf --out first-hf`,
	setup: func(fs *flagSet) runFunc {
		x := newExportFlags(fs)
		return x.run
	},
}

// exportFlags are the flags of export.
type exportFlags struct {
	fs                            *flagSet
	model, tokenizer, format, out string
}

func newExportFlags(fs *flagSet) *exportFlags {
	x := &exportFlags{fs: fs}
	f := fs.section("Model")
	f.StringVar(&x.model, "model", "", modelUsage)
	f.StringVar(&x.tokenizer, "tokenizer", "", tokenizerUsage)

	f = fs.section("Output")
	f.StringVar(&x.format, "format", "hf", "`format`: hf (a Hugging Face directory), llmc (llm.c's .bin)")
	f.StringVar(&x.out, "out", "", "`path` of the directory or the .bin, where nothing is yet")
	fs.logFlags(f)
	return x
}

func (x *exportFlags) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if x.model == "" {
		bad("--model is missing; hint: a run's directory, such as --model %s", someRun())
	}
	if x.out == "" {
		bad("--out is missing; hint: --out DIR, or --out FILE.bin for llm.c")
	}
	switch x.format {
	case "hf":
	case "llmc":
		if x.out != "" && filepath.Ext(x.out) != ".bin" {
			bad("--out is %q, want a name that ends in .bin for llm.c; hint: --out %s.bin", x.out,
				filepath.Clean(x.out))
		}
	default:
		bad("--format is %q, no such format; hint: hf, llmc", x.format)
	}
	if x.tokenizer != "" {
		if _, err := data.NewTokenizer(x.tokenizer); err != nil {
			bad("--%w", err)
		}
	}
	i := &idle{fs: x.fs}
	i.refuse(x.format == "llmc", "tokenizer", "with --format llmc, which holds no tokenizer", "leave it out")
	errs = append(errs, i.err())
	return errors.Join(errs...)
}

func (x *exportFlags) run(ctx context.Context, e *env, _ []string) error {
	if err := x.validate(); err != nil {
		return &usageError{err}
	}
	if err := x.outIsFree(); err != nil {
		return err
	}
	w, source, err := loadModel(ctx, e, x.model)
	if err != nil {
		return err
	}
	tok, err := data.ModelTokenizer(x.tokenizer, source.Tokenizer, source.Path, w.Config.VocabSize)
	if err != nil {
		return err
	}
	if w.Config.VocabSize == paddedVocab && tok.Name() == "gpt2" {
		w = w.Pad(tok.VocabSize())
		e.log.Info(fmt.Sprintf("%d rows that pad the vocabulary are left out", paddedVocab-tok.VocabSize()))
	}
	if x.format == "llmc" {
		err = gpt2.WriteLLMC(x.out, w)
	} else {
		if tok.Name() == "ids" {
			e.log.Warn("no tokenizer files: the model doesn't say its tokenizer, and no known one has its "+
				"vocabulary; hint: --tokenizer gpt2, bytes or a directory with its files", "vocabulary",
				w.Config.VocabSize)
		} else if own := tok.VocabSize(); own > w.Config.VocabSize {
			e.log.Warn("the tokenizer has more ids than the model", "tokenizer", tok.Name(), "ids", own, "vocabulary",
				w.Config.VocabSize)
		}
		err = train.WriteModel(x.out, w.Config, w.Tensor, tok, source.Special)
	}
	if err != nil {
		return err
	}
	e.log.Info(fmt.Sprintf("%d parameters: %d layers, %d heads, %d channels, context %d, vocabulary %d",
		gpt2.ParamCount(w.Config), w.Config.NLayer, w.Config.NHead, w.Config.NEmbd, w.Config.BlockSize,
		w.Config.VocabSize))
	_, err = fmt.Fprintln(e.stdout, x.out)
	return err
}

// paddedVocab is GPT-2's vocabulary rounded up to a multiple of 64, as the recipe trains it.
const paddedVocab = 50304

// outIsFree refuses to write over anything.
func (x *exportFlags) outIsFree() error {
	info, err := os.Stat(x.out)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--out: %w; hint: check the path and its permissions", err)
	}
	if info.IsDir() != (x.format == "hf") {
		return fmt.Errorf("--out %s: is there, and isn't a %s; hint: another --out", x.out,
			map[bool]string{true: "directory", false: "file"}[x.format == "hf"])
	}
	used := info.Size() > 0
	if info.IsDir() {
		entries, err := os.ReadDir(x.out)
		if err != nil {
			return fmt.Errorf("--out: %w; hint: check the directory's permissions", err)
		}
		used = len(entries) > 0
	}
	if used {
		return fmt.Errorf("--out %s: is there and not empty; hint: another --out, or remove it first", x.out)
	}
	return nil
}
