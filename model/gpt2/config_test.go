package gpt2

import (
	"math"
	"slices"
	"testing"
)

func TestCounts(t *testing.T) {
	c, ok := Named("gpt2")
	if !ok {
		t.Fatal("gpt2 is unknown")
	}
	padded := c
	padded.VocabSize = 50304
	for _, x := range []struct {
		c                         Config
		total, matrices, decaying int
	}{
		{c, 124439808, 50, 124318464},
		{padded, 124475904, 50, 124354560},
	} {
		total, matrices, decaying, vectors := 0, 0, 0, 0
		for _, p := range Table(x.c) {
			total += p.Size()
			if p.Matrix() {
				matrices++
				decaying += p.Size()
			} else {
				vectors++
			}
		}
		if total != x.total || total != ParamCount(x.c) || matrices != x.matrices || decaying != x.decaying ||
			vectors != 98 {
			t.Errorf("V=%d: %d parameters (ParamCount %d), %d in %d matrices, %d vectors", x.c.VocabSize, total,
				ParamCount(x.c), decaying, matrices, vectors)
		}
	}
	// llm.c prints this figure's 124M model with V=50304 at T=1024.
	if got := padded.FLOPsPerToken(1024); got != 803478528 {
		t.Errorf("%v FLOPs a token, want 803478528", got)
	}
	for name, want := range map[string]int{"gpt2-medium": 354823168, "gpt2-large": 774030080, "gpt2-xl": 1557611200} {
		c, ok := Named(name)
		if got := ParamCount(c); !ok || got != want || c.HeadSize() != 64 || c.Validate() != nil {
			t.Errorf("%s: %d parameters, want %d", name, got, want)
		}
	}
	if _, ok := Named("gpt3"); ok {
		t.Error("gpt3 is known")
	}
}

func TestTable(t *testing.T) {
	table := Table(odd)
	var shorts []string
	for _, p := range table {
		if !slices.Contains(shorts, p.Short) {
			shorts = append(shorts, p.Short)
		}
	}
	if !slices.Equal(shorts, llmcOrder) {
		t.Errorf("short names %v, want %v", shorts, llmcOrder)
	}
	for i, want := range map[int]Param{
		0:              {"wte.weight", "wte", -1, []int{257, 20}, false, false},
		4:              {"h.0.attn.c_attn.weight", "qkvw", 0, []int{60, 20}, true, false},
		2 + 12 + 10:    {"h.1.mlp.c_proj.weight", "fcprojw", 1, []int{20, 80}, true, false},
		2 + 2*12 + 9:   {"h.2.mlp.c_fc.bias", "fcb", 2, []int{80}, false, false},
		len(table) - 1: {"ln_f.bias", "lnfb", -1, []int{20}, false, false},
	} {
		p := table[i]
		if p.Name != want.Name || p.Short != want.Short || p.Layer != want.Layer || !slices.Equal(p.Shape,
			want.Shape) || p.Conv1D != want.Conv1D {
			t.Errorf("table[%d] is %+v, want %+v", i, p, want)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Config{NLayer: 2, NHead: 2, NEmbd: 64, BlockSize: 64, VocabSize: 256}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, x := range []struct {
		change func(c *Config)
		want   []string
	}{
		{func(c *Config) { c.NLayer = 0 }, []string{"--n-layer"}},
		{func(c *Config) { c.NHead = -1 }, []string{"--n-head"}},
		{func(c *Config) { c.NEmbd = 0 }, []string{"--n-embd"}},
		{func(c *Config) { c.BlockSize = 0 }, []string{"--block-size"}},
		{func(c *Config) { c.VocabSize = 1 << 40 }, []string{"--vocab-size"}},
		{func(c *Config) { c.NEmbd = 66 }, []string{"--n-embd", "68"}},
		{func(c *Config) { c.NHead = 3 }, []string{"--n-embd", "--n-head", "72"}},
		{func(c *Config) { c.NHead = 32 }, []string{"--n-head", "heads of 2"}},
		{func(c *Config) { c.NEmbd, c.NHead = 20, 2 }, []string{"heads of 10"}},
		{func(c *Config) { c.NEmbd, c.NHead = 264, 2 }, []string{"heads of 132"}},
	} {
		c := good
		x.change(&c)
		wantError(t, c.Validate(), x.want...)
	}
}

func TestPadAndGet(t *testing.T) {
	w := numbered(odd)
	up := w.Pad(384)
	if err := up.Validate(); err != nil {
		t.Fatal(err)
	}
	if up.Config.VocabSize != 384 || w.Config.VocabSize != 257 {
		t.Errorf("vocabularies %d and %d", up.Config.VocabSize, w.Config.VocabSize)
	}
	rows := up.Get("transformer.wte.weight")
	for i, v := range rows[257*20:] {
		mean := 0.0
		for r := range 257 {
			mean += float64(rows[r*20+i%20]) / 257
		}
		if math.Abs(float64(v)-mean) > 1e-6*math.Abs(mean) {
			t.Fatalf("padding[%d] = %v, the mean of its column is %v", i, v, mean)
		}
	}
	if err := sameBits(up.Pad(257), w); err != nil {
		t.Error(err)
	}
	down := w.Pad(100)
	if err := down.Validate(); err != nil {
		t.Error(err)
	}
	if w.Pad(0) != w || w.Pad(257) != w {
		t.Error("Pad to nothing or to the same size copied")
	}
	if w.Get("h.3.ln_1.weight") != nil || len(w.Get("h.2.ln_1.weight")) != 20 {
		t.Error("Get found a layer too many or too few")
	}
}
