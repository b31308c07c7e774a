package bench

import (
	"fmt"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// Shape is the model and the batch whose kernels are measured. Heads have C/NH channels.
type Shape struct {
	B, T     int // sequences of a micro-step, tokens of each
	C, NH, V int // channels, heads, vocabulary
	Params   int // values of the optimizer's step
	// of matrices and activations; the residual stream, statistics, gradients of parameters and moments are float32
	Data gpu.Storage
}

// Row is one kernel at one shape.
type Row struct {
	Name   string  `json:"name"` // the op, and which use of it if there are several
	Shape  string  `json:"shape"`
	DType  string  `json:"dtype"`
	MS     float64 `json:"ms"`
	GFLOPs float64 `json:"gflops"`
	GBs    float64 `json:"gb_s"`
	OfPeak float64 `json:"of_peak"` // of the rate that bounds it, see Peak.OfPeak; set by Report.SetPeak

	Result `json:"-"`
}

// An adder is an op with its tensors.
type adder interface{ AddTo(p *op.Builder) }

// kernel is a row to measure: ops makes the op's tensors and returns what is timed.
type kernel struct {
	name, shape string
	ops         func(b *scratch) []adder
	flops       float64 // that the op needs, where its kernels make products twice; 0: what they make
}

// Kernels measures every op whose name contains filter at the shape s, with the tiles of tuning, those of a training
// step first and in its order. Each row is passed to each as soon as it is known; an error of each ends it. Tensors are
// freed at the end.
func Kernels(d *gpu.Device, tuning op.Tuning, s Shape, filter string, each func(Row) error) ([]Row, error) {
	b := newScratch(d, s)
	b.setup.Tuning = tuning
	defer b.free()
	rows := []Row{}
	for _, k := range kernels(d, b.setup, s) {
		if !strings.Contains(k.name, filter) {
			continue
		}
		ops := k.ops(b)
		if b.err != nil {
			return rows, fmt.Errorf("%s: %w", k.name, b.err)
		}
		r, err := Measure(d, k.name, func(p *gpu.Program) {
			for _, o := range ops {
				o.AddTo(&op.Builder{Program: p, Setup: b.setup})
			}
		})
		if err != nil {
			return rows, err
		}
		if k.flops > 0 {
			r.FLOPs = k.flops
		}
		row := Row{Name: k.name, Shape: k.shape, DType: s.Data.String(), MS: r.Time.Seconds() * 1e3, GFLOPs: r.GFLOPs(),
			GBs: r.GBs(), Result: r}
		rows = append(rows, row)
		if err := each(row); err != nil {
			return rows, err
		}
	}
	if len(rows) == 0 {
		return rows, fmt.Errorf("no kernel's name contains %q; hint: matmul, attention, layernorm, …", filter)
	}
	return rows, nil
}

// kernels lists every op.
func kernels(d *gpu.Device, setup *op.Setup, s Shape) []kernel {
	n, c, hs := s.B*s.T, s.C, s.C/max(s.NH, 1)
	var list []kernel
	add := func(name, shape string, ops func(b *scratch) []adder) {
		list = append(list, kernel{name: name, shape: shape, ops: ops})
	}
	rows := fmt.Sprintf("N=%d C=%d", n, c)
	heads := fmt.Sprintf("B=%d T=%d NH=%d HS=%d", s.B, s.T, s.NH, hs)
	flat := min(s.Params, int(d.Limits.MaxBufferSize/4)) / 4 * 4

	// Activations of one width share a tensor; inputs and outputs are apart, and so is the stream, which is float32.
	in := func(b *scratch, width int) gpu.Tensor { return b.data(fmt.Sprint("in", width), n, width) }
	out := func(b *scratch, width int) gpu.Tensor { return b.data(fmt.Sprint("out", width), n, width) }
	weight := func(b *scratch, in, out int) gpu.Tensor { return b.data(fmt.Sprintf("w%dx%d", out, in), out, in) }
	res := func(b *scratch) gpu.Tensor { return b.f32("res", n, c) }
	res2 := func(b *scratch) gpu.Tensor { return b.f32("res2", n, c) }

	add("embedding_forward", fmt.Sprintf("%s V=%d", rows, s.V), func(b *scratch) []adder {
		return []adder{op.EmbeddingForward{Out: res(b), WTE: b.f32("wte", s.V, c), WPE: b.f32("wpe", s.T, c),
			Tokens: b.ids("tokens", s.V, n), T: s.T}}
	})
	add("layernorm_forward", rows, func(b *scratch) []adder {
		return []adder{op.LayerNormForward{Out: in(b, c), Mean: b.f32("mean", n), Rstd: b.f32("rstd", n), X: res(b),
			W: b.f32("w", c), B: b.f32("b", c)}}
	})

	// The four linear layers of a block.
	layers := []struct {
		name    string
		in, out int
	}{{"qkv", c, 3 * c}, {"attproj", c, c}, {"fc", c, 4 * c}, {"fcproj", 4 * c, c}}
	linear := func(in, out int) string { return fmt.Sprintf("N=%d K=%d OC=%d", n, in, out) }
	forward := func(i int) {
		l := layers[i]
		add("matmul_forward/"+l.name, linear(l.in, l.out), func(b *scratch) []adder {
			m := op.MatmulForward{Out: out(b, l.out), X: in(b, l.in), W: weight(b, l.in, l.out),
				Bias: b.f32(fmt.Sprint("bias", l.out), l.out)}
			switch l.name {
			case "attproj", "fcproj":
				m.Out, m.Residual = res2(b), res(b)
			case "fc":
				m.Pre = b.data("pre", n, l.out)
			}
			return []adder{m}
		})
	}
	forward(0)
	add("attention_forward", heads, func(b *scratch) []adder {
		return []adder{op.AttentionForward{Out: out(b, c), LSE: b.f32("lse", s.B, s.NH, s.T), QKV: in(b, 3*c),
			NH: s.NH}}
	})
	forward(1)
	forward(2)
	forward(3)

	// The last layer in the rows of one chunk and in windows of the vocabulary, as op.Classifier takes it.
	r, vp := setup.LogitsShape(n, s.V)
	head := fmt.Sprintf("N=%d K=%d OC=%d", r, c, s.V)
	add("matmul_forward/classifier", head, func(b *scratch) (ops []adder) {
		wte := b.data("wte data", s.V, c)
		for _, w := range op.Windows(d, wte) {
			ops = append(ops, op.MatmulForward{Out: b.data("logits", r, vp), X: in(b, c).Rows(0, r),
				W: wte.Rows(w.Lo, w.Hi), Col: w.Lo})
		}
		return ops
	})
	add("cross_entropy", fmt.Sprintf("N=%d V=%d", r, s.V), func(b *scratch) []adder {
		return []adder{op.CrossEntropy{Losses: b.f32("losses", n).Rows(0, r), Logits: b.data("logits", r, vp),
			Targets: b.ids("targets", s.V, n).Rows(0, r), V: s.V, Scale: 1 / float32(n), Backward: true}}
	})
	add("mean_loss", fmt.Sprintf("N=%d", n), func(b *scratch) []adder {
		return []adder{op.MeanLoss{Out: b.f32("loss", 1), Losses: b.f32("losses", n), Scale: 1 / float32(n)}}
	})
	add("matmul_backward_dx/classifier", head, func(b *scratch) (ops []adder) {
		wte := b.data("wte data", s.V, c)
		for _, w := range op.Windows(d, wte) {
			ops = append(ops, op.MatmulBackwardDX{DX: res2(b).Rows(0, r), DOut: b.data("logits", r, vp),
				W: wte.Rows(w.Lo, w.Hi), Col: w.Lo, Add: w.Lo > 0})
		}
		return ops
	})
	add("matmul_backward_dw/classifier", head, func(b *scratch) (ops []adder) {
		dwte := b.f32("dwte", s.V, c)
		for _, w := range op.Windows(d, dwte) {
			ops = append(ops, op.MatmulBackwardDW{DW: dwte.Rows(w.Lo, w.Hi), DOut: b.data("logits", r, vp),
				X: in(b, c).Rows(0, r), Col: w.Lo})
		}
		return ops
	})

	add("layernorm_backward", rows, func(b *scratch) []adder {
		return []adder{op.LayerNormBackward{
			DX: res(b), DW: b.f32("dw", c), DB: b.f32("db", c), DOut: in(b, c), X: res2(b), W: b.f32("w", c),
			Mean: b.f32("mean", n), Rstd: b.f32("rstd", n), Partial: b.f32("partial", 2*op.PartialLen(n, c)),
		}}
	})
	backward := func(i int) {
		l := layers[i]
		add("matmul_backward_dw/"+l.name, linear(l.in, l.out), func(b *scratch) []adder {
			return []adder{op.MatmulBackwardDW{DW: b.f32(fmt.Sprintf("dw%dx%d", l.out, l.in), l.out, l.in),
				DOut: out(b, l.out), X: in(b, l.in)}}
		})
		add("bias_backward/"+l.name, fmt.Sprintf("N=%d OC=%d", n, l.out), func(b *scratch) []adder {
			return []adder{op.BiasBackward{DB: b.f32(fmt.Sprint("dbias", l.out), l.out), DOut: out(b, l.out),
				Partial: b.f32(fmt.Sprint("partial", l.out), op.PartialLen(n, l.out))}}
		})
		add("matmul_backward_dx/"+l.name, linear(l.in, l.out), func(b *scratch) []adder {
			m := op.MatmulBackwardDX{DX: in(b, l.in), DOut: out(b, l.out), W: weight(b, l.in, l.out)}
			if l.name == "fcproj" {
				m.Pre = b.data("pre", n, l.in)
			}
			return []adder{m}
		})
	}
	backward(3)
	backward(2)
	backward(1)
	add("attention_backward", heads, func(b *scratch) []adder {
		lse := b.f32("lse", s.B, s.NH, s.T)
		return []adder{op.AttentionBackward{DQKV: out(b, 3*c), DOut: in(b, c), QKV: in(b, 3*c), Out: out(b, c),
			LSE: lse, D: b.f32("d", s.B, s.NH, s.T), NH: s.NH}}
	})
	// five products of the causal half; the scores are made again
	list[len(list)-1].flops = 5 * float64(n) * float64(s.T) * float64(c)
	backward(0)
	add("embedding_backward", fmt.Sprintf("%s V=%d", rows, s.V), func(b *scratch) []adder {
		order, starts := b.buckets("tokens", s.V, n)
		return []adder{op.EmbeddingBackward{
			DWTE: b.f32("dwte", s.V, c), DWPE: b.f32("dwpe", s.T, c), DOut: res(b), Order: order, Starts: starts,
			Tokens: b.ids("tokens", s.V, n), T: s.T,
		}}
	})

	add("gradient_norm", fmt.Sprintf("n=%d", flat), func(b *scratch) []adder {
		g := []gpu.Tensor{b.zeros("grads", flat)}
		return []adder{op.GradientNorm{Out: b.zeros("norm", 4), Grads: g, Partials: b.zeros("norm partials",
			op.GradientNormPartials(d, g)), MaxNorm: 1}}
	})
	add("adamw", fmt.Sprintf("n=%d", flat), func(b *scratch) []adder {
		a := op.AdamW{
			P: b.zeros("params", flat), G: b.zeros("grads", flat), M: b.zeros("m", flat), V: b.zeros("v", flat),
			Scalars: b.f32("scalars", 8), Norm: b.zeros("norm", 4), Decay: true,
		}
		if s.Data != gpu.F32 {
			a.Packed = b.make("packed", s.Data, nil, flat)
		}
		return []adder{a}
	})
	// Two blocks' largest matrices share the dispatches, four where the scratch holds them.
	add("muon", fmt.Sprintf("2 of (%d,%d)", 4*c, c), func(b *scratch) []adder {
		m := op.Muon{Rows: 4 * c, Cols: c, Scalars: b.f32("muon scalars", 4), Norm: b.zeros("norm", 4), Mu: 0.95}
		for i := range 2 {
			of := func(what string) gpu.Tensor { return b.f32(fmt.Sprint(what, " of muon ", i), 4*c, c) }
			part := op.MuonPart{W: of("w"), M: of("m"), G: of("g")}
			if s.Data != gpu.F32 {
				part.Packed = b.make(fmt.Sprint("packed of muon ", i), s.Data, nil, 4*c, c)
			}
			m.Parts = append(m.Parts, part)
		}
		values := b.setup.MuonScratchLen(2, 4*c, c)
		m.Scratch = op.MuonScratch{X: b.zeros("muon x", values), Y: b.zeros("muon y", values),
			Z: b.zeros("muon z", values), Scale: b.zeros("muon scale", 2)}
		return []adder{m}
	})

	// sampling, a token at a time
	add("matmul_forward/one_row", fmt.Sprintf("N=1 K=%d OC=%d", c, 4*c), func(b *scratch) []adder {
		return []adder{op.MatmulForward{Out: out(b, 4*c).Rows(0, 1), X: in(b, c).Rows(0, 1), W: weight(b, c, 4*c)}}
	})
	cache := func(b *scratch) gpu.Tensor { return b.data("cache", 1, s.T, 2*c) }
	add("cache_append", fmt.Sprintf("T=%d C=%d", s.T, c), func(b *scratch) []adder {
		return []adder{op.CacheAppend{Cache: cache(b), QKV: in(b, 3*c).Rows(0, s.T), First: b.u32("first", 0), T: s.T}}
	})
	add("attention_decode", fmt.Sprintf("S=%d NH=%d HS=%d", s.T, s.NH, hs), func(b *scratch) []adder {
		return []adder{op.AttentionDecode{Out: out(b, c).Rows(0, 1), QKV: in(b, 3*c).Rows(0, 1), Cache: cache(b),
			Positions: b.u32("position", uint32(s.T-1)), NH: s.NH}}
	})
	add("pack", rows, func(b *scratch) []adder { return []adder{op.Pack{Out: out(b, c), X: res(b)}} })
	add("gelu_forward", fmt.Sprintf("N=%d C=%d", n, 4*c),
		func(b *scratch) []adder { return []adder{op.GELUForward{Out: out(b, 4*c), X: in(b, 4*c)}} })
	add("gather_rows", rows, func(b *scratch) []adder {
		return []adder{op.GatherRows{Out: out(b, c), X: in(b, c), Rows: b.ids("rows", n, n)}}
	})
	return list
}

// scratch holds the tensors of the kernels measured so far, by name, and the first error of making one.
type scratch struct {
	dev     *gpu.Device
	setup   *op.Setup
	storage gpu.Storage // of data
	tensors map[string]gpu.Tensor
	err     error
}

func newScratch(d *gpu.Device, s Shape) *scratch {
	return &scratch{dev: d, setup: op.NewSetup(d), storage: s.Data, tensors: map[string]gpu.Tensor{}}
}

func (b *scratch) free() {
	b.dev.Wait()
	b.setup.Free()
	for _, t := range b.tensors {
		b.dev.Free(t)
	}
}

// make returns the tensor of that name, made and filled at its first use.
func (b *scratch) make(name string, storage gpu.Storage, fill func(t gpu.Tensor) error, shape ...int) gpu.Tensor {
	t, ok := b.tensors[name]
	if ok || b.err != nil {
		return t
	}
	if t, b.err = b.dev.NewTensor(gpu.Scratch, name, storage, shape...); b.err != nil {
		return t
	}
	b.tensors[name] = t
	if fill != nil {
		b.err = fill(t)
	}
	return t
}

// zeros is float32 zeros, as the device makes them.
func (b *scratch) zeros(name string, shape ...int) gpu.Tensor {
	return b.make(name, gpu.F32, nil, shape...)
}

// f32 is float32 noise: some GPUs save power, and so gain speed, where all bits are alike.
func (b *scratch) f32(name string, shape ...int) gpu.Tensor { return b.noise(name, gpu.F32, shape) }

// data is noise in the storage of matrices and activations.
func (b *scratch) data(name string, shape ...int) gpu.Tensor { return b.noise(name, b.storage, shape) }

func (b *scratch) noise(name string, storage gpu.Storage, shape []int) gpu.Tensor {
	return b.make(name, storage, func(t gpu.Tensor) error { return b.dev.Upload(t, noise(t.Len())) }, shape...)
}

// noise returns n values in (-0.1,0.1).
func noise(n int) []float32 {
	values := make([]float32, n)
	state := uint32(1337)
	for i := range values {
		state = state*1664525 + 1013904223 // of Numerical Recipes, good enough
		values[i] = 0.2 * (float32(state>>8)/(1<<24) - 0.5)
	}
	return values
}

// ids is u32 numbers below limit, nearly all distinct where limit is large.
func (b *scratch) ids(name string, limit, n int) gpu.Tensor { return b.u32(name, tokens(limit, n)...) }

func (b *scratch) u32(name string, values ...uint32) gpu.Tensor {
	return b.make(name, gpu.U32, func(t gpu.Tensor) error { return b.dev.UploadU32(t, values) }, len(values))
}

func tokens(limit, n int) []uint32 {
	ids := make([]uint32, n)
	for i := range ids {
		ids[i] = uint32(uint64(i) * 2654435761 % uint64(limit))
	}
	return ids
}

// buckets is what op.SortTokens makes of the ids of the same limit and n.
func (b *scratch) buckets(name string, limit, n int) (order, starts gpu.Tensor) {
	o, s := make([]uint32, n), make([]uint32, n+1)
	op.SortTokens(tokens(limit, n), o, s)
	return b.u32(name+" order", o...), b.u32(name+" starts", s...)
}
