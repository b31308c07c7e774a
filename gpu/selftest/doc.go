// Package selftest compares every op with its float64 reference (gpu/ref) on whatever device it is given. The
// command selftest runs its Catalogue on users' devices. The ops' own tests run its cases at sizes around those of
// the kernels' tiles.
//
//   - A Case is one op at one shape: its tensors, poisoned with NaN and followed by guard words, two runs that must
//     agree bit for bit, and the comparison with the reference by a Tolerance that is a formula. It reports to a TB,
//     which a testing.TB is.
//   - There is a function for each op (LayerNormForward, MatmulBackwardDX, …) that makes and checks a Case of a given
//     shape and storage; gpu/op's tests call it through gpu/gputest with the shapes that sit on the seams of the
//     kernels' tiles.
//   - Catalogue lists what a device should be tried with, every kernel and every geometry that it can run at two or
//     three awkward shapes; Run does it and makes a Report.
//
// A failed case is a row of the report, not an error.
package selftest
