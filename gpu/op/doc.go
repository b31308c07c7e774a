// Package op holds the operations that GPT-2 training is made of, one file each. An op is a Go struct of named
// tensors that appends dispatches to a program. Which kernels and geometries it takes is decided by a Target, a
// plain value that suits the device.
//
// The fields of an op are outputs first, then inputs, then numbers, with shapes in the comments (dimensions
// B T C V NH HS L OC, N = B*T). Its AddTo checks every shape and appends its dispatches to a Builder's gpu.Program,
// which keeps the first error; nothing runs until the program does. Gradients of parameters accumulate (+=), gradients
// of activations overwrite (=), unless the op says otherwise. The mathematics is that of gpu/ref, kernel by kernel in
// shaders/.
//
// The Builder's Target says which kernels and geometries an op takes: a plain value, of which there is one per kind of
// device (target_gpu.go and a file per vendor, target_cpu.go, target_lavapipe.go). Its Tuning, tiles that measuring has
// chosen, replaces the Target's tiles.
//
// Products of matrices, and attention, have several algorithms. A tile names one and its geometry; the algorithm says
// whether it fits and appends its dispatches (product.go, attention.go; matmul_direct.go, matmul_tiled.go and
// matmul_split.go). Those that are only for lavapipe register themselves in lavapipe_*.go, and no other file knows
// them.
package op
