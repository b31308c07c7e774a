package train

import (
	"context"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// Watch has the functions that a run calls while it trains, to show its progress and to learn what its user asks for.
// Only rank 0 calls them, and any may be nil.
type Watch struct {
	Began  func(Beginning)
	Record func(metrics.Line) // gets what metrics.jsonl gets, also without --out
	Asked  func() Ask         // what was asked for since the last call, and AskPause for as long as it holds

	Text  func(step int, text string) // gets a sample in pieces, as it is written
	Write func(Writer) error          // called for AskText; its error ends the run
	Holds func(pause bool)            // called with true when the run pauses, with false when it continues
}

// With returns a Watch whose records also go to other.
func (w Watch) With(other Watch) Watch {
	if w.Record == nil {
		return other
	}
	both := w
	both.Began = func(b Beginning) { other.Began(b); w.Began(b) }
	both.Record = func(m metrics.Line) { other.Record(m); w.Record(m) }
	return both
}

// Beginning is what a run does in this invocation, once its device is open.
type Beginning struct {
	Steps, First  int   // of the whole run, and the step that comes next
	Tokens        int64 // seen before First
	TokensPerStep int
	EpochTokens   int64
	Shape         gpt2.Config
	SeqLen        int
	Out           string
	Device        *gpu.Device
	Record        []byte         // what config.json has
	Losses        []metrics.Line // of the steps before First
}

// Ask is a set of what a person may ask for. Nothing of it changes the run: validation and sample have random state and
// data positions of their own.
type Ask uint

// What can be asked for, before the next step.
const (
	AskStop Ask = 1 << iota // as an interrupt would
	AskSample
	AskValidation
	AskCheckpoint
	AskPause
	AskText // text that Watch.Write writes, also while the run pauses
)

// recorded hands on a record.
func (r *run) recorded(m metrics.Line) {
	if r.env.Watch.Record != nil && r.group.Rank() == 0 {
		r.env.Watch.Record(m)
	}
}

// began hands on what the run does.
func (r *run) began() {
	if r.env.Watch.Began == nil || r.group.Rank() > 0 {
		return
	}
	b := Beginning{Steps: r.cfg.Steps, First: r.first, Tokens: r.tokens, TokensPerStep: r.cfg.TokensPerStep(),
		EpochTokens: int64(r.loader.Batches()) * int64(r.cfg.MicroTokens()), Shape: r.cfg.Model(), SeqLen: r.cfg.SeqLen,
		Out: r.cfg.Out, Device: r.dev}
	b.Record, _ = r.record(r.dev.Info.String())
	if r.cfg.Out != "" && r.first > 0 {
		b.Losses, _, _ = metrics.ReadWhole(r.metricsPath())
	}
	r.env.Watch.Began(b)
}

// asked returns what rank 0 was asked for.
func (r *run) asked() Ask {
	if r.env.Watch.Asked == nil || r.group.Rank() > 0 {
		return 0
	}
	return r.env.Watch.Asked()
}

// take adds what was asked for, which all ranks know, to what is due. What cannot be done is refused.
func (r *run) take(a Ask) {
	if a&AskStop != 0 {
		r.stop = true
	}
	if a&(AskSample|AskText) != 0 && r.cfg.SampleEvery == 0 { // only rank 0 has a sampler
		r.env.Log.Warn("no sample: the run has none (--sample-every 0)")
		a &^= AskSample | AskText
	}
	if a&AskValidation != 0 && r.val == nil {
		r.env.Log.Warn("no validation: the run has no data for it")
		a &^= AskValidation
	}
	r.due |= a &^ AskStop
}

// whilePaused returns once rank 0 is no longer asked to pause, or all are to stop. What else is asked for is done.
func (r *run) whilePaused(ctx context.Context) error {
	if r.due&AskPause == 0 || r.stop {
		return nil
	}
	if p := r.prefetched; p != nil { // its activations would be in the way
		r.prefetched = nil
		if err := r.loader.Seek(p.from); err != nil {
			return err
		}
	}
	r.holds(true)
	defer r.holds(false)
	for r.due&AskPause != 0 && !r.stop {
		if err := r.doAsked(); err != nil {
			return err
		}
		asked := r.asked()
		if asked&AskPause != 0 {
			time.Sleep(pauseTick)
		}
		sum, err := ranks.SumFloats(r.group, float64(asked), ranks.Flag(ctx.Err() != nil))
		if err != nil {
			return err
		}
		r.due &^= AskPause
		r.take(Ask(sum[0]))
		r.stop = r.stop || sum[1] > 0
	}
	return nil
}

// holds reports to Watch that the run pauses or continues.
func (r *run) holds(pause bool) {
	if r.env.Watch.Holds != nil && r.group.Rank() == 0 {
		r.env.Watch.Holds(pause)
	}
}

// doAsked does what is due between two steps of a run that pauses.
func (r *run) doAsked() error {
	can := AskValidation | AskSample | AskText
	if r.sameOnAllRanks() && r.skipped == 0 {
		can |= AskCheckpoint
	}
	due := r.due & can
	r.due &^= can
	return doDue(
		task{due&AskValidation != 0, r.validate},
		task{due&AskSample != 0 && r.sampler != nil, r.sample},
		task{due&AskText != 0, r.write},
		task{due&AskCheckpoint != 0, r.save})
}

// write calls Watch.Write, which writes the texts that were asked for.
func (r *run) write() error {
	r.due &^= AskText
	if r.sampler == nil || r.env.Watch.Write == nil {
		return nil
	}
	return r.env.Watch.Write(r.writer())
}

// pauseTick is how soon a paused run sees that it is to go on.
const pauseTick = 50 * time.Millisecond
