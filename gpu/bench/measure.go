package bench

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// How long measuring goes on. Variables for tests, which need no truth.
var (
	enough = 300 * time.Millisecond // of runs, after which more change little
	span   = 20 * time.Millisecond  // of a program, so that submitting and waiting, some 0.1 ms, are a small part
)

// Fastest runs a built program once to compile and warm up, then at least n times, and returns the shortest time of a
// run, from its submission to its end.
func Fastest(p *gpu.Program, n int) (time.Duration, error) {
	return fastest(n, 50, enough, func(int) error {
		if err := p.Run(); err != nil {
			return err
		}
		return p.Device().Wait()
	})
}

// fastest calls run once to warm up, then at least `least` times, and on until that took enough or run was called
// `most` times. It returns the shortest time of a call.
func fastest(least, most int, enough time.Duration, run func(i int) error) (best time.Duration, err error) {
	var total time.Duration
	for i := 0; i <= least || total < enough && i < most; i++ {
		start := time.Now()
		if err := run(i); err != nil {
			return 0, err
		}
		if took := max(time.Since(start), 1); i > 0 {
			total += took
			best = min(cmp.Or(best, took), took)
		}
	}
	return best, nil
}

// Result is what one run of some dispatches costs.
type Result struct {
	Time         time.Duration
	FLOPs, Bytes float64 // as the dispatches say
}

// GFLOPs returns billions of operations a second.
func (r Result) GFLOPs() float64 { return r.FLOPs / float64(r.Time.Nanoseconds()) }

// GBs returns GB/s.
func (r Result) GBs() float64 { return r.Bytes / float64(r.Time.Nanoseconds()) }

// Measure times the dispatches that add appends. Short ones are repeated in one program.
func Measure(d *gpu.Device, name string, add func(p *gpu.Program)) (Result, error) {
	once, err := measure(d, name, 1, add)
	if err != nil || once.Time >= span {
		return once, err
	}
	repeats := int(min(200, (span+once.Time-1)/once.Time))
	return measure(d, name, repeats, add)
}

func measure(d *gpu.Device, name string, repeats int, add func(p *gpu.Program)) (Result, error) {
	p := d.NewProgram(name)
	defer p.Release()
	for range repeats {
		add(p)
	}
	if err := p.Build(); err != nil {
		return Result{}, err
	}
	runs := 3
	if repeats == 1 {
		runs = 2 // most often to learn how many repeats it takes
	}
	took, err := Fastest(p, runs)
	flops, bytes := p.Cost()
	n := float64(repeats)
	return Result{max(took/time.Duration(repeats), 1), flops / n, bytes / n}, err
}

// Peak is what bounds every kernel on a device.
type Peak struct {
	// float32 multiply-adds, two operations each, in billions a second, in the best of peakChains
	FMA  float64 `json:"fma_gflops"`
	Wide float64 `json:"-"`         // in the most chains: on CPUs a compiler that runs out of registers can halve it
	Copy float64 `json:"copy_gb_s"` // GB/s of a copy, bytes read and written together
}

// peakChains are the vec4 sums a thread that multiply-adds are measured with.
var peakChains = []int{3, 8}

// MeasurePeak runs shaders/peak_fma.wgsl and peak_copy.wgsl, in about a second.
func MeasurePeak(d *gpu.Device) (Peak, error) {
	var peak Peak
	for _, chains := range peakChains {
		fma, err := measureFMA(d, chains)
		if err != nil {
			return Peak{}, err
		}
		peak.FMA, peak.Wide = math.Max(peak.FMA, fma.GFLOPs()), fma.GFLOPs()
	}
	copied, err := measureCopy(d)
	peak.Copy = copied.GBs()
	return peak, err
}

func measureFMA(d *gpu.Device, chains int) (Result, error) {
	const threads = 64
	perThread := float64(2 * 64 * 16 * 4 * chains) // ROUNDS, REPEAT, a vec4
	groups := 16384                                // four times what fills the largest GPUs
	if d.Info.Software() {
		groups = 64
	}
	return measurePeak(d, "peak_fma", nil, shaders.Spec{"CHAINS": chains}, groups*threads, []string{"out"},
		func(p *gpu.Program) gpu.Dispatch {
			return gpu.Dispatch{Params: struct{ SEED float32 }{0.5}, Groups: p.Groups1D(groups),
				FLOPs: float64(groups) * threads * perThread}
		})
}

// copyBytes is more than the caches of GPUs and CPUs hold, and what WebGPU lets every device bind.
const copyBytes = 128 << 20

func measureCopy(d *gpu.Device) (Result, error) {
	const threads = 64
	quads := int(min(copyBytes, d.Limits.MaxBindingSize) / 16)
	return measurePeak(d, "peak_copy", shaders.Choice{"store": "store_f32"}, nil, 4*quads, []string{"out", "x"},
		func(p *gpu.Program) gpu.Dispatch {
			return gpu.Dispatch{Params: struct{ COUNT uint32 }{uint32(quads)},
				Groups: p.Groups1D((quads + threads - 1) / threads), Bytes: 2 * 16 * float64(quads)}
		})
}

// measurePeak times a yardstick kernel on tensors of words float32, named as its bindings.
func measurePeak(d *gpu.Device, name string, choice shaders.Choice, spec shaders.Spec, words int, bindings []string,
	dispatch func(p *gpu.Program) gpu.Dispatch) (Result, error) {
	text, err := shaders.Source(name, choice, spec)
	if err != nil {
		return Result{}, err
	}
	bind := map[string]gpu.Tensor{}
	for _, b := range bindings {
		if bind[b], err = d.NewTensor(gpu.Scratch, name+" "+b, gpu.F32, words); err != nil {
			return Result{}, err
		}
		defer d.Free(bind[b])
	}
	return Measure(d, name, func(p *gpu.Program) {
		x := dispatch(p)
		x.Source, x.Bind = text, bind
		p.Add(x)
	})
}

// Max returns the higher of each rate: of two measurements the one that other work disturbed less.
func (p Peak) Max(q Peak) Peak {
	return Peak{math.Max(p.FMA, q.FMA), math.Max(p.Wide, q.Wide), math.Max(p.Copy, q.Copy)}
}

// OfPeak returns the fraction of the limit that bounds r: the longer of the times that its operations and its bytes
// take at the peak rates, over its time.
func (p Peak) OfPeak(r Result) float64 {
	return math.Max(r.GFLOPs()/p.FMA, r.GBs()/p.Copy)
}

func (p Peak) String() string {
	return fmt.Sprintf("%.4g GFLOP/s of multiply-adds (float32; %.4g with %d sums a thread), %.4g GB/s of copies "+
		"(read and written)",
		p.FMA, p.Wide, 4*peakChains[len(peakChains)-1], p.Copy)
}
