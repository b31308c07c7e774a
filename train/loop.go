package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
	"github.com/gpt2wgpu/gpt2wgpu/train/shell"
)

// schedule says what to do before a step, in this order.
type schedule struct{ sync, save, check, validate, score, sample bool }

// scheduled returns what to do before that step. sync and save come right after the step before; the others come right
// before the step, so that a run that resumes here does them again.
func (r *run) scheduled(step int) schedule {
	every := func(n int) bool { return n > 0 && step%n == 0 }
	return schedule{
		sync:     r.outer != nil && (every(r.cfg.SyncEvery) || step == r.cfg.Steps),
		save:     every(r.cfg.SaveEvery),
		check:    r.group.Size() > 1 && r.outer == nil && step > r.first && every(r.cfg.CheckEvery),
		validate: r.val != nil && every(r.cfg.ValEvery),
		score:    r.hella != nil && every(r.cfg.HellaswagEvery),
		sample:   r.sampler != nil && step > 0 && every(r.cfg.SampleEvery),
	}
}

// loop does the steps that are left, with what is measured and saved on the way.
func (r *run) loop(ctx context.Context) error {
	r.begin()
	r.beginSummary()
	progress := newProgress(r.env.Log, r.cfg.Steps, r.step)
	if err := r.syncRanks(ctx, nil); err != nil {
		return err
	}
	r.began()
	for r.step < r.cfg.Steps {
		if err := r.whilePaused(ctx); err != nil {
			return err
		}
		if r.stop {
			return r.interrupt()
		}
		if err := r.beforeStep(ctx); err != nil {
			return err
		}
		step := r.trainStep
		if r.profiled(r.step) {
			step = r.profileStep
		}
		if err := step(ctx, progress); err != nil {
			return err
		}
		if err := r.afterStep(); err != nil {
			return err
		}
	}
	return doDue(
		task{r.val != nil && r.cfg.ValEvery > 0, r.validate},
		task{r.hella != nil, func() error { return r.scoreHellaSwag(ctx) }},
		task{true, r.saveLast},
		task{r.sampler != nil, r.sample})
}

// begin settles where this invocation begins and ends. Under a supervisor it may have begun in an earlier process.
func (r *run) begin() {
	r.first, r.savedAt = r.step, r.now()
	first := r.step
	if s := r.env.Supervised; s != nil {
		if s.First >= 0 {
			first = s.First
		}
		if s.Began != nil {
			s.Began(r.step)
		}
	}
	if r.cfg.StopAfter > 0 {
		r.last = first + r.cfg.StopAfter
	}
}

// beforeStep compares the ranks and measures.
func (r *run) beforeStep(ctx context.Context) error {
	s := r.scheduled(r.step)
	if r.due != 0 && r.prefetched == nil { // else the next step's activations are in the way: before the one after it
		s.validate = s.validate || r.due&AskValidation != 0
		s.sample = s.sample || r.due&AskSample != 0 && r.sampler != nil
		r.due &^= AskValidation | AskSample
	}
	return doDue(
		task{s.check, r.checkInStep},
		task{s.validate, r.validate},
		task{s.score, func() error { return r.scoreHellaSwag(ctx) }},
		task{s.sample, r.sample},
		task{r.due&AskText != 0, r.write})
}

// afterStep does the outer step and saves.
func (r *run) afterStep() error {
	s := r.scheduled(r.step)
	if err := doDue(task{s.sync, r.syncOuter}); err != nil {
		return err
	}
	save := s.save || (r.overdue || r.due&AskCheckpoint != 0) && r.sameOnAllRanks()
	if save && r.skipped == 0 {
		r.due &^= AskCheckpoint
	}
	return doDue(task{save && r.skipped == 0, r.save}) // not what may end in an error
}

// task is what is done if it is due.
type task struct {
	due bool
	do  func() error
}

// doDue does the tasks that are due, up to the first error.
func doDue(tasks ...task) error {
	for _, t := range tasks {
		if !t.due {
			continue
		}
		if err := t.do(); err != nil {
			return err
		}
	}
	return nil
}

// trainStep does one optimizer step, and submits the beginning of the next before it waits for this one.
func (r *run) trainStep(ctx context.Context, progress *progress) error {
	start, early := time.Now(), r.prefetched.time() // the step before, or what came after it, has just ended
	from := r.position()
	r.stepFrom = &from
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
	r.updated = true
	if err := r.Optimizer.Update(r.step, lr); err != nil {
		return err
	}
	stats, err := r.Training.StartStats()
	if err != nil {
		return err
	}
	r.prefetch(r.step + 1)
	s, err := stats()
	if err != nil {
		return err
	}
	if err := r.syncRanks(ctx, &s); err != nil {
		return err
	}
	took := time.Since(start) + early - r.prefetched.time()
	tokens := r.cfg.TokensPerStep()
	r.tokens += int64(tokens)
	rec := metrics.Step{Step: r.step, Loss: metrics.Float(s.Loss), LR: metrics.Float(lr),
		GradNorm: metrics.Float(s.GradNorm), Tokens: r.tokens,
		MS: metrics.Float(took.Seconds() * 1e3), TokensPerS: metrics.Float(float64(tokens) / took.Seconds())}
	if r.group.Size() > 1 {
		rec.Ranks = ranksMetric(took, r.exchange.Copied-copied, r.exchange.Exposed-exposed,
			r.group.Traffic().Minus(traffic))
		r.spent.Add(*rec.Ranks)
	}
	if err := r.metrics.Train(rec); err != nil {
		return err
	}
	r.recorded(rec.Line())
	r.ends.step(rec)
	progress.step(rec, r.now())
	r.step++
	r.updated, r.stepFrom = false, nil
	return r.checkFinite(s)
}

// prefetched is the forward of a step's first micro-batch, submitted before the step before has ended. It changes
// nothing that the latter leaves, so that the run may still stop there, and a gradient that is not finite can be found.
type prefetched struct {
	from data.State    // where the loader stood
	took time.Duration // to submit, which counts to its step: lavapipe computes within the submission
	err  error         // reported when its step comes
}

// time returns what it took; nil took nothing.
func (p *prefetched) time() time.Duration {
	if p == nil {
		return 0
	}
	return p.took
}

// prefetch submits the forward of step's first micro-batch, unless something comes before it.
func (r *run) prefetch(step int) {
	end := step == r.cfg.Steps || r.last > 0 && step >= r.last || r.due != 0
	if end || r.scheduled(step) != (schedule{}) || r.profiled(step-1) || r.profiled(step) {
		return
	}
	p, start := &prefetched{from: r.loader.State()}, time.Now()
	p.err = r.forward()
	p.took = time.Since(start)
	r.prefetched = p
}

// forward submits the forward of the next micro-batch, unless that was done before.
func (r *run) forward() error {
	if p := r.prefetched; p != nil {
		r.prefetched = nil
		return p.err
	}
	n := r.cfg.BatchSize * r.cfg.SeqLen
	x, y := make([]uint32, n), make([]uint32, n)
	if err := r.loader.Next(x, y); err != nil {
		return &unreadable{err}
	}
	return r.Training.Forward(x, y)
}

// unreadable is an error of the data in the middle of a run.
type unreadable struct{ error }

func (u *unreadable) Unwrap() error { return u.error }

// saveBefore saves what the run has before an error ends it that is not its own: data that cannot be read, or ranks
// that do not answer. In a step, up to its update, that is the step before. Of several ranks, of which the others know
// nothing, rank 0 does what it can by itself: after the update the step counts, without a line in metrics.jsonl, since
// its loss is a sum over all ranks.
func (r *run) saveBefore(err error) error {
	var bad *unreadable
	var lost *ranks.LostError
	several := r.group.Size() > 1
	if !errors.As(err, &bad) && !errors.As(err, &lost) || r.cfg.Out == "" || r.group.Rank() > 0 ||
		several && r.outer != nil {
		return err
	}
	if r.updated { // the update is done, and only the sum of the losses failed
		r.step++
		r.tokens += int64(r.cfg.TokensPerStep())
		r.updated, r.stepFrom = false, nil
	}
	from := r.position()
	if r.stepFrom != nil {
		from = *r.stepFrom
	}
	r.prefetched = nil
	if seekErr := r.loader.Seek(from); seekErr != nil {
		return err
	}
	if !several {
		if syncErr := r.syncOuter(); syncErr != nil {
			return err
		}
	}
	text, hint, _ := strings.Cut(err.Error(), "; hint: ")
	if r.saved != r.step {
		failed, deviceErr := r.writeCheckpoint()
		if failed = cmp.Or(failed, deviceErr); failed != nil {
			return fmt.Errorf("%s; the run is not saved: %w", text, failed)
		}
		r.saved = r.step
	}
	return fmt.Errorf("%s; step %d is saved; hint: %s; --out %s --resume goes on", text, r.step, hint,
		shell.Word(r.cfg.Out))
}

// position returns where the loader stood when the newest step had all its data.
func (r *run) position() data.State {
	if r.prefetched != nil {
		return r.prefetched.from
	}
	return r.loader.State()
}

// syncRanks makes s, if there was a step, the numbers of all ranks together, and decides for all whether to stop or to
// save before the next step.
func (r *run) syncRanks(ctx context.Context, s *model.Stats) error {
	next, loss, norm, n := r.step, 0.0, 0.0, float64(r.group.Size())
	if s != nil {
		next++ // r.step still counts the one before
		loss, norm = s.Loss, s.GradNorm
	}
	stop := ctx.Err() != nil || r.last > 0 && next >= r.last
	overdue := r.group.Rank() == 0 && // its clock decides for all
		r.cfg.SaveMinutes > 0 && r.now().Sub(r.savedAt).Minutes() >= r.cfg.SaveMinutes
	sum, err := ranks.SumFloats(r.group, loss, norm/n, ranks.Flag(stop), ranks.Flag(overdue),
		float64(r.asked()))
	if err != nil {
		return err
	}
	r.stop, r.overdue = r.stop || sum[2] > 0, sum[3] > 0
	r.take(Ask(sum[4]))
	if s == nil {
		return nil
	}
	s.Loss = sum[0] // of parts of one mean
	if r.outer != nil {
		s.Loss, s.GradNorm = sum[0]/n, sum[1]
	}
	return nil
}

func ranksMetric(took, copied, exposed time.Duration, t ranks.Traffic) *metrics.Ranks {
	ms := func(d time.Duration) metrics.Float { return metrics.Float(d.Seconds() * 1e3) }
	return &metrics.Ranks{ComputeMS: ms(took - copied - exposed), CopyMS: ms(copied), CommMS: ms(t.Comm),
		WaitMS: ms(t.Wait), ExposedMS: ms(exposed)}
}

// logTimes logs where the time of this invocation's steps went.
func (r *run) logTimes() {
	if steps := metrics.Float(r.step - r.first); r.group.Size() > 1 && steps > 0 {
		s := r.spent
		r.infof("average step on %d ranks: %.1f ms computing, %.1f ms copying, %.1f ms waiting "+
			"for sums; the sums took %.1f ms, and %.1f ms more until the last rank came; sent %s per rank",
			r.group.Size(), s.ComputeMS/steps, s.CopyMS/steps, s.ExposedMS/steps, s.CommMS/steps, s.WaitMS/steps,
			gpu.HumanBytes(uint64(r.group.Traffic().Bytes)/uint64(steps)))
	}
}

// checkFinite counts steps that were skipped because a number was not finite.
func (r *run) checkFinite(s model.Stats) error {
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
	r.env.Log.Warn("step skipped: a number is not finite", "step", r.step-1, "loss", s.Loss, "grad_norm", s.GradNorm,
		"tensor", culprit)
	if r.skipped >= maxSkipped {
		return ranks.Agree(fmt.Errorf("step %d: %d steps in a row were not finite (%s); hint: %s with a lower --lr, "+
			"or with --grad-clip 1", r.step-1, r.skipped, culprit, r.goBack()))
	}
	return nil
}

// goBack says from where a run that has failed can go on.
func (r *run) goBack() string {
	switch {
	case r.cfg.Out == "":
		return "nothing was saved, since there is no --out: start again"
	case r.saved < 0:
		return fmt.Sprintf("--out %s --resume starts again at step 0, since there is no checkpoint; try it",
			shell.Word(r.cfg.Out))
	}
	return fmt.Sprintf("--out %s --resume goes on from step %d, the newest checkpoint; try it", shell.Word(r.cfg.Out),
		r.saved)
}

// profileAfter is how many steps of an invocation go before the one that --profile looks at: kernels are compiled and
// clocks are up by then.
const profileAfter = 3

// Profile is the times of one step's dispatches.
type Profile struct {
	Device  *gpu.Device
	Step    string // its shape
	Timings []gpu.Timing
}

// profiled says whether step is the one to profile: the fourth of this invocation, or the last where there are fewer.
func (r *run) profiled(step int) bool {
	last := r.cfg.Steps - 1
	if r.last > 0 {
		last = min(last, r.last-1)
	}
	return r.cfg.Profile != nil && step == min(r.first+profileAfter, last)
}

// profileStep does one optimizer step and keeps the times of its dispatches.
func (r *run) profileStep(ctx context.Context, progress *progress) error {
	for _, p := range r.Programs() {
		p.Record(&r.timings)
		defer p.Record(nil)
	}
	return r.trainStep(ctx, progress)
}

// handProfile gives the times of the profiled step to who asked for them.
func (r *run) handProfile() error {
	if r.cfg.Profile == nil {
		return nil
	}
	if len(r.timings) == 0 {
		r.env.Log.Warn("nothing was profiled: the run ended before the step to look at")
		return nil
	}
	return r.cfg.Profile(Profile{r.dev, fmt.Sprintf("%d micro-steps of B=%d T=%d", r.cfg.AccumSteps(), r.cfg.BatchSize,
		r.cfg.SeqLen), r.timings})
}

// local reports whether ranks step by themselves between synchronisations.
func (c Config) local() bool { return c.SyncEvery > 1 }

// startOuter begins the outer steps with the present parameters; b may be nil for zeros.
func (r *run) startOuter(b [][]float32) error {
	if !r.cfg.local() {
		return nil
	}
	r.outer, r.synced = &ranks.Outer{LR: r.cfg.OuterLR, Momentum: r.cfg.OuterMomentum,
		Wire: ranks.Wire(r.cfg.GradDType), Momenta: b}, r.step
	return r.outer.Start(r.Model)
}

// syncOuter does the outer step, if any rank has stepped since the one before.
func (r *run) syncOuter() error {
	if r.outer == nil || r.synced == r.step {
		return nil
	}
	start, traffic := time.Now(), r.group.Traffic()
	if err := r.outer.Step(r.group, r.Model); err != nil {
		return err
	}
	t := r.group.Traffic().Minus(traffic)
	// no step's, but the run's
	r.spent.Add(*ranksMetric(time.Since(start), time.Since(start)-t.Comm-t.Wait, t.Comm+t.Wait, t))
	before := r.synced
	r.synced = r.step
	if c := r.cfg.CheckEvery; c > 0 && r.step/c != before/c {
		return r.checkInStep()
	}
	return nil
}

// checkInStep compares the parameters of all ranks, or brings those of unlike devices together.
func (r *run) checkInStep() error {
	if !r.mixed {
		return ranks.CheckEqual(r.group, r.Model, r.step)
	}
	drift, err := ranks.FollowRank0(r.group, r.Model, r.step)
	r.env.Log.Debug("unlike devices brought together", "step", r.step, "drift", drift)
	return err
}

// inRank puts the rank before an error, where there is more than one.
func inRank(g ranks.Group, err error) error {
	if err == nil || g.Size() == 1 || errors.Is(err, ranks.ErrElsewhere) || errors.Is(err, ErrInterrupted) {
		return err
	}
	return fmt.Errorf("rank %d of %d: %w", g.Rank(), g.Size(), err)
}
