package bench

import (
	"fmt"
	"io"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// Report is all that `gpt2wgpu bench` measures.
type Report struct {
	Device  string `json:"device"`
	Peak    Peak   `json:"peak"`
	Kernels []Row  `json:"kernels"`
	Step    *Step  `json:"step"` // nil: not measured
}

// Step is one optimizer step.
type Step struct {
	Preset     string  `json:"preset"`
	MS         float64 `json:"ms"`
	TokensPerS float64 `json:"tokens_per_s"`
	MFU        float64 `json:"mfu"`       // the model's operations in that time, of the rate of multiply-adds
	EncodeMS   float64 `json:"encode_ms"` // what the host takes to encode the step
	SubmitMS   float64 `json:"submit_ms"` // what it takes to submit that; some software devices compute meanwhile
	Breakdown  []Share `json:"breakdown"`

	Describe string `json:"-"` // batch, and what is left out
	// of the kernels, above all their compilations; a driver's shader cache shortens them
	Dispatches    int          `json:"-"`
	Submits       int          `json:"-"` // submissions of the step
	FirstUses     []gpu.Timing `json:"-"`
	FLOPsPerToken float64      `json:"-"`
}

// Best returns the faster one of each row of two measurements of the same kernels.
func Best(a, b []Row) []Row {
	best := append([]Row(nil), a...)
	for i := range best {
		if i < len(b) && b[i].Time < best[i].Time {
			best[i] = b[i]
		}
	}
	return best
}

// SetPeak sets the peak rates and the fractions that depend on them.
func (r *Report) SetPeak(peak Peak) {
	r.Peak = peak
	for i := range r.Kernels {
		r.Kernels[i].OfPeak = peak.OfPeak(r.Kernels[i].Result)
	}
	if s := r.Step; s != nil {
		s.MFU = s.FLOPsPerToken * s.TokensPerS / (1e9 * peak.FMA)
	}
}

// Write prints the report as tables.
func (r Report) Write(w io.Writer, info gpu.AdapterInfo) error {
	fmt.Fprintf(w, "device: %v, %s\n", r.Device, info.Driver)
	if _, err := fmt.Fprintf(w, "peak:   %v\n", r.Peak); err != nil {
		return err
	}
	if len(r.Kernels) > 0 {
		fmt.Fprintln(w)
		t := newTable(w, "kernel", "shape", "dtype", "ms", "GFLOP/s", "GB/s", "of peak")
		t.text = 3
		for _, k := range r.Kernels {
			t.row(k.Name, k.Shape, k.DType, number(k.MS), number(k.GFLOPs), number(k.GBs),
				fmt.Sprintf("%.2f", k.OfPeak))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	s := r.Step
	if s == nil {
		return nil
	}
	fmt.Fprintf(w, "\nstep: %s, %s\n", s.Preset, s.Describe)
	fmt.Fprintf(w, "%s ms, %s tokens/s, MFU %.3f: %.4g FLOPs a token, 6 N + 6 L C T, at %.4g GFLOP/s\n",
		number(s.MS), number(s.TokensPerS), s.MFU, s.FLOPsPerToken, r.Peak.FMA)
	fmt.Fprintf(w, "the host encodes it in %s ms and submits it in %s ms: %d dispatches, %d submissions\n\n",
		number(s.EncodeMS), number(s.SubmitMS), s.Dispatches, s.Submits)
	var all time.Duration
	var slowest gpu.Timing
	for _, k := range s.FirstUses {
		all += k.Duration
		if k.Duration > slowest.Duration {
			slowest = k
		}
	}
	fmt.Fprintf(w, "first use of %d kernels: %s ms, the slowest %s ms (%s)\n\n",
		len(s.FirstUses), number(all.Seconds()*1e3), number(slowest.Duration.Seconds()*1e3), slowest.Label)
	return WriteBreakdown(w, s.Breakdown, r.Peak)
}
