package gpu

import (
	"fmt"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
)

// Timing is what one dispatch took.
type Timing struct {
	Label        string
	Duration     time.Duration
	FLOPs, Bytes float64
}

// Record makes every later Run a Profile, whose times are appended to into; nil ends that.
func (p *Program) Record(into *[]Timing) { p.timings, p.observe = into, p.Profile }

// Profile runs the program once with every entry in a pass of its own and returns their times: the device's timestamps,
// or the wall clock with a wait after each entry where the device has none. Passes cost extra, so the sum exceeds Run's
// time.
func (p *Program) Profile() ([]Timing, error) {
	if !p.built {
		return nil, fmt.Errorf("%s: Profile before Build", p.Name)
	}
	out := make([]Timing, len(p.entries))
	for i, s := range p.entries {
		out[i] = Timing{Label: s.label, FLOPs: s.dispatch.FLOPs, Bytes: s.dispatch.Bytes}
	}
	if err := p.dev.wait(); err != nil {
		return nil, err
	}
	if !p.dev.timestamps {
		for i := range p.entries {
			var err error
			if out[i].Duration, err = p.timed(i); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	const most = 64               // entries per query set
	var ticks, wall time.Duration // of the longest submission
	for at := 0; at < len(p.entries); {
		end, _ := p.submission(at)
		end = min(end, at+most)
		start := time.Now()
		n, err := p.profileBatch(at, end, out[at:end])
		if err != nil {
			return nil, err
		}
		if took := time.Since(start); took > wall {
			ticks, wall = n, took
		}
		at = end
	}
	// A tick is a nanosecond on most drivers and 10, 52 or 83 on others, which the binding doesn't know: the wall clock
	// does, where a submission is so long that encoding and waiting, a few milliseconds, are a small part of it.
	if ratio := float64(wall) / float64(ticks); ticks > 0 && wall > 20*time.Millisecond && ratio > 5 {
		for i := range out {
			out[i].Duration = time.Duration(float64(out[i].Duration) * ratio)
		}
	}
	return out, nil
}

// RecordFirstUses makes later Runs append to into, for each kernel not yet recorded, the time of its first use: making
// its pipeline, plus its first dispatch minus a repeat of that dispatch, because drivers compile at either. nil ends
// that. It is meant for a device whose programs have not run. Those dispatches run twice, so the sums that they add to
// are not a result. A shader cache shortens the times.
func (p *Program) RecordFirstUses(into *[]Timing) { p.timings, p.observe = into, p.firstUses }

func (p *Program) firstUses() ([]Timing, error) {
	var out []Timing
	for i, s := range p.entries {
		p.firstUse(i, i+1)
		first, err := p.timed(i)
		if err != nil {
			return nil, err
		}
		p.usedOnce(s)
		if s.kernel == nil || s.kernel.used {
			continue
		}
		again, err := p.timed(i)
		if err != nil {
			return nil, err
		}
		s.kernel.used = true
		out = append(out, Timing{Label: s.label, Duration: s.kernel.made + max(0, first-again)})
	}
	return out, nil
}

// profileBatch submits the entries from first to end and returns the ticks from the first's start to the last's end;
// durations are in ticks.
func (p *Program) profileBatch(first, end int, out []Timing) (time.Duration, error) {
	d := p.dev
	n := 2 * (end - first)
	timer, err := d.dev.NewTimer(uint32(n))
	if err != nil {
		return 0, fmt.Errorf("%s: timestamps: %w", p.Name, err)
	}
	defer timer.Release()
	err = d.submit(func(enc *wgpu.Encoder) error {
		for i := range out {
			if err := enc.Stamp(timer, 2*i); err != nil {
				return err
			}
			if err := p.encode(enc, first+i, first+i+1); err != nil {
				return err
			}
			if err := enc.Stamp(timer, 2*i+1); err != nil {
				return err
			}
		}
		return enc.Resolve(timer)
	})
	if err != nil {
		return 0, fmt.Errorf("%s: timestamps: %w", p.Name, err)
	}
	words := make([]uint32, 2*n)
	t := Tensor{name: "ticks", buf: &buffer{raw: timer.Ticks, size: uint64(n) * 8}, shape: []int{2 * n}, storage: U32}
	if err := d.ReadU32(t, words); err != nil {
		return 0, err
	}
	at := func(i int) uint64 { return uint64(words[2*i]) | uint64(words[2*i+1])<<32 }
	for i := range out {
		if a, b := at(2*i), at(2*i+1); b > a {
			out[i].Duration = time.Duration(b - a)
		}
	}
	return time.Duration(at(n-1) - at(0)), nil
}
