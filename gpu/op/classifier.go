package op

import (
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// Classifier is the fused last linear layer, softmax and cross-entropy, forward and backward, in chunks of rows, so
// that (N,V) logits never exist: memory is Logits' (R,Vp). A chunk of r rows is
//
//	Logits  = X @ WTE^T
//	Losses  = cross-entropy of Logits and Targets, one a row, not scaled
//	Logits  = (softmax(Logits) - onehot(Targets)) * Scale
//	DX      = Logits @ WTE
//	DWTE   += Logits^T @ X
//
// and WTE and DWTE are taken in windows of rows where they exceed a binding.
//
// X, WTE and Logits share a storage, in which both the logits and their gradient are kept; what is summed is float32.
type Classifier struct {
	// (N) (N,C) (V,C) float32: DX overwritten, DWTE accumulated; both none: only losses (evaluation)
	Losses, DX, DWTE gpu.Tensor
	X, WTE           gpu.Tensor // (N,C) (V,C)
	Targets          gpu.Tensor // (N) u32, below V
	Logits           gpu.Tensor // scratch (R,Vp): R rows a chunk, Vp >= V rounded up to 4 (LogitsShape)
	Scale            float32    // of the gradients: 1/(N*accumulation steps)
}

// LogitsShape returns the rows of a chunk and the row stride of Classifier's Logits for n rows of v classes: vp is v
// rounded up to a multiple of 64, r is n or else a multiple of the target's LogitsRows that shares n evenly among as
// few chunks as the tuning or else the target allows, and the device's binding limit.
func (s *Setup) LogitsShape(n, v int) (r, vp int) {
	vp = ceilDiv(v, windowRows) * windowRows
	unit := max(s.Target.LogitsRows, windowRows)
	if s.mostLogits(v) < unit {
		unit = windowRows
	}
	most := int(s.Target.Logits) / (4 * vp)
	if t := s.Tuning[classifierClass(n, v)].Classifier; t != nil {
		most = t.Rows
	}
	most = max(min(most, s.mostLogits(v))/unit*unit, unit)
	if n <= most {
		return n, vp
	}
	return ceilDiv(ceilDiv(n, ceilDiv(n, most)), unit) * unit, vp
}

// mostLogits returns the rows of logits that a binding and a buffer hold.
func (s *Setup) mostLogits(v int) int {
	row := 4 * ceilDiv(v, windowRows) * windowRows
	return int(min(s.dev.Limits.MaxBindingSize, s.dev.Limits.MaxBufferSize)) / row
}

// AddTo checks shapes and appends the dispatches of every chunk. C % 4 == 0.
func (op Classifier) AddTo(p *Builder) {
	const name = "classifier"
	n, c, v := op.X.Dim(0), op.X.Dim(1), op.WTE.Dim(0)
	r, stride := op.Logits.Dim(0), op.Logits.Dim(1)
	p.Want(name, "losses", op.Losses, n)
	p.Want(name, "x", op.X, n, c)
	p.Want(name, "wte", op.WTE, v, c)
	p.Want(name, "targets", op.Targets, n)
	p.Want(name, "logits", op.Logits, r, stride)
	backward := !op.DX.None() || !op.DWTE.None()
	if backward {
		p.Want(name, "dx", op.DX, n, c)
		p.Want(name, "dwte", op.DWTE, v, c)
		if op.DX.Storage() != gpu.F32 {
			p.Fail("%s: dx is %v, want float32: windows of the vocabulary add to it", name, op.DX)
		}
	}
	if r < n && r%windowRows != 0 {
		p.Fail("%s: logits of %d rows for %d, want all or a multiple of %d", name, r, n, windowRows)
	}
	if stride%4 != 0 || stride < ceilDiv(v, 4)*4 {
		p.Fail("%s: logits of %d columns for %d, want a multiple of 4 that holds them", name, stride, v)
	}
	if p.Err() != nil {
		return
	}
	if backward {
		p.tuned(func() Use { return op.use(p.Setup) }) // LogitsShape has taken the tile
	}
	for lo := 0; lo < n; lo += r {
		hi := min(lo+r, n)
		x, logits := op.X.Rows(lo, hi), op.Logits.Rows(0, hi-lo)
		for _, w := range Windows(p.Device(), op.WTE) {
			MatmulForward{Out: logits, X: x, W: op.WTE.Rows(w.Lo, w.Hi), Col: w.Lo}.AddTo(p)
		}
		CrossEntropy{
			Losses: op.Losses.Rows(lo, hi), Logits: logits, Targets: op.Targets.Rows(lo, hi), V: v, Scale: op.Scale,
			Backward: backward,
		}.AddTo(p)
		if !backward {
			continue
		}
		for _, w := range Windows(p.Device(), op.WTE) {
			MatmulBackwardDX{DX: op.DX.Rows(lo, hi), DOut: logits, W: op.WTE.Rows(w.Lo, w.Hi), Col: w.Lo,
				Add: w.Lo > 0}.AddTo(p)
		}
		for _, w := range Windows(p.Device(), op.DWTE) {
			MatmulBackwardDW{DW: op.DWTE.Rows(w.Lo, w.Hi), DOut: logits, X: x, Col: w.Lo}.AddTo(p)
		}
	}
}

// CrossEntropy is the softmax and the loss of rows of logits, and with Backward, in their place, their gradient:
//
//	Losses = log(sum(exp(Logits))) - Logits[Targets]
//	Logits = (softmax(Logits) - onehot(Targets)) * Scale, 0 in columns past V
type CrossEntropy struct {
	Losses   gpu.Tensor // (N)
	Logits   gpu.Tensor // (N,Vp), Vp >= V a multiple of 4
	Targets  gpu.Tensor // (N) u32, below V
	V        int
	Scale    float32
	Backward bool
}

// AddTo checks shapes and appends the dispatch.
func (op CrossEntropy) AddTo(p *Builder) {
	const name = "cross_entropy"
	n, stride := op.Logits.Dim(0), op.Logits.Dim(1)
	p.Want(name, "losses", op.Losses, n)
	p.Want(name, "logits", op.Logits, n, stride)
	p.Want(name, "targets", op.Targets, n)
	if stride%4 != 0 || stride < op.V {
		p.Fail("%s: logits of %d columns for %d, want a multiple of 4 that holds them", name, stride, op.V)
	}
	if p.Err() != nil {
		return
	}
	moved := float64(op.Logits.Bytes()) // once where the row stays in cache for the second pass
	if op.Backward {
		moved *= 2
	}
	p.Add(gpu.Dispatch{
		Source: source(p, name, store(op.Logits), shaders.Spec{"BACKWARD": op.Backward}),
		Bind:   map[string]gpu.Tensor{"logits": op.Logits, "losses": op.Losses, "targets": op.Targets},
		Params: struct {
			N, V, STRIDE uint32
			SCALE        float32
		}{u32(n), u32(op.V), u32(stride), op.Scale},
		Groups: p.Groups1D(n),
		FLOPs:  10 * float64(n) * float64(op.V), // two exp of about 4, and the rest
		Bytes:  moved,
	})
}

// MeanLoss adds the scaled sum of losses to Out: Out += Scale * sum(Losses), in a fixed order. Scale 1/(N*accumulation
// steps) and an Out cleared before the first micro-step make it the step's mean.
type MeanLoss struct {
	Out    gpu.Tensor // (1)
	Losses gpu.Tensor // (N)
	Scale  float32
}

// AddTo checks shapes and appends the dispatch.
func (op MeanLoss) AddTo(p *Builder) {
	const name = "mean_loss"
	n := op.Losses.Dim(0)
	p.Want(name, "out", op.Out, 1)
	p.Want(name, "losses", op.Losses, n)
	p.Add(gpu.Dispatch{
		Source: source(p, name, nil, nil),
		Bind:   map[string]gpu.Tensor{"out": op.Out, "losses": op.Losses},
		Params: struct {
			N     uint32
			SCALE float32
		}{u32(n), op.Scale},
		Groups: [3]uint32{1, 1, 1},
		FLOPs:  float64(n),
		Bytes:  4 * float64(n),
	})
}
