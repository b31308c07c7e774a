package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/bench"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/report"
)

var benchCommand = &command{
	group: "This machine",
	name:  "bench",
	short: "Measure kernels and the training step on this GPU",
	long: `
Measures the device's rates of multiply-adds and of copies, then every kernel at the shapes of a preset's model, as a
fraction of the rate that bounds it, then a training step and where its time goes. Times are the shortest of several
runs. MFU is the model's own operations, 6 N + 6 L C T per token (N parameters, L layers, C channels, T tokens of
context), divided by the multiply-adds that the device could have done in that time. Small tensors stay in caches and
can pass the rate of copies.

The step's text reports what the host takes to encode its dispatches and to submit them, in the best of several steps;
lavapipe computes while they are submitted. It also reports the time of the kernels' first use, which is mostly
compilation. A driver's shader cache shortens it; MESA_SHADER_CACHE_DISABLE=true switches Mesa's off.`,
	examples: []string{
		"gpt2wgpu bench",
		"gpt2wgpu bench --kernel matmul --batch-size 4",
		"gpt2wgpu bench --kernels=false --preset gpt2-124m --batch-size 8 --json",
	},
	setup: func(fs *flagSet) runFunc {
		b := &benchFlags{fs: fs}
		f := fs.section("What")
		f.StringVar(&b.preset, "preset", "gpt2-124m", "measure this preset's model: `name` of "+
			strings.Join(presetNames(), ", "))
		f.IntVar(&b.batch, "batch-size", 0, "`sequences` of a micro-step (default: as many as make 1024 tokens)")
		f.IntVar(&b.seqLen, "seq-len", 0, "`tokens` of a sequence (default: the model's context, at most 1024; for "+
			"the step of a large model on a software device, 64)")
		f.StringVar(&b.dtype, "dtype", "f32", "storage `type` of activations and matrices: f32, bf16")
		takes(f, "dtype", "f32", "bf16")
		f.IntVar(&b.passes, "passes", 1, "measure rates and kernels this many `times` and keep the best, for "+
			"machines that do other work too")
		f.BoolVar(&b.kernels, "kernels", true, "measure kernels")
		f.StringVar(&b.kernel, "kernel", "", "measure only kernels with this `text` in their names, and no step "+
			"unless --step asks for it")
		f.BoolVar(&b.step, "step", true, "measure the training step")
		f = fs.section("Device")
		f.StringVar(&b.device, "device", "auto", train.DeviceUsage)
		f.BoolVar(&b.noAutotune, "no-autotune", false, train.NoAutotuneUsage)
		f = fs.section("Output")
		asJSON := f.Bool("json", false, "print one JSON object")
		fs.logFlags(f)
		return func(ctx context.Context, e *env, _ []string) error {
			shape, step, err := b.settle()
			if err != nil {
				return err
			}
			info, err := gpu.Find(b.device)
			if err != nil {
				return err
			}
			tiles, err := train.ChooseTiles(ctx, step, info, e.tuner(), e.log) // as train does
			if err != nil {
				return err
			}
			d, done, err := e.open(b.device)
			if err != nil {
				return err
			}
			defer done()
			r, err := b.measure(ctx, d, tiles, e.log, shape, step)
			if err != nil {
				return err
			}
			if *asJSON {
				return writeJSON(e.stdout, r)
			}
			return r.Write(e.stdout, d.Info)
		}
	},
}

type benchFlags struct {
	fs             *flagSet
	preset, dtype  string
	batch, seqLen  int
	passes         int
	kernels, step  bool
	kernel, device string
	noAutotune     bool
}

// benchTokens is what a micro-step has by default: enough to fill a device, and little enough for the memory of any.
const benchTokens = 1024

// Software devices take 40 s for a step of GPT-2 124M with 1024 tokens, 1e12 operations, and AdamW on all its
// parameters needs 2 GB.
const (
	softwareFLOPs  = 1e11
	softwareTokens = 64
	softwareParams = 16 << 20
)

// settle returns the shape of the kernels and the settings of the step. The flags must be parsed.
func (b *benchFlags) settle() (s bench.Shape, c train.Job, err error) {
	p, err := train.FindPreset(b.preset)
	bad := &mistakes{fs: b.fs}
	bad.when(err != nil, "%w", err)
	bad.when(b.passes < 1, "--passes is %d, want 1 or more; hint: --passes 3", b.passes)
	bad.idle(!b.kernels, "kernel passes", "with --kernels=false, which measures no kernel", "leave one of them out")
	bad.idle(!b.kernels && !b.step, "batch-size seq-len dtype preset no-autotune",
		"with --kernels=false --step=false, which measure the device only", "leave it out")
	if err := bad.err(); err != nil {
		return s, c, err
	}
	if b.kernel != "" && !b.fs.Changed("step") {
		b.step = false
	}
	c = train.Job{Config: p.Config}
	c.NoAutotune = b.noAutotune
	c.DType, c.TotalBatchSize = b.dtype, 0
	c.SeqLen = cmp.Or(b.seqLen, min(c.BlockSize, benchTokens))
	c.BatchSize = cmp.Or(b.batch, max(1, benchTokens/max(1, c.SeqLen)))
	s = bench.Shape{B: c.BatchSize, T: c.SeqLen, C: c.NEmbd, NH: c.NHead, V: c.VocabSize,
		Params: gpt2.ParamCount(c.Model())}
	if b.dtype == "bf16" {
		s.Data = gpu.BF16
	}
	bad.errs = append(bad.errs, c.Validate())
	return s, c, bad.err()
}

func (b *benchFlags) measure(ctx context.Context, d *gpu.Device, tiles op.Tuning, log *slog.Logger, shape bench.Shape,
	step train.Job) (r bench.Report, err error) {
	r = bench.Report{Device: d.Info.String(), Kernels: []bench.Row{}}
	var peak bench.Peak
	measurePeak := func() error { // several times: other work may slow any of them
		p, err := bench.MeasurePeak(d)
		peak = peak.Max(p)
		return err
	}
	if err := measurePeak(); err != nil {
		return r, err
	}
	log.Info("peak: " + peak.String())
	software := d.Info.Software()
	if software {
		shape.Params = min(shape.Params, softwareParams)
	}
	var last time.Time
	for pass := 0; b.kernels && pass < b.passes; pass++ {
		rows, err := bench.Kernels(d, tiles, shape, b.kernel, func(row bench.Row) error {
			if time.Since(last) > time.Second {
				last = time.Now()
				log.Info(fmt.Sprintf("%s, %s: %.4g ms", row.Name, row.Shape, row.MS))
			}
			return ctx.Err()
		})
		if err != nil {
			return r, err
		}
		if pass > 0 {
			rows = bench.Best(rows, r.Kernels)
		}
		r.Kernels = rows
		if err := measurePeak(); err != nil {
			return r, err
		}
	}
	if err := ctx.Err(); err != nil {
		return r, err
	}
	if b.step {
		why := ""
		flops := float64(step.MicroTokens()) * step.Model().FLOPsPerToken(step.SeqLen)
		if software && b.seqLen == 0 && b.batch == 0 && flops > softwareFLOPs {
			why = fmt.Sprintf(" (a software device; --seq-len %d measures the whole context)", step.SeqLen)
			step.SeqLen, step.BatchSize = softwareTokens, 1
		}
		log.Info(fmt.Sprintf("a training step of %s, B=%d T=%d", b.preset, step.BatchSize, step.SeqLen))
		s, err := train.NewStep(d, step, model.WithTuning(tiles))
		if err != nil {
			return r, err
		}
		log.Info(s.String())
		m, err := bench.MeasureStep(s)
		if err != nil {
			return r, err
		}
		m.Preset, m.TokensPerS = b.preset, float64(step.TokensPerStep())/(m.MS/1e3)
		m.FLOPsPerToken = step.Model().FLOPsPerToken(step.SeqLen)
		m.Describe = fmt.Sprintf("B=%d T=%d%s, one micro-step and the update, %s", step.BatchSize, step.SeqLen, why,
			step.DType)
		r.Step = &m
	}
	err = measurePeak()
	r.SetPeak(peak)
	return r, err
}

// reportProfile prints where the time of a profiled step went, and writes it to the run's directory, if there is one.
func reportProfile(w io.Writer, out string) func(train.Profile) error {
	return func(p train.Profile) error {
		peak, err := bench.MeasurePeak(p.Device)
		if err != nil {
			return err
		}
		if out != "" {
			if err := report.WriteProfile(out, profileOf(p, peak)); err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "profile of one step, %s, on %v\npeak: %v\n\n", p.Step, p.Device.Info, peak)
		return bench.WriteBreakdown(w, bench.Breakdown(p.Timings), peak)
	}
}

// profileOf is what profile.json has.
func profileOf(p train.Profile, peak bench.Peak) report.Profile {
	r := report.Profile{Step: p.Step, Device: p.Device.Info.String(), Peak: report.Peak{FMA: peak.FMA, Copy: peak.Copy}}
	for _, s := range bench.Breakdown(p.Timings) {
		if s.Time > 0 {
			r.Kernels = append(r.Kernels, report.Kernel{Name: s.Name, Count: s.Count, MS: s.MS, GFLOPs: s.GFLOPs(),
				GBs: s.GBs(), OfPeak: peak.OfPeak(s.Result)})
		}
	}
	for _, t := range p.Timings {
		r.Dispatches = append(r.Dispatches, report.Dispatch{Label: t.Label, MS: t.Duration.Seconds() * 1e3})
	}
	return r
}
