// Package bench measures what a device can do, and which fraction of that the kernels reach. It knows an optimizer
// step only as a Stepper, so it measures any. The command bench prints its Report.
//
//   - Peak is the two rates that bound every kernel, multiply-adds and copied bytes, measured by kernels that do
//     nothing else.
//   - Kernels times every op at a model's shapes; a Row is one of them.
//   - MeasureStep times an optimizer step, which it knows as a Stepper only.
//   - Breakdown adds up a profile (gpu.Program.Profile) by kernel.
//
// What a kernel does, in operations and bytes, is what its op says of its dispatches (gpu.Dispatch): bytes count each
// value once, so a small tensor that stays in a cache can pass the rate of copies. Times are the shortest of several:
// devices are shared, and other work only ever adds.
//
// Errors are those of gpu, with the kernel's name before them.
package bench
