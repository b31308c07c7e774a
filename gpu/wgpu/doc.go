// Package wgpu is what package gpu needs of WebGPU, and no more: adapters, a device, buffers, pipelines, bind
// groups and encoders. It is the only importer of the binding, github.com/cogentcore/webgpu v0.23.0 (wgpu 0.19).
// The binding's hazards are each met here, in one place.
//
// The hazards were measured: Wait (polling that ends too early), Map (a pointer that the collector may free), Open
// (limits), Adapters (descriptors), Pipeline (labels, explicit layouts). Another binding, or a browser's
// navigator.gpu, is another set of files with the same names.
//
// Every error is a value, except those that the binding makes fatal: a submission that fails, or a lost device,
// aborts the process.
package wgpu
