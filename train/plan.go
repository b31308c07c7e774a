package train

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/oneline"
)

// Plan is what Run would do.
type Plan struct {
	Job
	Step *Step // on a plan of the device

	Checkpoint uint64 // bytes of a checkpoint
}

// DryRun prints the plan of j on env.Stdout: shapes, parameters, bytes of device memory by role, steps.
func DryRun(j Job, env Env) error {
	p, err := NewPlan(j, env)
	if err != nil {
		return err
	}
	_, env = ofRank(j, env)
	env.Log.Info(p.Step.String())
	p.Print(env.Stdout)
	return nil
}

// NewPlan returns the plan of j. It builds the same programs as Run on a plan of the device, so nothing is allocated;
// without any GPU the plan is that of WebGPU's own limits. Data is not opened.
func NewPlan(j Job, env Env) (*Plan, error) {
	j, env = ofRank(j, env)
	if err := j.Validate(); err != nil {
		return nil, err
	}
	if err := CheckOut(j); err != nil {
		return nil, err
	}
	if shape, _ := gpt2.Named(j.Init); gpt2.Published(j.Init) { // nothing is fetched for a plan
		if _, err := j.takeShape(shape, j.Init, "gpt2"); err != nil {
			return nil, err
		}
		if err := j.Validate(); err != nil {
			return nil, err
		}
	} else if _, err := j.begin(env.Log); err != nil {
		return nil, err
	}
	info := gpu.AdapterInfo{Name: "no GPU here: planned for WebGPU's default limits", Backend: "none", Type: "other",
		Limits: gpu.DefaultLimits()}
	if list, err := gpu.Adapters(); err == nil {
		if info, err = gpu.Choose(list, j.Device); err != nil {
			return nil, err
		}
	}
	var tiles op.Tuning
	if env.Tuner != nil && !j.NoAutotune && !j.Resume {
		tiles = env.Tuner.Cached(info)
	}
	step, err := NewStep(gpu.Plan(info), j, model.WithTuning(tiles))
	if err != nil {
		return nil, err
	}
	if _, err := newInstruments(step, j.Config, env.Group.Rank()); err != nil {
		return nil, err
	}
	return &Plan{j, step, j.checkpointBytes()}, nil
}

// Dispatches returns the numbers of dispatches of a micro-step and of an update.
func (p *Plan) Dispatches() (micro, update int) {
	for _, program := range p.Step.Training.Programs() {
		micro += program.Dispatches()
	}
	return micro, p.Step.Optimizer.Program().Dispatches()
}

// Print writes the plan, one line for each figure.
func (p *Plan) Print(out io.Writer) {
	c, step := p.Job, p.Step
	shape, dev := c.Model(), step.Model.Device
	var decayed, plain, matrices, vectors, hidden int
	for _, p := range gpt2.Table(shape) {
		if p.Matrix() && p.Layer >= 0 {
			hidden++
		}
		if p.Matrix() {
			matrices, decayed = matrices+1, decayed+p.Size()
		} else {
			vectors, plain = vectors+1, plain+p.Size()
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	line("device", "%v", dev.Info)
	line("model", "%d layers, %d heads of %d, %d channels, context %d, vocabulary %d", c.NLayer, c.NHead,
		shape.HeadSize(), c.NEmbd, c.BlockSize, c.VocabSize)
	line("parameters", "%d: %d in %d matrices, %d in %d vectors", decayed+plain, decayed, matrices, plain, vectors)
	on := map[string]string{"all": "all parameters", "matrices": "the matrices"}
	if c.Optimizer == "muon" {
		line("optimizer", "muon on the %d matrices of the blocks: rate %.3g, momentum %v, weight decay %v; adamw on "+
			"the others", hidden, c.MuonLR, c.MuonMomentum, c.MuonWeightDecay)
		on = map[string]string{"all": "all parameters of adamw", "matrices": "the embeddings"}
	} else {
		line("optimizer", "%s", c.Optimizer)
	}
	line("weight decay", "%v on %s", c.WeightDecay, on[c.Decay])
	line("step", "%d tokens: %d micro-steps of %d sequences of %d", c.TokensPerStep(), c.AccumSteps(), c.BatchSize,
		c.SeqLen)
	line("run", "%d steps, %d tokens, %.4g FLOPs a token", c.Steps, int64(c.Steps)*int64(c.TokensPerStep()),
		shape.FLOPsPerToken(c.SeqLen))
	line("learning rate", "%s, %.3g to %.3g after %d warm-up steps", c.Schedule, c.LR, LearningRate(c.Config,
		c.Steps-1), c.WarmupSteps)
	micro, update := p.Dispatches()
	line("dispatches", "%d a micro-step, %d an update", micro, update)
	line("device memory", "%s", gpu.HumanBytes(dev.TotalBytes()))
	for _, role := range gpu.Roles {
		line("  "+string(role), "%s (%d bytes)", gpu.HumanBytes(dev.Bytes(role)), dev.Bytes(role))
	}
	where, bytes := "; with --out '' none is written", p.Checkpoint
	if c.Out != "" {
		where = fmt.Sprintf(", at most %d at a time", c.mostCheckpoints())
		if n, known := freeSpace(c.Out); known {
			where += fmt.Sprintf("; %s free in %s", gpu.HumanBytes(n), oneline.Of(c.Out))
		}
	}
	line("checkpoint", "%s (about %d bytes)%s", gpu.HumanBytes(bytes), bytes, where)
	w.Flush()
}
