package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/eval"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// Env is where a run talks to.
type Env struct {
	Log     *slog.Logger // progress, on stderr
	Stdout  io.Writer    // samples
	Version string       // of the program, for config.json
	Program string       // as it was typed, for the commands to type next; empty: gpt2wgpu
	Group   ranks.Group  // nil: only this process
	Tuner   Tuner        // chooses tiles; nil: the fixed ones

	Supervised *Supervised // nil: this process is the whole run
	Watch      Watch

	// Fetch brings what the settings name into this machine's cache; init: the weights that the run starts from too.
	// One process of a machine calls it before the others. nil: all is there.
	Fetch func(c *Config, init bool) error
}

// ErrInterrupted ends a run that was asked to stop; its checkpoint is written.
var ErrInterrupted = errors.New("interrupted")

// maxSkipped is how many steps in a row may have a loss or norm that is not finite.
const maxSkipped = 3

// run is a training in progress.
type run struct {
	cfg   Job
	env   Env
	group ranks.Group
	mixed bool // the ranks' devices are of more than one kind

	tok      data.Tokenizer
	special  gpt2.Special // ids that the weights came with
	corpora  []*data.Corpus
	loader   *data.Loader
	val      *data.Loader // nil: no validation
	valSteps int          // batches of a validation

	tokenBytes []int // of each id; nil: not known
	dev        *gpu.Device
	compiled   func() // ends the reports about compiling; nil: there are none
	*Step
	instruments
	hella      *eval.HellaSwag // nil: not measured
	metrics    *metrics.Writer // nil: no --out, or not rank 0
	files      DataFiles       // of the corpora
	warned     map[string]bool // directories that cannot be removed
	wasFiles   DataFiles       // those of the checkpoint that the run goes on from
	prefetched *prefetched     // nil: the device does nothing of the next step yet
	stepFrom   *data.State     // where the loader stood when the step that is done began; nil: between steps
	updated    bool            // the step that is done has changed parameters
	exchange   *ranks.Exchange
	outer      *ranks.Outer // nil: the ranks sum gradients every step
	synced     int          // step of the newest outer step

	spent    metrics.Ranks // in all steps of this invocation
	stop     bool          // all ranks know that this invocation ends before the next step
	ends     summary
	unscored bool // all steps are done, and the last HellaSwag is missing
	first    int  // step of this invocation
	last     int  // step before which --stop-after ends it; 0: --steps
	step     int
	tokens   int64
	skipped  int
	saved    int              // step of the newest checkpoint, -1 none
	savedAt  time.Time        // when this invocation began, or has saved
	overdue  bool             // all ranks know that --save-minutes have passed since
	due      Ask              // what was asked for and is not done yet, the same on all ranks
	now      func() time.Time // time.Now but for tests

	claim Claim // of --out; zero on ranks above 0, and where a supervisor has it
	begun bool  // --out holds this run
	noted bool  // --out holds the settings of a run that has not begun

	tiles   Tiles        // that programs take
	timings []gpu.Timing // of the step that --profile looks at
}

// Run trains as cfg says. It returns ErrInterrupted, wrapped, when ctx ended or --stop-after was reached before the
// last step, with the checkpoint written if there is an --out.
//
// With a Group of more than one rank, rank 0's cfg counts on all of them but for the device. Only rank 0 reads and
// writes the run's directory and logs what is not a warning. An error that is not [ranks.Agreed] leaves the other ranks
// waiting.
func Run(ctx context.Context, cfg Job, env Env) error {
	r := newRun(cfg, env)
	defer r.close()
	err := ranks.Together(r.group, r.claimOut(ctx))
	if err == nil {
		err = r.open(ctx)
	}
	if errors.Is(err, errFinished) {
		return nil
	}
	if err == nil {
		err = r.saveBefore(r.loop(ctx))
	}
	if err == nil || errors.Is(err, ErrInterrupted) {
		r.logTimes()
		r.logSummary()
	}
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return inRank(r.group, err)
	}
	if failed := r.handProfile(); failed != nil {
		return inRank(r.group, failed)
	}
	return err
}

func (r *run) infof(format string, args ...any) { r.env.Log.Info(fmt.Sprintf(format, args...)) }
func (r *run) warnf(format string, args ...any) { r.env.Log.Warn(fmt.Sprintf(format, args...)) }

func newRun(cfg Job, env Env) *run {
	cfg, env = ofRank(cfg, env)
	return &run{cfg: cfg, env: env, group: env.Group, saved: -1, now: time.Now, warned: map[string]bool{}}
}

// ofRank returns what a job is on this rank of env's group: ranks above 0 print warnings only.
func ofRank(j Job, env Env) (Job, Env) {
	if env.Group == nil {
		env.Group = ranks.Alone()
	}
	j.Ranks = env.Group.Size()
	if rank := env.Group.Rank(); rank > 0 {
		env.Log = slog.New(warnings{env.Log.Handler()}).With("rank", rank)
		env.Stdout = io.Discard
		j.Profile = nil
	}
	return j, env
}

// open prepares everything: after it nothing is allocated, and nothing compiled but for the first use of kernels.
func (r *run) open(ctx context.Context) error {
	from, err := r.openRun()
	if err != nil {
		return err
	}
	if from.Checkpoint != "" {
		if err := r.resumed(from.State); err != nil && (r.group.Rank() == 0 || err == errFinished) {
			return ranks.Agree(err)
		} else if err != nil {
			return ranks.Agree(ranks.ErrElsewhere)
		}
	}
	for turn := range min(r.group.Size(), 2) {
		if r.env.Fetch != nil && (r.group.Local() == 0) == (turn == 0) {
			err = r.env.Fetch(&r.cfg.Config, from.Checkpoint == "")
		}
		if err := ranks.Together(r.group, err); err != nil {
			return err
		}
	}
	if err = ranks.Together(r.group, r.openParts(&from)); err != nil {
		return err
	}
	if err = ranks.Together(r.group, r.checkSpace()); err != nil {
		return err
	}
	r.sayOut()                              // not earlier: what comes before may refuse the directory or the settings
	tiles, err := r.agreeOnTiles(ctx, from) // measured in another process, so before this one opens the device
	if err != nil {
		return err
	}
	if err = ranks.Together(r.group, r.openDevice(tiles)); err != nil {
		return err
	}
	if err := r.loadState(from); err != nil {
		return err
	}
	from = origin{} // one and a half gigabytes at 124M
	if err = ranks.Together(r.group, r.openOut()); err != nil {
		return err
	}
	return r.checkInStep()
}

// openHellaSwag reads and packs the questions, if they are to be measured.
func (r *run) openHellaSwag() error {
	if !r.cfg.measuresHellaSwag() {
		return nil
	}
	all, err := data.ReadHellaSwag(r.cfg.Hellaswag, r.tok)
	if err != nil {
		return fmt.Errorf("--hellaswag: %w", err)
	}
	if len(all) < r.group.Size() {
		return fmt.Errorf("--hellaswag: %d questions for %d ranks; hint: fewer ranks, or no --hellaswag", len(all),
			r.group.Size())
	}
	var questions []data.Example
	for q := r.group.Rank(); q < len(all); q += r.group.Size() {
		questions = append(questions, all[q])
	}
	if r.hella, err = eval.NewHellaSwag(r.eval, questions, r.cfg.BlockSize, r.cfg.VocabSize); err != nil {
		return err
	}
	if r.hella.Cut > 0 {
		r.env.Log.Warn("HellaSwag: rows longer than the context lose their oldest tokens", "rows", r.hella.Cut,
			"context", r.cfg.BlockSize)
	}
	return nil
}

func (r *run) openCorpus(spec string, split data.Split, opts ...data.Option) (*data.Corpus, error) {
	if r.cfg.FromWeights() || r.cfg.Resume {
		opts = append(opts, data.OfModel())
	}
	c, err := data.Open(spec, r.tok, r.cfg.VocabSize, r.env.Log, append(opts, data.WithSplit(split))...)
	if err != nil {
		return nil, r.dataError(spec, split, err)
	}
	r.corpora = append(r.corpora, c)
	return c, nil
}

// build makes all that the run has on r.dev, with these tiles.
func (r *run) build(tiles op.Tuning) (err error) {
	if r.Step, err = NewStep(r.dev, r.cfg, r.useTiles(tiles)...); err != nil {
		return err
	}
	r.exchange = ranks.NewExchange(r.group, r.dev, ranks.Wire(r.cfg.GradDType))
	if r.instruments, err = newInstruments(r.Step, r.cfg.Config, r.group.Rank()); err != nil {
		return err
	}
	r.env.Log.Info(r.Step.String())
	return nil
}

// sayOut logs where the run is kept.
func (r *run) sayOut() {
	switch {
	case r.group.Rank() > 0:
	case r.cfg.Out != "":
		r.env.Log.Info("run directory "+r.cfg.Out, NewEvent("run", "out", r.cfg.Out))
	default:
		r.env.Log.Info("nothing will be saved (--out \"\")")
	}
}

// record returns the content of config.json.
func (r *run) record(device string) ([]byte, error) {
	record := Record{Config: r.cfg.Config, Version: r.env.Version, DeviceName: device}
	if r.dev != nil {
		for _, role := range gpu.Roles {
			record.Memory = append(record.Memory, RoleMemory{role, r.dev.Bytes(role)})
		}
	}
	raw, err := json.MarshalIndent(record, "", "  ")
	return append(raw, '\n'), err
}

// writeConfig writes config.json where it is not that already.
func (r *run) writeConfig(device string) error {
	raw, err := r.record(device)
	if err != nil {
		return err
	}
	path := filepath.Join(r.cfg.Out, configFile)
	if was, err := plainfile.ReadIn(r.cfg.Out, configFile, maxConfig); err == nil && bytes.Equal(was, raw) {
		return nil
	}
	if err = os.MkdirAll(r.cfg.Out, 0o755); err == nil {
		err = atomicfile.Write(path, raw)
	}
	return unwritable(r.cfg.Out, err)
}

// openOut writes config.json, resolved, and opens the metrics, cut back to the step that comes next.
func (r *run) openOut() error {
	if r.cfg.Out == "" || r.group.Rank() > 0 {
		return nil
	}
	r.begun = true
	again := r.env.Supervised != nil && len(r.env.Supervised.Restarts) > 0
	err := r.writeConfig(r.dev.Info.String())
	switch {
	case err != nil && again: // a full disk ends no run that could go on: its checkpoints have the settings too
		r.warnf("%v: training goes on", err)
	case err != nil:
		return err
	}
	if r.metrics, err = metrics.Open(r.metricsPath(), r.env.Log); err != nil {
		return err
	}
	if err := r.metrics.TruncateFrom(r.step); err != nil || !again {
		return err
	}
	for _, why := range r.env.Supervised.Restarts {
		if err := r.metrics.Restart(metrics.Restart{Step: r.step, Reason: why}); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) metricsPath() string { return filepath.Join(r.cfg.Out, metricsFile) }

func (r *run) close() {
	if r.compiled != nil {
		r.compiled()
	}
	r.exchange.Close()
	r.metrics.Close()
	if r.dev != nil {
		r.dev.Close()
	}
	for _, c := range r.corpora {
		c.Close()
	}
	r.leaveOut()
}
