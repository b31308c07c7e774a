// Package ref is the arithmetic of GPT-2 in plain float64 loops: every op that has a WGSL kernel, forward and
// backward. It is readable from top to bottom. Speed does not matter here; being obviously right does.
//
// It is the second link of the chain of trust
//
//	calculus -> ref -> GPU -> model -> PyTorch
//
// Each backward here is proved against central differences of its own forward (CheckGradient), each forward against a
// formula or numbers worked by hand. The kernels are then compared with this package, the model is built of the
// kernels, and the model's losses and gradients are compared with PyTorch's. A wrong number is found by walking the
// chain.
//
// # Contract
//
// The vocabulary is llm.c's: B T C V NH HS L OC, N = B*T rows; K is the length of a matmul's reduction. A gradient is
// d + name. Arguments stand in the order outputs, inputs, numbers, and every tensor is a flat row-major slice whose
// shape stands in the doc comment.
//
// Gradients of parameters accumulate (+=), so that micro-batches add up and a weight used twice (wte) collects both
// terms. Gradients of activations overwrite (=). The one exception is LayerNormBackward's dx, which accumulates: it
// joins the gradient that the residual stream already carries.
//
// There are no errors to return: a slice shorter than its shape panics with Go's own index error, and a longer one is
// an error of the caller that passes unseen. Outputs must not overlap inputs, except in elementwise ops (gelu.go,
// elementwise.go), where an output may be one of the inputs.
//
// The package imports only the standard library, has no state and touches no device.
package ref
