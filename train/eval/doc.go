// Package eval measures a model: the mean loss over a corpus (Batches) and the score on HellaSwag. The command eval
// uses it, and a training on its way.
//
// It takes a model.Evaluator, which says how many tokens the device holds at once, and leaves gradients and parameters
// alone.
//
// Errors are one line; model.NotFiniteError says that an activation overflowed. Imports data, model, train/metrics.
package eval
