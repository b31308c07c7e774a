// Package train runs a training: settings, schedules, the loop, metrics and checkpoints.
//
//   - Config is every setting of `gpt2wgpu train`; presets, validation and what follows from it (accumulation) live with it.
//   - Run trains; DryRun prints the plan of the same run, made by the same code on a device that allocates nothing.
//   - Group is the ranks of a data parallel run; ranks.Alone is one process, package mpi has several (docs/scaling.md).
//   - HellaSwag scores a model on that benchmark, in a run and for `gpt2wgpu eval`.
//   - Metrics is the run's metrics.jsonl; a checkpoint is a directory with weights, moments and State.
//
// A run is a function of its settings, its data and the device: the same command gives the same metrics bit for bit,
// and a run that was stopped and resumed gives those of one that was not.
//
// A run's directory belongs to one process at a time, which holds its lock. What a checkpoint needs is on the disk
// before it gets its name, so that a kill, a full disk or a damaged file costs no more than the steps since the
// checkpoint before.
//
// Errors are one line with a hint; nothing that a checkpoint needs is lost by one. ErrInterrupted ends a run that was
// asked to stop, after its checkpoint is written.
package train
