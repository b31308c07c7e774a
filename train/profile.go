package train

import (
	"context"
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

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
	if r.cfg.StopAfter > 0 {
		last = min(last, r.first+r.cfg.StopAfter-1)
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
