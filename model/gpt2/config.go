package gpt2

import (
	"fmt"
	"strconv"
)

// Config is the shape of a GPT-2 model. Its JSON form has the names of a run's settings.
type Config struct {
	NLayer    int `json:"n_layer"`    // L: transformer blocks
	NHead     int `json:"n_head"`     // NH: attention heads a block
	NEmbd     int `json:"n_embd"`     // C: channels of the residual stream
	BlockSize int `json:"block_size"` // longest context in tokens, rows of wpe
	VocabSize int `json:"vocab_size"` // V: rows of wte, classes of the tied output layer
}

// Ceilings far above any GPT-2. They keep every size derived from a Config within an int64 and a table within a few MB,
// so that a corrupt file ends in an error and not in an overflow or an allocation of terabytes.
const (
	maxLayer = 1 << 12
	maxEmbd  = 1 << 16
	maxRows  = 1 << 24

	minHeadSize = 4
	maxHeadSize = 128 // a head's row must fit the attention kernels' registers and workgroup memory
)

// Validate reports the first reason why this program cannot build the model c, naming the flag to change.
func (c Config) Validate() error {
	for _, f := range []struct {
		flag     string
		got, max int
	}{
		{"--n-layer", c.NLayer, maxLayer},
		{"--n-head", c.NHead, maxEmbd},
		{"--n-embd", c.NEmbd, maxEmbd},
		{"--block-size", c.BlockSize, maxRows},
		{"--vocab-size", c.VocabSize, maxRows},
	} {
		if f.got < 1 || f.got > f.max {
			return fmt.Errorf("model shape: %s is %d, want 1 to %d; hint: GPT-2 124M has --n-layer 12 --n-head 12 "+
				"--n-embd 768 --block-size 1024 --vocab-size 50257", f.flag, f.got, f.max)
		}
	}
	if c.NEmbd%4 != 0 {
		return fmt.Errorf("model shape: --n-embd is %d, want a multiple of 4 (the kernels load four values at a "+
			"time); hint: use --n-embd %d", c.NEmbd, (c.NEmbd+3)/4*4)
	}
	if c.NEmbd%c.NHead != 0 {
		return fmt.Errorf("model shape: --n-embd %d does not divide into --n-head %d heads; hint: use --n-embd %d",
			c.NEmbd, c.NHead, roundUp(c.NEmbd, 4*c.NHead))
	}
	if hs := c.HeadSize(); hs%4 != 0 || hs < minHeadSize || hs > maxHeadSize {
		return fmt.Errorf("model shape: --n-embd %d over --n-head %d gives heads of %d channels, want a multiple of "+
			"4 from %d to %d; hint: GPT-2 uses 64 channels a head", c.NEmbd, c.NHead, hs, minHeadSize, maxHeadSize)
	}
	return nil
}

// HeadSize returns the channels of one attention head, HS = C/NH; 0 if there are no heads.
func (c Config) HeadSize() int {
	if c.NHead == 0 {
		return 0
	}
	return c.NEmbd / c.NHead
}

// Named returns the shape of a published model: gpt2 (124M), gpt2-medium (350M), gpt2-large (774M) or gpt2-xl (1558M).
func Named(name string) (Config, bool) {
	shape, ok := map[string][3]int{"gpt2": {12, 12, 768}, "gpt2-medium": {24, 16, 1024}, "gpt2-large": {36, 20, 1280},
		"gpt2-xl": {48, 25, 1600}}[name]
	if !ok {
		return Config{}, false
	}
	return Config{NLayer: shape[0], NHead: shape[1], NEmbd: shape[2], BlockSize: 1024, VocabSize: 50257}, true
}

// FLOPsPerToken returns the floating point operations of one training token (forward and backward) in a sequence of T
// tokens, as llm.c counts them for its utilisation figures:
//
//	6 N + 6 L C T
//
// N is every parameter: wte counts because the tied output layer multiplies by it (wpe and the vectors, which multiply
// nothing, are 0.7% of 124M). A multiply-add is 2, and backward costs twice forward, hence 6. Attention's QK^T and AV
// are 2 * 2 C T forward and 12 C T with backward, of which the causal mask leaves half.
func (c Config) FLOPsPerToken(T int) float64 {
	return 6*float64(ParamCount(c)) + 6*float64(c.NLayer)*float64(c.NEmbd)*float64(T)
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// Param describes one tensor: a parameter, or one of an optimizer's state.
type Param struct {
	Name string // Hugging Face's name without "transformer.": h.0.attn.c_attn.weight
	// llm.c's name, shared by all layers: wte wpe ln1w ln1b qkvw qkvb attprojw attprojb ln2w ln2b fcw fcb fcprojw
	// fcprojb lnfw lnfb
	Short  string
	Layer  int   // block, from 0; -1 outside the blocks
	Shape  []int // in memory: embeddings (rows,C), Linear weights (OC,K), vectors (C)
	Conv1D bool  // files hold the transpose (K,OC), as Hugging Face's do

	Squares bool // a mean of squares, of an optimizer's state: no value is below 0
}

// Size returns the number of elements.
func (p Param) Size() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Matrix reports whether the tensor has two dimensions. Under --decay matrices these and no others decay, wte and wpe
// included.
func (p Param) Matrix() bool { return len(p.Shape) == 2 }

// fileShape is the shape in files.
func (p Param) fileShape() []int {
	if p.Conv1D {
		return []int{p.Shape[1], p.Shape[0]}
	}
	return p.Shape
}

// filePlace returns the indices, in fileShape, of the value at a place in memory.
func (p Param) filePlace(at int) []int {
	last := p.Shape[len(p.Shape)-1]
	switch {
	case len(p.Shape) == 1:
		return []int{at}
	case p.Conv1D:
		return []int{at % last, at / last}
	}
	return []int{at / last, at % last}
}

// Table lists a model's parameters in the order of PyTorch's named_parameters: wte, wpe, the blocks, ln_f. The output
// layer is tied to wte and has no entry. c must be valid (see [Config.Validate]).
func Table(c Config) []Param {
	C := c.NEmbd
	var t []Param
	add := func(l int, name, short string, shape ...int) {
		if l >= 0 {
			name = "h." + strconv.Itoa(l) + "." + name
		}
		t = append(t, Param{Name: name, Short: short, Layer: l, Shape: shape, Conv1D: l >= 0 && len(shape) == 2})
	}
	pair := func(l int, name, short string, shape ...int) { // weight and bias
		add(l, name+".weight", short+"w", shape...)
		add(l, name+".bias", short+"b", shape[0])
	}
	add(-1, "wte.weight", "wte", c.VocabSize, C)
	add(-1, "wpe.weight", "wpe", c.BlockSize, C)
	for l := range c.NLayer {
		pair(l, "ln_1", "ln1", C)
		pair(l, "attn.c_attn", "qkv", 3*C, C)
		pair(l, "attn.c_proj", "attproj", C, C)
		pair(l, "ln_2", "ln2", C)
		pair(l, "mlp.c_fc", "fc", 4*C, C)
		pair(l, "mlp.c_proj", "fcproj", C, 4*C)
	}
	pair(-1, "ln_f", "lnf", C)
	return t
}

// ParamCount returns the number of trained values, the tied matrix counted once: 124,439,808 for gpt2.
//
//	V C + T C + L (12 C^2 + 13 C) + 2 C
func ParamCount(c Config) int {
	C := c.NEmbd
	return (c.VocabSize+c.BlockSize)*C + c.NLayer*(12*C*C+13*C) + 2*C
}
