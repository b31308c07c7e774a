package train

import (
	"fmt"
	"math"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// Step is a run's optimizer step on a device, or on the plan of one: the model, its forward and backward, and the
// update.
type Step struct {
	Model     *model.Model
	Training  *model.Training
	Optimizer model.Optimizer

	job            Job
	trialX, trialY []uint32 // (B,T) inputs and targets of Trial; nil before the first
}

// NewStep allocates the memory of a job's step on d and builds its programs. The parameters are still to be loaded.
// Errors: a shape that cannot be built, and memory.
func NewStep(d *gpu.Device, j Job, opts ...model.Option) (*Step, error) {
	j = j.Resolved()
	s := &Step{job: j}
	var err error
	if s.Model, err = model.New(d, j.Model(), opts...); err != nil {
		return nil, err
	}
	// Gradients are those of a mean over all ranks, which sums add up, or of a mean over this rank's tokens only.
	micros, buckets := j.AccumSteps(), model.Buckets(0)
	if j.ranks() > 1 && !j.local() {
		micros *= j.ranks()
		buckets = model.Buckets(model.BucketBytes(j.Model()))
	}
	if s.Training, err = model.NewTraining(s.Model, j.BatchSize, j.SeqLen, micros,
		append(j.options(), buckets)...); err != nil {
		return nil, err
	}
	s.Optimizer, err = j.optimizer().New(s.Training)
	return s, err
}

// optimizers are the words of --optimizer.
var optimizers = []string{"adamw", "muon"}

// optimizer returns the settings of the update.
func (c Config) optimizer() model.OptimizerSettings {
	adamW := model.AdamW{
		Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, WeightDecay: c.WeightDecay, DecayAll: c.Decay == "all",
		GradClip: c.GradClip,
	}
	if c.Optimizer == "muon" {
		return model.Muon{AdamW: adamW, PeakLR: c.LR, Rate: c.MuonLR, Momentum: c.MuonMomentum,
			RateDecay: c.MuonWeightDecay}
	}
	return adamW
}

// String describes the step and the device's memory.
func (s *Step) String() string {
	return fmt.Sprintf("model: %d parameters; a step: %d tokens, %d micro-steps of B=%d T=%d; device memory: %s",
		gpt2.ParamCount(s.Model.Config), s.job.TokensPerStep(), s.job.AccumSteps(), s.job.BatchSize, s.job.SeqLen,
		s.Model.Device.MemoryReport())
}

// Programs returns the step's programs, in the order in which they run.
func (s *Step) Programs() []*gpu.Program {
	return append(s.Training.Programs(), s.Optimizer.Program())
}

// makeTokens makes those of Trial, nearly all distinct, as words are not.
func (s *Step) makeTokens() {
	made := func(i int) uint32 { return uint32(uint64(i) * 2654435761 % uint64(s.Model.Config.VocabSize)) }
	for i := range s.Training.B * s.Training.T {
		s.trialX, s.trialY = append(s.trialX, made(i)), append(s.trialY, made(i+1))
	}
}

// Trial does optimizer step i on made-up tokens and waits for its end, for measurements. The first trial loads random
// weights.
func (s *Step) Trial(i int) error {
	if s.trialX == nil {
		if err := s.Model.Load(gpt2.Init(s.Model.Config, s.job.Seed)); err != nil {
			return err
		}
		s.makeTokens()
	}
	if err := s.Training.Begin(); err != nil {
		return err
	}
	for range s.job.AccumSteps() {
		if err := s.Training.Micro(s.trialX, s.trialY); err != nil {
			return err
		}
	}
	if err := s.Optimizer.Update(i, s.job.LR); err != nil {
		return err
	}
	stats, err := s.Training.Stats() // waits
	if err == nil && (stats.Skipped || math.IsNaN(stats.Loss)) {
		err = fmt.Errorf("the measured step gave the loss %v; hint: run gpt2wgpu selftest", stats.Loss)
	}
	return err
}
