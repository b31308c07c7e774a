// Package metrics is a run's metrics.jsonl: its format, a writer and a reader. It opens no device. So what shows a
// run imports this package and not the training.
//
// Each line is one JSON object with a kind: an optimizer step, a validation, a score of HellaSwag or a sample. Lines
// are appended whole, so that a file may be read while a run writes it. Kinds and fields that a reader does not know
// are passed over.
//
// Errors are one line with a hint.
package metrics
