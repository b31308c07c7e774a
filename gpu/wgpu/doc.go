// Package wgpu is what package gpu needs of WebGPU, and no more: adapters, a device, buffers, pipelines, bind
// groups and encoders. It is the only importer of the binding, github.com/cogentcore/webgpu v0.23.0 (wgpu 0.19), and of
// a browser's navigator.gpu. The hazards of both are each met here, in one place.
//
// The binding's hazards were measured: Wait (polling that ends too early), Map (a pointer that the collector may free),
// Open (limits), Adapters (descriptors), Pipeline (labels, explicit layouts). Every error is a value, except those that
// the binding makes fatal: a submission that fails, or a lost device, aborts the process.
//
// In a browser (files ending in _js.go) everything that waits is a promise: a goroutine waits for it on a channel, and
// the event loop goes on. WebGPU reports many errors after the call: they are values of the next wait or submission. A
// lost device is an error too.
package wgpu
