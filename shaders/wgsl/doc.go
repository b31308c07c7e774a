// Package wgsl is what is known of a kernel's text: the text and what it declares. Package shaders reads it, gpu and
// gpu/wgpu take it as it is, and so none of them imports another for it. It has no code of its own.
package wgsl
