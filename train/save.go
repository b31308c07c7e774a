package train

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
	"github.com/gpt2wgpu/gpt2wgpu/train/shell"
)

// sameOnAllRanks reports whether all ranks have the same parameters, as a checkpoint needs them.
func (r *run) sameOnAllRanks() bool { return r.outer == nil || r.synced == r.step }

// save writes a checkpoint of the present step, unless there is one or no --out. One that cannot be written is warned
// about: the next save tries again.
func (r *run) save() error {
	failed, err := r.trySave()
	if failed != nil {
		r.warnf("%v: training goes on, and the next save tries again; hint: free space on the disk", failed)
	}
	return err
}

// saveLast is save at the end of an invocation, where nothing comes that could try again.
func (r *run) saveLast() error {
	failed, err := r.trySave()
	if err != nil {
		return err
	}
	if failed == nil {
		failed = r.metrics.Flush() // lines since the checkpoint
	}
	if failed != nil {
		from := "goes on from the newest checkpoint"
		if r.saved < 0 {
			from = "starts again at step 0, since there is no checkpoint"
		}
		failed = fmt.Errorf("%w; hint: free space on the disk, then --out %s --resume %s", failed,
			shell.Word(r.cfg.Out), from)
	}
	return ranks.Together(r.group, failed)
}

// trySave returns in failed why rank 0 could not write the checkpoint. All ranks know that it failed.
func (r *run) trySave() (failed, err error) {
	if r.cfg.Out == "" {
		return nil, nil
	}
	restored, failed := r.restoreOut()
	if all, err := ranks.GatherFloats(r.group, restored); err != nil || all[0][0] == 0 && r.saved == r.step {
		return failed, err
	}
	// also of one that failed: the next is due as long after it
	defer func() { r.savedAt, r.overdue = r.now(), false }()
	if wrote, err := r.writeCheckpoint(); err != nil {
		return nil, err
	} else if wrote != nil {
		failed = wrote
	}
	failures, err := ranks.SumFloats(r.group, ranks.Flag(failed != nil))
	if err == nil && failures[0] == 0 {
		r.saved = r.step
	}
	return failed, err
}

// restoreOut makes the run's directory again where it was removed since the run began, with its settings and metrics.
// restored is 1 on rank 0 if that was so: then the checkpoint of this step is gone too.
func (r *run) restoreOut() (restored float64, failed error) {
	again, err := r.metrics.Restore()
	if err != nil || !again {
		return 0, err
	}
	r.warnf("%s was removed while the run trained: its settings and metrics are written again, but earlier "+
		"checkpoints are gone", r.cfg.Out)
	return 1, r.writeConfig(r.dev.Info.String())
}

// writeCheckpoint writes a checkpoint on rank 0, tensor by tensor. failed is the disk's fault, err the device's or the
// group's. Where ranks step by themselves, the optimizer's state is the mean of theirs, to which all ranks contribute.
func (r *run) writeCheckpoint() (failed, err error) {
	var host []float32 // of the tensor that is written
	read := func(t gpu.Tensor) ([]float32, error) {
		host = slices.Grow(host[:0], t.Len())[:t.Len()]
		if readErr := r.dev.Read(t, host); readErr != nil {
			err = readErr
		}
		return host, err
	}
	state, mean, next := r.Optimizer.State(), r.outer != nil && r.group.Size() > 1, 0
	values := func(i int) ([]float32, error) { // collective with mean, each tensor once and in order
		next = i + 1
		x, _ := read(state[i])
		if err == nil && mean {
			for j := range x {
				x[j] /= float32(r.group.Size())
			}
			err = r.group.AllreduceSum(x, ranks.WireF32)
		}
		return x, err
	}
	if r.group.Rank() == 0 {
		params, settings, shape := r.Model.Parameters(), r.cfg.optimizer(), r.Model.Config
		files := []func(dir string) error{func(dir string) error {
			return WriteModel(dir, shape, func(i int) ([]float32, error) { return read(params[i]) }, r.tok, r.special)
		}, func(dir string) error {
			return gpt2.WriteSafetensors(filepath.Join(dir, optimizerFile), settings.State(shape), values, nil)
		}}
		if r.outer != nil {
			momenta := func(i int) ([]float32, error) { return r.outer.Momenta[i], nil }
			files = append(files, func(dir string) error {
				return gpt2.WriteSafetensors(filepath.Join(dir, outerFile), outerState(shape), momenta, nil)
			})
		}
		c := checkpointer{out: r.cfg.Out, keep: r.cfg.Keep, log: r.env.Log, before: r.metrics.Flush, warned: r.warned}
		var dir string
		dir, failed = c.save(State{
			Step: r.step, Tokens: r.tokens, Skipped: r.skipped, Data: r.position(), DataFiles: r.files,
			Tokenizer: r.cfg.Tokenizer, Config: r.cfg.Config, Version: r.env.Version, Tiles: r.tiles,
			Optimizer: settings.Name(),
		}, files...)
		if failed == nil {
			r.ends.checkpoint = dir
			r.env.Log.Info("checkpoint "+dir, NewEvent("checkpoint", "step", r.step, "path", dir))
		}
	}
	for mean && err == nil && next < len(state) { // other ranks, and those that a failed write has left out
		values(next)
	}
	return failed, err
}

func (r *run) interrupt() error {
	if err := r.syncOuter(); err != nil { // a checkpoint holds what is common to all ranks
		return err
	}
	if err := r.saveLast(); err != nil {
		return err
	}
	if r.group.Rank() > 0 {
		return ranks.Agree(fmt.Errorf("%w (%w)", ErrInterrupted, ranks.ErrElsewhere))
	}
	next := "nothing was saved, since there is no --out"
	if r.cfg.Out != "" {
		next = "continue with --out " + shell.Word(r.cfg.Out) + " --resume"
	}
	return ranks.Agree(fmt.Errorf("%w after %d of %d steps; %s", ErrInterrupted, r.step, r.cfg.Steps, next))
}

// WriteModel writes a model's directory as transformers reads it: weights, config.json, generation_config.json and the
// tokenizer's files. special are the ids that the weights came with; where they name none, the tokenizer's end of a
// document is it. values returns those of a parameter, see [gpt2.WriteDir].
func WriteModel(dir string, c gpt2.Config, values func(i int) ([]float32, error), tok data.Tokenizer,
	special gpt2.Special) error {
	special = special.Complete(endOf(tok, c.VocabSize))
	if err := gpt2.WriteDir(dir, c, values, special.Fields); err != nil {
		return err
	}
	if err := special.Write(dir); err != nil {
		return err
	}
	return data.WriteTokenizerFiles(dir, tok, c.BlockSize)
}

// endOf is the token between documents, -1 if a vocabulary of that size has none.
func endOf(tok data.Tokenizer, vocab int) int {
	if eot, ok := tok.EOT(); ok && eot < vocab {
		return eot
	}
	return -1
}

// Bounds returns what text of a model begins with, -1 if nothing is known, and what ends it: the ids that the weights
// came with, else the tokenizer's.
func Bounds(tok data.Tokenizer, special gpt2.Special, vocab int) (start int, stop []int) {
	special = special.Complete(endOf(tok, vocab))
	start, stop = -1, special.IDs("eos_token_id", vocab)
	if tok.Name() == "bytes" {
		start = '\n'
	}
	if begin := special.IDs("bos_token_id", vocab); len(begin) > 0 {
		start = begin[0]
	}
	return start, stop
}

// Sampling adds what the model and the tokenizer say to the options of a text.
func Sampling(o model.SampleOptions, tok data.Tokenizer, special gpt2.Special, vocab int) model.SampleOptions {
	_, o.Stop = Bounds(tok, special, vocab)
	o.Vocab = tok.VocabSize()
	return o
}
