// Package shaders holds the WGSL kernels as plain files and turns one of them, with its numbers, into a text to
// compile. It knows no device and needs no cgo, so its tests run anywhere. It is the only reader of WGSL.
//
// A kernel is a .wgsl file of this folder: its header is its specification (formula, shapes, dispatch, reasons), its
// name is the kernel's label everywhere. Files compile with their defaults in any WGSL tool once the fragments that
// their `// uses:` line names (lib/*.wgsl) are appended. Source does six dull things, each strict:
//
//   - a line `const TM: u32 = 8u; // spec: meaning` takes the value that the caller gives for TM;
//   - a word of the `uses:` line that the caller chooses (store, epilogue) becomes the chosen fragment;
//   - a loop `for (var i = 0u; i < TM; i++) { // unroll` is written out, because several shader compilers unroll
//     nothing;
//   - an array whose first index is then a constant wherever it is used becomes that many variables, acc[2] being
//     acc_2: such arrays of a function stay in registers on every compiler, and such arrays of a workgroup need no
//     check of that index;
//   - in a kernel with workgroup memory, the indices of a thread are masked with the sizes of the workgroup where
//     these are powers of two, so that a compiler knows what they are below: on Metal each read that it can't prove
//     to be within an array is a branch;
//   - fragments are appended after the kernel, so that a compiler's line numbers are the file's own.
//
// A Text carries what its WGSL declares (bindings, Params, threads of a workgroup), so that nothing else reads WGSL.
// How values lie in memory is said by the fragment that declares their type: `alias Quad = vec2<u32>; // storage:
// bf16`.
//
// The returned text is all that a pipeline depends on, and so the key of the kernel cache.
package shaders
