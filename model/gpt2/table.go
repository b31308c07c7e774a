package gpt2

import "strconv"

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
	t := make([]Param, 0, 4+12*max(c.NLayer, 0))
	t = append(t,
		Param{Name: "wte.weight", Short: "wte", Layer: -1, Shape: []int{c.VocabSize, C}},
		Param{Name: "wpe.weight", Short: "wpe", Layer: -1, Shape: []int{c.BlockSize, C}})
	for l := range c.NLayer {
		vector := func(name, short string, n int) {
			t = append(t, Param{Name: "h." + strconv.Itoa(l) + "." + name, Short: short, Layer: l, Shape: []int{n}})
		}
		norm := func(name, short string) {
			vector(name+".weight", short+"w", C)
			vector(name+".bias", short+"b", C)
		}
		linear := func(name, short string, OC, K int) {
			t = append(t, Param{Name: "h." + strconv.Itoa(l) + "." + name + ".weight", Short: short + "w", Layer: l,
				Shape: []int{OC, K}, Conv1D: true})
			vector(name+".bias", short+"b", OC)
		}
		norm("ln_1", "ln1")
		linear("attn.c_attn", "qkv", 3*C, C)
		linear("attn.c_proj", "attproj", C, C)
		norm("ln_2", "ln2")
		linear("mlp.c_fc", "fc", 4*C, C)
		linear("mlp.c_proj", "fcproj", C, 4*C)
	}
	return append(t,
		Param{Name: "ln_f.weight", Short: "lnfw", Layer: -1, Shape: []int{C}},
		Param{Name: "ln_f.bias", Short: "lnfb", Layer: -1, Shape: []int{C}})
}

// ParamCount returns the number of trained values, the tied matrix counted once: 124,439,808 for gpt2.
//
//	V C + T C + L (12 C^2 + 13 C) + 2 C
func ParamCount(c Config) int {
	C := c.NEmbd
	return (c.VocabSize+c.BlockSize)*C + c.NLayer*(12*C*C+13*C) + 2*C
}
