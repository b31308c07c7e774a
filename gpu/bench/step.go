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

// StepTime is what an optimizer step takes.
type StepTime struct {
	Time    time.Duration // the shortest of several
	Host    gpu.HostTime  // of the step whose encoding was the shortest
	Submits int           // submissions of a step

	Dispatches int          // of the programs
	Timings    []gpu.Timing // of every dispatch, by a profile, which costs extra
	First      []gpu.Timing // of every kernel's first use, above all its compilation
}

// MeasureStep times a step that has not run before.
func MeasureStep(step Stepper) (s StepTime, err error) {
	const most = 20
	programs := step.Programs()
	for _, p := range programs {
		p.RecordFirstUses(&s.First)
		s.Dispatches += p.Dispatches()
	}
	if err := step.Trial(0); err != nil {
		return s, err
	}
	for _, p := range programs {
		p.RecordFirstUses(nil)
	}
	s.Time, err = fastest(3, most, 2*time.Second, func(i int) error {
		d := programs[0].Device()
		host, submits := d.HostTime()
		err := step.Trial(i)
		now, all := d.HostTime()
		encoding := now.Encoding - host.Encoding
		if i > 0 && (s.Host.Encoding == 0 || encoding < s.Host.Encoding) {
			s.Host = gpu.HostTime{Encoding: encoding, Submitting: now.Submitting - host.Submitting}
			s.Submits = all - submits
		}
		return err
	})
	if err != nil {
		return s, err
	}
	for _, p := range programs {
		p.Record(&s.Timings)
		defer p.Record(nil)
	}
	return s, step.Trial(most)
}
