package op

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// MatmulForward is PyTorch's Linear: Out = X @ W^T, with what follows fused into its end.
//
//	Bias:                 Out = X @ W^T + Bias
//	Bias, Pre:            Pre = X @ W^T + Bias, Out = GELU(Pre)
//	Bias, Residual:       Out = Residual + X @ W^T + Bias, the stream in float32
//
// All tensors share one storage, except those marked float32; Out may be float32 too where it is only X @ W^T.
// Col places the columns of Out at [Col, Col+OC) of wider rows, for a window of the vocabulary; Col % 4 == 0, and Out's
// rows then hold OC rounded up to 4 columns from Col on.
type MatmulForward struct {
	Out, Pre       gpu.Tensor // (N,OC) (N,OC)
	X, W           gpu.Tensor // (N,K) (OC,K)
	Bias, Residual gpu.Tensor // (OC) float32, (N,OC) float32
	Col            int
}

// AddTo checks shapes and appends the dispatch. K % 4 == 0.
func (op MatmulForward) AddTo(p *Builder) {
	const name = "matmul_forward"
	n, k, oc := op.X.Dim(0), op.X.Dim(1), op.W.Dim(0)
	stride := op.Out.Dim(1)
	p.Want(name, "x", op.X, n, k)
	p.Want(name, "w", op.W, oc, k)
	p.Want(name, "out", op.Out, n, stride)
	m := newProduct(name, n, oc, k)
	m.a.Tensor, m.a.stride = op.X, k
	m.b.Tensor, m.b.stride = op.W, k
	m.out = operand{Tensor: op.Out, stride: stride, col: op.Col}
	m.epilogue = storeSums(op.Out, op.X)
	if !op.Bias.None() {
		p.Want(name, "bias", op.Bias, oc)
		m.epilogue, m.more["bias"] = "epilogue_bias", op.Bias
	}
	if !op.Pre.None() {
		p.Want(name, "pre", op.Pre, n, oc)
		m.epilogue, m.more["pre"] = "epilogue_bias_gelu", op.Pre
	}
	if !op.Residual.None() {
		p.Want(name, "residual", op.Residual, n, oc)
		m.epilogue, m.more["residual"] = "epilogue_bias_residual", op.Residual
	}
	if op.Bias.None() && (!op.Pre.None() || !op.Residual.None()) || !op.Pre.None() && !op.Residual.None() {
		p.Fail("%s: want Bias with Pre or with Residual", name)
	}
	m.checkColumns(p, m.out, oc, !op.Bias.None())
	m.addTo(p)
}

// MatmulBackwardDX is the gradient of X: DX = DOut @ W.
//
//	Pre:    DX = (DOut @ W) * GELU'(Pre)
//	Add:    DX += DOut @ W, in float32
type MatmulBackwardDX struct {
	DX      gpu.Tensor // (N,K) DOut's storage, or float32 without Pre
	DOut, W gpu.Tensor // (N,OC) (OC,K)
	Pre     gpu.Tensor // (N,K)
	Col     int        // DOut's columns [Col, Col+OC) of wider rows, zero up to the next multiple of 4
	Add     bool
}

// AddTo checks shapes and appends the dispatch. K % 4 == 0.
func (op MatmulBackwardDX) AddTo(p *Builder) {
	const name = "matmul_backward_dx"
	n, stride, oc, k := op.DOut.Dim(0), op.DOut.Dim(1), op.W.Dim(0), op.W.Dim(1)
	p.Want(name, "dx", op.DX, n, k)
	p.Want(name, "dout", op.DOut, n, stride)
	p.Want(name, "w", op.W, oc, k)
	m := newProduct(name, n, k, oc)
	m.a.Tensor, m.a.stride, m.a.col = op.DOut, stride, op.Col
	m.b.Tensor, m.b.stride = op.W, k
	m.out = operand{Tensor: op.DX, stride: k}
	switch {
	case op.Add && op.Pre.None():
		m.epilogue = "epilogue_add"
	case op.Add:
		p.Fail("%s: Add and Pre exclude each other", name)
	case !op.Pre.None():
		p.Want(name, "pre", op.Pre, n, k)
		m.epilogue, m.more["pre"] = "epilogue_dgelu", op.Pre
	default:
		m.epilogue = storeSums(op.DX, op.DOut)
	}
	m.checkColumns(p, m.a, oc, false)
	m.addTo(p)
}

// MatmulBackwardDW is the gradient of W, accumulated: DW += DOut^T @ X.
type MatmulBackwardDW struct {
	DW      gpu.Tensor // (OC,K) float32
	DOut, X gpu.Tensor // (N,OC) (N,K)
	Col     int        // DOut's columns [Col, Col+OC) of wider rows
}

// AddTo checks shapes and appends the dispatch. K % 4 == 0.
func (op MatmulBackwardDW) AddTo(p *Builder) {
	const name = "matmul_backward_dw"
	n, stride, oc, k := op.DOut.Dim(0), op.DOut.Dim(1), op.DW.Dim(0), op.X.Dim(1)
	p.Want(name, "dw", op.DW, oc, k)
	p.Want(name, "dout", op.DOut, n, stride)
	p.Want(name, "x", op.X, n, k)
	m := newProduct(name, oc, k, n)
	m.a.Tensor, m.a.stride, m.a.col = op.DOut, stride, op.Col
	m.b.Tensor, m.b.stride = op.X, k
	m.out = operand{Tensor: op.DW, stride: k}
	m.epilogue = "epilogue_add"
	m.checkColumns(p, m.a, oc, false)
	m.addTo(p)
}

// storeSums returns the epilogue that only stores sums: in the operands' storage, or in float32.
func storeSums(out, operand gpu.Tensor) string {
	if out.Storage() == gpu.F32 && operand.Storage() != gpu.F32 {
		return "epilogue_store_f32"
	}
	return "epilogue_store"
}
