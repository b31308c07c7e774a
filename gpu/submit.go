package gpu

import (
	"fmt"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/wgpu"
)

// submitTime is how long one submission should run: laptops kill work that holds the display's GPU for long.
const submitTime = 200 * time.Millisecond

// Run submits the program and returns without waiting for it, except the first time: then each submission is awaited
// and timed, and later runs are split by what was seen.
func (p *Program) Run() error {
	if !p.built {
		return fmt.Errorf("%s: Run before Build", p.Name)
	}
	if p.timings != nil {
		timings, err := p.observe()
		*p.timings = append(*p.timings, timings...)
		return err
	}
	d := p.dev
	d.cold = !p.warm
	for at := 0; at < len(p.entries); {
		end, cost := p.submission(at)
		if !p.warm {
			end, cost = p.firstUse(at, end)
		}
		start := time.Now()
		d.pending += cost
		if err := p.submit(at, end); err != nil {
			return err
		}
		if !p.warm {
			if err := d.wait(); err != nil {
				return fmt.Errorf("%s: %w", p.Name, err)
			}
			p.usedOnce(p.entries[at])
			// The first use of a kernel includes its compilation: count only what is not slower than believed by far.
			if took := time.Since(start).Seconds(); took > 0.01 {
				if seen := cost / took; seen > d.rate/3 {
					d.rate = 0.5*d.rate + 0.5*seen
				}
			}
		}
		at = end
	}
	p.warm, d.cold = true, false
	return nil
}

// firstUse ends a submission of the entries from at to end so that a kernel that has not run yet is by itself, and
// reports such a kernel. It returns the new end and the cost.
func (p *Program) firstUse(at, end int) (int, float64) {
	cost := 0.0
	for i := at; i < end; i++ {
		if k := p.entries[i].kernel; k != nil && !k.ran {
			if i > at {
				return i, cost
			}
			p.dev.compiling(Compilation{Kernel: k.src.Label, Done: p.dev.used, FirstUse: true})
			end = at + 1
		}
		cost += p.entries[i].cost()
	}
	return end, cost
}

// usedOnce notes that the kernel of s has run.
func (p *Program) usedOnce(s *entry) {
	if s.kernel != nil && !s.kernel.ran {
		s.kernel.ran = true
		p.dev.used++
		p.dev.compiling(Compilation{})
	}
}

// submission returns the end of the entries from at on that should go into one submission, and their cost.
func (p *Program) submission(at int) (end int, cost float64) {
	d := p.dev
	if d.rate == 0 {
		d.rate = 1e11
		if d.Info.Software() {
			d.rate = 5e9
		}
	}
	for end = at; end < len(p.entries) && (end == at ||
		cost+p.entries[end].cost() <= d.rate*submitTime.Seconds()); end++ {
		cost += p.entries[end].cost()
	}
	return end, cost
}

// submit encodes the entries from at to end into one command buffer, one pass for each run of dispatches, and submits
// it.
func (p *Program) submit(at, end int) error {
	start := time.Now()
	var encoded time.Duration
	err := p.dev.submit(func(enc *wgpu.Encoder) error {
		for at < end {
			next := at + 1
			for p.entries[at].kernel != nil && next < end && p.entries[next].kernel != nil {
				next++
			}
			if err := p.encode(enc, at, next); err != nil {
				return err
			}
			at = next
		}
		encoded = time.Since(start)
		return nil
	})
	p.dev.host.Encoding += encoded
	p.dev.host.Submitting += time.Since(start) - encoded
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	return nil
}

// encode encodes the entry at, a clear or a copy, or the dispatches from at to end as one pass.
func (p *Program) encode(enc *wgpu.Encoder, at, end int) error {
	s, to := p.entries[at], p.entries[at].copyTo
	name := s.label
	var err error
	switch {
	case s.kernel != nil:
		name += "…" + p.entries[end-1].label
		err = enc.Pass(p.passes[at:end])
	case s.copyFrom.None():
		err = enc.Clear(to.buf.raw, to.offset, to.Bytes())
	default:
		err = enc.Copy(to.buf.raw, to.offset, s.copyFrom.buf.raw, s.copyFrom.offset, to.Bytes())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// timed runs entry i by itself and returns what it took.
func (p *Program) timed(i int) (time.Duration, error) {
	start := time.Now()
	err := p.submit(i, i+1)
	if err == nil {
		err = p.dev.wait()
	}
	return time.Since(start), err
}
