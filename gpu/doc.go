// Package gpu runs compute programs on a graphics processor: devices, tensors, kernels and lists of dispatches. It
// knows nothing of GPT-2, nor of the kernels' files. It stands on gpu/wgpu, the only importer of the WebGPU
// binding.
//
//   - Adapters lists the processors of this machine; Open takes one by the words of --device.
//   - A Tensor is a shaped window of device memory; every byte is accounted by Role. A device made by Plan accounts and
//     checks exactly as a real one but allocates nothing: that is --dry-run.
//   - A Program is a list of dispatches, each one a kernel with named tensors and a few numbers. It is built once,
//     checked then, printed and profiled as data, and replayed by Run.
//   - Upload and Read move data. Read waits for the device. Upload waits only for more than 32 MiB, and Run only the
//     first time.
//
// Errors: every call that can fail returns one line that says what failed, where, got and want, and a hint. A Program
// keeps its first error, so that building it reads as a straight line and is checked once, by Build. The binding aborts
// the process when a submission itself fails (a lost device); so everything that can be checked is checked before.
//
// One goroutine owns a Device and all that was made from it.
package gpu
