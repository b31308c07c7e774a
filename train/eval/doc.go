// Package eval measures a model: the mean loss over a corpus (Batches) and the score on HellaSwag. The command eval
// uses it, and a training between its steps. It changes neither gradients nor parameters.
//
// It takes a model.Evaluator, which says how many tokens the device holds at once.
//
// Errors are one line; model.NotFiniteError says that an activation overflowed.
package eval
