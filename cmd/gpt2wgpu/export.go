package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

var exportCommand = &command{
	group: "Models",
	name:  "export",
	short: "Convert a checkpoint to a Hugging Face directory or an llm.c .bin",
	long: `
hf is a directory that transformers loads as it stands: model.safetensors in float32, config.json,
generation_config.json, and the tokenizer's files; those that a model came with are copied unchanged. llmc is the
checkpoint file of llm.c, float32. Both leave out the rows that pad GPT-2's vocabulary from 50257 to 50304.`,
	examples: []string{
		"gpt2wgpu export --model runs/first --format hf --out first-hf",
	},
	setup: setupExport,
}

// exportFlags are the flags of export.
type exportFlags struct {
	modelFlags
	fs          *flagSet
	format, out string
}

func setupExport(fs *flagSet) runFunc {
	x := &exportFlags{fs: fs}
	x.define(fs)
	f := fs.section("Output")
	f.StringVar(&x.format, "format", "hf", "`format`: hf (a Hugging Face directory), llmc (llm.c's .bin)")
	takes(f, "format", "hf", "llmc")
	f.StringVar(&x.out, "out", "", "`path` of the directory or the .bin, where nothing is yet")
	fs.logFlags(f)
	return x.run
}

func (x *exportFlags) validate() error {
	bad := &mistakes{fs: x.fs}
	x.check(bad)
	bad.when(x.out == "", "--out is missing; hint: --out DIR, or --out FILE.bin for llm.c")
	bad.when(x.format == "llmc" && x.out != "" && filepath.Ext(x.out) != ".bin",
		"--out is %q, want a name that ends in .bin for llm.c; hint: --out %s.bin", x.out, filepath.Clean(x.out))
	bad.when(x.format != "hf" && x.format != "llmc", "--format is %q, no such format; hint: hf, llmc", x.format)
	bad.idle(x.format == "llmc", "tokenizer", "with --format llmc, which holds no tokenizer", "leave it out")
	return bad.err()
}

func (x *exportFlags) run(ctx context.Context, e *env, _ []string) error {
	if err := x.validate(); err != nil {
		return err
	}
	if err := x.outIsFree(); err != nil {
		return err
	}
	l, err := x.load(ctx, e)
	if err != nil {
		return err
	}
	w, tok := l.Weights, l.tok
	if w.Config.VocabSize == paddedVocab && tok.Name() == "gpt2" {
		w = w.Pad(tok.VocabSize())
		e.log.Info(fmt.Sprintf("%d rows that pad the vocabulary are left out", paddedVocab-tok.VocabSize()))
	}
	begins := writing(e, w.Tensors)
	if x.format == "llmc" {
		err = gpt2.WriteLLMC(x.out, w, begins)
	} else {
		if tok.Name() == "ids" {
			e.log.Warn("no tokenizer files: the model doesn't say its tokenizer, and no known one has its "+
				"vocabulary; hint: --tokenizer gpt2, bytes or a directory with its files", "vocabulary",
				w.Config.VocabSize)
		} else if own := tok.VocabSize(); own > w.Config.VocabSize {
			e.log.Warn("the tokenizer has more ids than the model", "tokenizer", tok.Name(), "ids", own, "vocabulary",
				w.Config.VocabSize)
		}
		err = train.WriteModel(x.out, w.Config, func(i int) ([]float32, error) {
			begins(i)
			return w.Tensor(i)
		}, tok, l.source.Special)
	}
	e.bars.Clear()
	if err != nil {
		return err
	}
	c := w.Config
	e.log.Info(fmt.Sprintf("%d parameters: %d layers, %d heads, %d channels, context %d, vocabulary %d",
		gpt2.ParamCount(c), c.NLayer, c.NHead, c.NEmbd, c.BlockSize, c.VocabSize))
	_, err = fmt.Fprintln(e.stdout, x.out)
	return err
}

// writing returns what is called before each of the tensors is written, and shows how far that has come.
func writing(e *env, tensors [][]float32) func(i int) {
	m, done, all := newBar(e), int64(0), int64(0)
	for _, t := range tensors {
		all += 4 * int64(len(t))
	}
	return func(i int) {
		left := time.Duration(0)
		if done > 0 {
			left = time.Duration(float64(time.Since(m.began)) * float64(all-done) / float64(done))
		}
		m.report(coming{what: "writing", done: done, all: all, word: bytesWord, left: left})
		done += 4 * int64(len(tensors[i]))
	}
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
	want := map[string]string{"hf": "directory", "llmc": "file"}[x.format]
	if info.IsDir() != (want == "directory") {
		return fmt.Errorf("--out %s: is there, and isn't a %s; hint: another --out", x.out, want)
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
