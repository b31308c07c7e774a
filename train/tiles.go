package train

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// Tuner chooses tiles by measuring; gpu/tune's is one.
type Tuner interface {
	// Cached returns what was chosen on an adapter before.
	Cached(gpu.AdapterInfo) op.Tuning
	// Tune measures what list names and the cache lacks, and in the end the whole step that TuningStep builds from
	// micro. With an error it returns what it has chosen until then.
	Tune(ctx context.Context, info gpu.AdapterInfo, list func(op.Tuning) ([]op.Use, error), micro any) (op.Tuning,
		error)
}

// Tiles is what measuring has chosen for a run: a part of its state, since other tiles add up in another order.
type Tiles struct {
	Device string    `json:"device"` // what they were chosen on
	Tuning op.Tuning `json:"tuning"` // empty: the fixed tables
	Tables string    `json:"tables"` // of the program for the device, a hash; empty: written before there were hashes
}

// tunedParams is the number of parameters below which a run does not wait for tuning: it would be done sooner.
const tunedParams = 10_000_000

// Uses returns what a [Tuner] measures for a run: a function that lists the tuned ops of its training step under a
// tuning.
func Uses(c Job, info gpu.AdapterInfo) func(op.Tuning) ([]op.Use, error) {
	return func(t op.Tuning) (uses []op.Use, err error) {
		_, err = NewStep(gpu.Plan(info), c, model.WithTuning(t), model.OnUse(func(u op.Use) { uses = append(uses, u) }))
		return uses, err
	}
}

// Tune lets a [Tuner] choose the tiles of a job's micro-step.
func Tune(ctx context.Context, c Job, info gpu.AdapterInfo, t Tuner) (op.Tuning, error) {
	return t.Tune(ctx, info, Uses(c, info), Config{
		Config: c.Model(), BatchSize: c.BatchSize, SeqLen: c.SeqLen, DType: c.DType, Recompute: c.Recompute,
	})
}

// TuningStep builds the micro-step of [Tune], in JSON, and an update, for the process in which a [Tuner] measures.
// trial does it on made-up tokens and zeros for parameters, and returns how long it took.
func TuningStep(d *gpu.Device, micro json.RawMessage, t op.Tuning) (trial func() (time.Duration, error), err error) {
	var j Job
	if err := json.Unmarshal(micro, &j.Config); err != nil {
		return nil, err
	}
	s, err := NewStep(d, j, model.WithTuning(t))
	if err != nil {
		return nil, err
	}
	s.makeTokens()
	return func() (time.Duration, error) {
		start := time.Now()
		err := s.Trial(0)
		return time.Since(start), err
	}, nil
}

// ChooseTiles returns the tiles that a new run takes on a device: what t has for it, and on GPUs, for models that are
// worth the time, what t measures now. None with a nil t or --no-autotune. Error: ErrInterrupted, if ctx ended.
func ChooseTiles(ctx context.Context, c Job, info gpu.AdapterInfo, t Tuner, log *slog.Logger) (op.Tuning, error) {
	if t == nil || c.NoAutotune {
		return nil, nil
	}
	if info.Software() || gpt2.ParamCount(c.Model()) < tunedParams {
		return t.Cached(info), nil
	}
	tiles, err := Tune(ctx, c, info, t)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w while choosing tiles", ErrInterrupted)
	}
	if err != nil {
		log.Warn("tiles that were not measured are the fixed ones", "reason", err)
	}
	return tiles, nil
}

// agreeOnTiles returns the tiles of a run that begins at s: on a resume those it had, whatever has been chosen since.
// Rank 0 chooses for all whose device is as its own, so that they differ in nothing; others take the fixed ones.
func (r *run) agreeOnTiles(ctx context.Context, s origin) (op.Tuning, error) {
	var chosen Tiles
	var err error
	if r.group.Rank() == 0 {
		chosen.Device = s.info.String()
		chosen.Tuning, err = r.chooseTiles(ctx, s)
	}
	if err := ranks.Together(r.group, err); err != nil {
		return nil, err
	}
	if err := ranks.Share(r.group, &chosen); err != nil {
		return nil, err
	}
	if chosen.Device != s.info.String() {
		return nil, nil
	}
	return chosen.Tuning, nil
}

// chooseTiles is rank 0's part. Tiles are a device's: on another one, a resumed run takes that one's.
func (r *run) chooseTiles(ctx context.Context, s origin) (op.Tuning, error) {
	if was := s.State.Tiles; s.Checkpoint != "" && (was.Device == "" || was.Device == s.info.String()) {
		target := op.TargetFor(s.info, s.info.Limits)
		if err := was.Tuning.Validate(target); err != nil {
			return nil, fmt.Errorf("--resume: the checkpoint's %w; hint: resume with the program that wrote it, %s",
				err, s.State.Version)
		}
		if was.Tables != target.Tables() && (was.Tables != "" || s.State.Version != r.env.Version) {
			r.warnf("the checkpoint is of %s, whose kernels for this device may differ from those of %s: "+
				"the run's numbers may change in their last digits", s.State.Version, r.env.Version)
		}
		return was.Tuning, nil
	} else if s.Checkpoint != "" {
		r.warnf("the run's tiles were chosen on %s: on another device its numbers differ in "+
			"their last digits", was.Device)
	}
	return ChooseTiles(ctx, r.cfg, s.info, r.env.Tuner, r.env.Log)
}

// useTiles makes the model's programs take the tiles of t, and keeps those that are used for the checkpoints.
func (r *run) useTiles(t op.Tuning) []model.Option {
	r.tiles = Tiles{
		Device: r.dev.Info.String(), Tuning: op.Tuning{}, Tables: op.TargetFor(r.dev.Info, r.dev.Limits).Tables(),
	}
	return []model.Option{model.WithTuning(t), model.OnUse(func(u op.Use) {
		if tile, ok := t[u.Class]; ok {
			r.tiles.Tuning[u.Class] = tile
		}
	})}
}
