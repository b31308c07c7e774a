// Package train runs a training: settings, schedules, the loop and checkpoints. The same command gives the same
// metrics bit for bit, and a run that was stopped and resumed gives those of one that was not. A step can be built
// without a run, for planning, tuning and benchmarks.
//
//   - Config is a run's settings, which its files keep, and Settings their table: flags, help, ranges and names come
//     from it.
//   - A Job is a Config and how one invocation takes part in the run. Run does a job; DryRun prints its plan.
//   - Step is the job's optimizer step on a device or on a plan; tuning and benchmarks build one without a run.
//   - A checkpoint is a directory with weights, the optimizer's tensors and State.
//
// Package ranks has what the processes of a run do together, eval what measures a model, metrics the file
// metrics.jsonl.
//
// A run's directory belongs to one process at a time, which holds its lock. What a checkpoint needs is on the disk
// before it gets its name, so that a kill, a full disk or a damaged file costs no more than the steps since the
// checkpoint before.
//
// Errors are one line with a hint; nothing that a checkpoint needs is lost by one. ErrInterrupted ends a run that was
// asked to stop, after its checkpoint is written.
package train
