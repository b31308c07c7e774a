package bench

import (
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// Stepper is an optimizer step on a device.
type Stepper interface {
	Programs() []*gpu.Program
	Trial(i int) error // does step i on made-up data, and waits for its end
}

// MeasureStep times a step that has not run before: the shortest time of several, and the host's of the step whose
// encoding was the shortest. The breakdown is of a profile, which costs extra.
func MeasureStep(step Stepper) (s Step, err error) {
	const most = 20
	programs := step.Programs()
	for _, p := range programs {
		p.RecordFirstUses(&s.FirstUses)
		s.Dispatches += p.Dispatches()
	}
	if err := step.Trial(0); err != nil {
		return s, err
	}
	for _, p := range programs {
		p.RecordFirstUses(nil)
	}
	var host gpu.HostTime
	took, err := fastest(3, most, 2*time.Second, func(i int) error {
		d := programs[0].Device()
		before, submits := d.HostTime()
		err := step.Trial(i)
		now, all := d.HostTime()
		encoding := now.Encoding - before.Encoding
		if i > 0 && (host.Encoding == 0 || encoding < host.Encoding) {
			host = gpu.HostTime{Encoding: encoding, Submitting: now.Submitting - before.Submitting}
			s.Submits = all - submits
		}
		return err
	})
	if err != nil {
		return s, err
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	s.MS, s.EncodeMS, s.SubmitMS = ms(took), ms(host.Encoding), ms(host.Submitting)
	var timings []gpu.Timing
	for _, p := range programs {
		p.Record(&timings)
		defer p.Record(nil)
	}
	err = step.Trial(most)
	s.Breakdown = Breakdown(timings)
	return s, err
}
