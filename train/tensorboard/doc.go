// Package tensorboard writes a run's records as an event file for TensorBoard: scalars, samples and the settings as
// text. The file is a list of TFRecords, each a protocol buffer of TensorFlow's event.proto, of which this package has
// the few fields it needs. It knows the records of metrics.jsonl and nothing of training.
package tensorboard
