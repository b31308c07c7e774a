package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// due is what stands between the step before and a step, in this order.
type due struct{ sync, save, check, validate, score, sample bool }

// due returns what comes before step. All but sync and save is done before the step and not after the one before, so that
// a run that resumes here does it again.
func (r *run) due(step int) due {
	every := func(n int) bool { return n > 0 && step%n == 0 }
	return due{
		sync:     r.outer != nil && (every(r.cfg.SyncEvery) || step == r.cfg.Steps),
		save:     every(r.cfg.SaveEvery),
		check:    r.group.Size() > 1 && r.outer == nil && step > r.first && every(r.cfg.CheckEvery),
		validate: r.val != nil && every(r.cfg.ValEvery),
		score:    r.hella != nil && every(r.cfg.HellaswagEvery),
		sample:   r.sampler != nil && step > 0 && every(r.cfg.SampleEvery),
	}
}

// loop does the steps that are left, with what is looked at and saved on the way.
func (r *run) loop(ctx context.Context) error {
	r.first = r.step
	r.savedAt = r.now()
	r.beginSummary()
	progress := newProgress(r.env.Log, r.cfg.Steps, r.step)
	if err := r.meet(ctx, nil); err != nil {
		return err
	}
	for r.step < r.cfg.Steps {
		if r.stop {
			return r.interrupt()
		}
		before := r.due(r.step)
		if before.check {
			if err := r.checkInStep(); err != nil {
				return err
			}
		}
		if before.validate {
			if err := r.validate(); err != nil {
				return err
			}
		}
		if before.score {
			if err := r.scoreHellaSwag(ctx); err != nil {
				return err
			}
		}
		if before.sample {
			if err := r.sample(); err != nil {
				return err
			}
		}
		step := r.trainStep
		if r.profiled(r.step) {
			step = r.profileStep
		}
		if err := step(ctx, progress); err != nil {
			return err
		}
		before = r.due(r.step)
		if before.sync {
			if err := r.syncOuter(); err != nil {
				return err
			}
		}
		if (before.save || r.overdue && r.common()) && r.skipped == 0 { // not what may end in an error
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	if r.val != nil && r.cfg.ValEvery > 0 {
		if err := r.validate(); err != nil {
			return err
		}
	}
	if r.hella != nil {
		if err := r.scoreHellaSwag(ctx); err != nil {
			return err
		}
	}
	if err := r.saveLast(); err != nil {
		return err
	}
	if r.sampler != nil {
		return r.sample()
	}
	return nil
}

// trainStep does one optimizer step, and submits the beginning of the next before it waits for this one.
func (r *run) trainStep(ctx context.Context, progress *progress) error {
	start := time.Now() // the step before, or what came after it, has just ended
	if r.lead != nil {
		start = start.Add(-r.lead.took)
	}
	copied, exposed, traffic := r.exchange.Copied, r.exchange.Exposed, r.group.Traffic()
	if err := r.Training.Begin(); err != nil {
		return err
	}
	for i := 0; i < r.cfg.AccumSteps(); i++ {
		if err := r.forward(); err != nil {
			return err
		}
		var done func([]gpu.Tensor) error
		if i == r.cfg.AccumSteps()-1 && r.outer == nil {
			done = r.exchange.Add
		}
		if err := r.Training.Backward(done); err != nil {
			return err
		}
	}
	if err := r.exchange.Finish(); err != nil {
		return err
	}
	lr := LearningRate(r.cfg.Config, r.step)
	if err := r.Optimizer.Update(r.step, lr); err != nil {
		return err
	}
	stats, err := r.Training.StartStats()
	if err != nil {
		return err
	}
	r.goAhead(r.step + 1)
	s, err := stats()
	if err != nil {
		return err
	}
	if err := r.meet(ctx, &s); err != nil {
		return err
	}
	took := time.Since(start)
	if r.lead != nil {
		took -= r.lead.took
	}
	tokens := r.cfg.TokensPerStep()
	r.tokens += int64(tokens)
	rec := metrics.Step{Step: r.step, Loss: metrics.Float(s.Loss), LR: metrics.Float(lr), GradNorm: metrics.Float(s.GradNorm), Tokens: r.tokens,
		MS: metrics.Float(took.Seconds() * 1e3), TokensPerS: metrics.Float(float64(tokens) / took.Seconds())}
	if r.group.Size() > 1 {
		rec.Ranks = ranksMetric(took, r.exchange.Copied-copied, r.exchange.Exposed-exposed, r.group.Traffic().Minus(traffic))
		r.spent.Add(*rec.Ranks)
	}
	if err := r.metrics.Train(rec); err != nil {
		return err
	}
	r.ends.step(rec)
	progress.step(rec, r.now())
	r.step++
	return r.watch(s)
}

// lead is the forward of a step's first micro-batch, submitted before the step before has ended: it changes nothing that
// the latter leaves, so that the run may still stop there, and a gradient that is not finite be found.
type lead struct {
	from data.State    // where the loader stood
	took time.Duration // counted to its step: lavapipe computes within the submission
	err  error         // told when its step comes
}

// goAhead submits the forward of step's first micro-batch, unless something comes before it.
func (r *run) goAhead(step int) {
	end := step == r.cfg.Steps || r.cfg.StopAfter > 0 && step-r.first >= r.cfg.StopAfter
	if end || r.due(step) != (due{}) || r.profiled(step-1) || r.profiled(step) {
		return
	}
	ahead, start := &lead{from: r.loader.State()}, time.Now()
	ahead.err = r.forward()
	ahead.took = time.Since(start)
	r.lead = ahead
}

// forward submits the forward of the next micro-batch, if it isn't ahead.
func (r *run) forward() error {
	if ahead := r.lead; ahead != nil {
		r.lead = nil
		return ahead.err
	}
	n := r.cfg.BatchSize * r.cfg.SeqLen
	x, y := make([]uint32, n), make([]uint32, n)
	if err := r.loader.Next(x, y); err != nil {
		return err
	}
	return r.Training.Forward(x, y)
}

// position returns where the loader stood when the newest step had all its data.
func (r *run) position() data.State {
	if r.lead != nil {
		return r.lead.from
	}
	return r.loader.State()
}

// meet brings the ranks' numbers of a step together, if there was one, and decides for all whether to stop before the next.
func (r *run) meet(ctx context.Context, s *model.Stats) error {
	done := r.step - r.first
	mine := []float64{0, 0, 0, 0}
	if s != nil {
		done++ // r.step still counts the one before
		mine[0], mine[2] = s.Loss, s.GradNorm
	}
	if ctx.Err() != nil || r.cfg.StopAfter > 0 && done >= r.cfg.StopAfter {
		mine[1] = 1
	}
	if r.cfg.SaveMinutes > 0 && r.now().Sub(r.savedAt).Minutes() >= r.cfg.SaveMinutes {
		mine[3] = 1
	}
	all, err := ranks.GatherFloats(r.group, mine...)
	if err != nil {
		return err
	}
	r.overdue = all[0][3] != 0 // rank 0's clock decides for all
	loss, norm := 0.0, 0.0
	for _, of := range all {
		loss += of[0]
		norm += of[2] / float64(len(all))
		r.stop = r.stop || of[1] != 0
	}
	if s == nil {
		return nil
	}
	s.Loss = loss // of parts of one mean
	if r.outer != nil {
		s.Loss, s.GradNorm = loss/float64(len(all)), norm
	}
	return nil
}

func ranksMetric(took, copied, exposed time.Duration, t ranks.Traffic) *metrics.Ranks {
	ms := func(d time.Duration) metrics.Float { return metrics.Float(d.Seconds() * 1e3) }
	return &metrics.Ranks{ComputeMS: ms(took - copied - exposed), CopyMS: ms(copied), CommMS: ms(t.Comm), WaitMS: ms(t.Wait), ExposedMS: ms(exposed)}
}

// tellSpent logs where the time of this invocation's steps went.
func (r *run) tellSpent() {
	if steps := metrics.Float(r.step - r.first); r.group.Size() > 1 && steps > 0 {
		s := r.spent
		r.env.Log.Info(fmt.Sprintf("a step on %d ranks, on average: %.1f ms computing, %.1f copying, %.1f waiting for sums; those took %.1f ms and %.1f for the last rank to come; sent %s a rank",
			r.group.Size(), s.ComputeMS/steps, s.CopyMS/steps, s.ExposedMS/steps, s.CommMS/steps, s.WaitMS/steps, gpu.HumanBytes(uint64(r.group.Traffic().Bytes)/uint64(steps))))
	}
}

// watch counts steps that were skipped because a number was not finite.
func (r *run) watch(s model.Stats) error {
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
	if finite(s.Loss) && finite(s.GradNorm) {
		r.skipped = 0
		return nil
	}
	r.skipped++
	culprit, err := r.Training.NotFinite()
	if err != nil {
		return err
	}
	r.env.Log.Warn("step skipped: a number is not finite", "step", r.step-1, "loss", s.Loss, "grad_norm", s.GradNorm, "tensor", culprit)
	if r.skipped >= maxSkipped {
		return ranks.Agree(fmt.Errorf("step %d: %d steps in a row were not finite (%s); hint: resume from the last checkpoint with a lower --lr, or with --grad-clip 1", r.step-1, r.skipped, culprit))
	}
	return nil
}

// common reports whether all ranks have the same parameters, as a checkpoint needs them.
func (r *run) common() bool { return r.outer == nil || r.synced == r.step }

// save writes a checkpoint of the present step, unless there is one or no --out. One that cannot be written is warned about:
// the next save tries again.
func (r *run) save() error {
	failed, err := r.trySave()
	if failed != nil {
		r.env.Log.Warn(fmt.Sprintf("%v: training goes on, and the next save tries again; hint: free space on the disk", failed))
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
		failed = fmt.Errorf("%w; hint: free space on the disk, then --out %s --resume %s", failed, shellWord(r.cfg.Out), from)
	}
	return ranks.Together(r.group, failed)
}

// trySave returns in failed why rank 0 could not write the checkpoint. All ranks know that it failed.
func (r *run) trySave() (failed, err error) {
	if r.cfg.Out == "" || r.saved == r.step {
		return nil, nil
	}
	defer func() { r.savedAt, r.overdue = r.now(), false }() // also of one that failed: the next is due as long after it
	if failed, err = r.writeCheckpoint(); err != nil {
		return nil, err
	}
	flag := 0.0
	if failed != nil {
		flag = 1
	}
	all, err := ranks.GatherFloats(r.group, flag)
	if err == nil && all[0][0] == 0 {
		r.saved = r.step
	}
	return failed, err
}

// writeCheckpoint writes a checkpoint on rank 0, tensor by tensor. failed is the disk's fault, err the device's or the group's. Where
// ranks step by themselves, the optimizer's state is the mean of theirs, to which all ranks contribute.
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
		var outer []gpt2.LazyTensor
		if r.outer != nil {
			outer = lazily(outerState(r.Model.Config), func(i int) ([]float32, error) { return r.outer.Momenta[i], nil })
		}
		params, settings := r.Model.Parameters(), r.cfg.optimizer()
		c := checkpointer{out: r.cfg.Out, keep: r.cfg.Keep, log: r.env.Log, before: r.metrics.Flush, warned: r.warned}
		var dir string
		dir, failed = c.save(State{
			Step: r.step, Tokens: r.tokens, Skipped: r.skipped, Data: r.position(), DataFiles: r.files,
			Tokenizer: r.cfg.Tokenizer, Config: r.cfg.Config, Version: r.env.Version, Tiles: r.tiles, Optimizer: settings.Name(),
		}, func(dir string) error {
			return WriteModel(dir, r.Model.Config, func(i int) ([]float32, error) { return read(params[i]) }, r.tok, r.special)
		}, lazily(settings.State(r.Model.Config), values), outer)
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
	if r.cfg.Out == "" {
		return ranks.Agree(fmt.Errorf("%w after %d of %d steps; nothing was saved, since there is no --out", ErrInterrupted, r.step, r.cfg.Steps))
	}
	return ranks.Agree(fmt.Errorf("%w after %d of %d steps; continue with --out %s --resume", ErrInterrupted, r.step, r.cfg.Steps, shellWord(r.cfg.Out)))
}
