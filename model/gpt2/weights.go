package gpt2

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/parallel"
)

// Weights holds the values of every parameter of a model.
type Weights struct {
	Config  Config
	Tensors [][]float32 // Tensors[i] belongs to Table(Config)[i], in that entry's shape, row-major
}

// Get returns the values of the parameter with Hugging Face's name, with or without "transformer."; nil if there is
// none. The slice is the weights' own.
func (w *Weights) Get(name string) []float32 {
	name = strings.TrimPrefix(name, filePrefix)
	for i, p := range Table(w.Config) {
		if p.Name == name && i < len(w.Tensors) {
			return w.Tensors[i]
		}
	}
	return nil
}

// Tensor returns the values of parameter i of the table. The error is nil.
func (w *Weights) Tensor(i int) ([]float32, error) { return w.Tensors[i], nil }

// Validate reports whether the tensors are those of the configuration's table.
func (w *Weights) Validate() error {
	if w == nil {
		return fmt.Errorf("weights: got none; hint: Init returns none for an invalid configuration")
	}
	if err := w.Config.Validate(); err != nil {
		return err
	}
	table := Table(w.Config)
	if len(w.Tensors) != len(table) {
		return fmt.Errorf("weights: got %d tensors, want %d for %d layers; hint: Tensors follows Table(Config)",
			len(w.Tensors), len(table), w.Config.NLayer)
	}
	for i, p := range table {
		if len(w.Tensors[i]) != p.Size() {
			return fmt.Errorf("weights: tensor %s: got %d values, want %d for shape %v; hint: Tensors follows "+
				"Table(Config)", p.Name, len(w.Tensors[i]), p.Size(), p.Shape)
		}
	}
	return nil
}

// CheckFinite reports the first value that is NaN or infinite, by its tensor and its place in it as Hugging Face's
// files have it. path is where the weights are from.
func (w *Weights) CheckFinite(path string) error {
	table := Table(w.Config)
	return parallel.Do(len(table), func(i int) error {
		if at := NotFinite(w.Tensors[i]); at >= 0 {
			return fileError(path, "these weights diverged, or overflowed in float16: take an earlier checkpoint, or "+
				"save them as float32", "tensor %s: value %v of shape %v is %v, want finite numbers", table[i].Name,
				table[i].filePlace(at), table[i].fileShape(), w.Tensors[i][at])
		}
		return nil
	})
}

// NotFinite returns the place of the first value that is NaN or infinite, -1 if there is none.
func NotFinite(x []float32) int {
	for i, v := range x {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return i
		}
	}
	return -1
}

// Crop returns the weights with a context of block tokens, at most the present one: the positions behind it are
// dropped. The results for shorter sequences stay as they are. All tensors share memory with w.
func (w *Weights) Crop(block int) *Weights {
	if block < 1 || block >= w.Config.BlockSize || w.Validate() != nil {
		return w
	}
	out := &Weights{Config: w.Config, Tensors: slices.Clone(w.Tensors)}
	out.Config.BlockSize = block
	n := block * w.Config.NEmbd
	out.Tensors[1] = w.Tensors[1][:n:n]
	return out
}

// Pad returns the weights with a vocabulary of vocab tokens: rows are added to wte, or its last rows dropped, as
// between 50257 and its padded size 50304. Each row that is added is the mean of w's V rows, so its logit is the mean
// of theirs and, exp being convex, n such rows add at most log(1 + n/V) to a loss. Rows of zeros would not do: their
// logits are 0, where GPT-2's own are far below. All other tensors, and wte where it shrinks, share memory with w. A
// vocab below 1, or weights that aren't valid, leave everything as it is.
func (w *Weights) Pad(vocab int) *Weights {
	if vocab < 1 || vocab > maxRows || vocab == w.Config.VocabSize || w.Validate() != nil {
		return w
	}
	out := &Weights{Config: w.Config, Tensors: append([][]float32(nil), w.Tensors...)}
	out.Config.VocabSize = vocab
	n := vocab * w.Config.NEmbd
	wte := w.Tensors[0]
	if n <= len(wte) {
		out.Tensors[0] = wte[:n:n]
	} else {
		out.Tensors[0] = append(make([]float32, 0, n), wte...)
		mean := meanRow(wte, w.Config.NEmbd)
		for range vocab - w.Config.VocabSize {
			out.Tensors[0] = append(out.Tensors[0], mean...)
		}
	}
	return out
}

// meanRow returns the mean of rows of c values.
func meanRow(rows []float32, c int) []float32 {
	sum := make([]float64, c)
	for i, v := range rows {
		sum[i%c] += float64(v)
	}
	mean := make([]float32, c)
	for i, v := range sum {
		mean[i] = float32(v * float64(c) / float64(len(rows)))
	}
	return mean
}

func newWeights(c Config) *Weights {
	table := Table(c)
	w := &Weights{Config: c, Tensors: make([][]float32, len(table))}
	for i, p := range table {
		w.Tensors[i] = make([]float32, p.Size())
	}
	return w
}
