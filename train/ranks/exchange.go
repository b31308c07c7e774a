package ranks

import (
	"fmt"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// Exchange sums values over the ranks while the device goes on computing. Three things run at once: the device computes
// a segment of the backward; the goroutine that owns it takes the gradients of the segment before to the host; and a
// second goroutine, the only one that speaks to the group meanwhile, sums those of the segments before that.
type Exchange struct {
	group Group
	dev   *gpu.Device
	wire  Wire

	jobs   chan *piece // to the other goroutine
	leave  []*piece    // copies under way from the device, oldest first
	summed []*piece    // with the other goroutine, oldest first
	free   []*piece

	Copied  time.Duration // between device and host, so far
	Exposed time.Duration // spent waiting for sums that nothing hid
}

// piece is a window of device memory on its way.
type piece struct {
	w    gpu.Tensor
	read *gpu.Pending
	host []float32
	done chan error
}

// maxPieces is more than a step has, so that handing one over never waits: 2 TB.
const maxPieces = 1 << 16

// maxLeaving bounds the staging memory, 32 MiB each.
const maxLeaving = 4

// NewExchange starts the goroutine that sums, where there are several ranks; Close ends it.
func NewExchange(g Group, d *gpu.Device, wire Wire) *Exchange {
	e := &Exchange{group: g, dev: d, wire: wire}
	if g.Size() > 1 {
		e.jobs = make(chan *piece, maxPieces)
		go func() {
			for p := range e.jobs {
				p.done <- g.AllreduceSum(p.host, wire)
			}
		}()
	}
	return e
}

// Close ends it; nil is allowed.
func (e *Exchange) Close() {
	if e != nil && e.jobs != nil {
		close(e.jobs)
	}
}

// Add takes windows whose values are complete once everything submitted has run. It returns while that may still run.
func (e *Exchange) Add(windows []gpu.Tensor) error {
	if e.group.Size() == 1 {
		return nil
	}
	before := len(e.leave)
	for _, w := range windows {
		if len(e.leave) >= maxLeaving {
			if err := e.handOver(); err != nil {
				return err
			}
			before--
		}
		read, err := e.dev.StartRead(w)
		if err != nil {
			return err
		}
		e.leave = append(e.leave, e.piece(w, read))
	}
	// Those from before this segment: the device has the next one to do meanwhile.
	for ; before > 0; before-- {
		if err := e.handOver(); err != nil {
			return err
		}
	}
	return nil
}

// piece returns one with room for w's values.
func (e *Exchange) piece(w gpu.Tensor, read *gpu.Pending) *piece {
	for i, p := range e.free {
		if len(p.host) == w.Len() {
			e.free = append(e.free[:i], e.free[i+1:]...)
			p.w, p.read = w, read
			return p
		}
	}
	return &piece{w: w, read: read, host: make([]float32, w.Len()), done: make(chan error, 1)}
}

// handOver gives the oldest copy to be summed, once it is there.
func (e *Exchange) handOver() error {
	p := e.leave[0]
	if err := p.read.Wait(); err != nil {
		return err
	}
	start := time.Now()
	if err := p.read.Take(p.host); err != nil {
		return err
	}
	e.Copied += time.Since(start)
	e.leave = e.leave[1:]
	e.summed = append(e.summed, p)
	e.jobs <- p
	return nil
}

// Finish brings everything that was added, summed, back to the device.
func (e *Exchange) Finish() error {
	for len(e.leave) > 0 {
		if err := e.handOver(); err != nil {
			return err
		}
	}
	for i, p := range e.summed {
		start := time.Now()
		if err := <-p.done; err != nil {
			return fmt.Errorf("sum over the ranks: %w", err)
		}
		back := time.Now()
		e.Exposed += back.Sub(start)
		if err := e.dev.Upload(p.w, p.host); err != nil {
			return err
		}
		if i%maxLeaving == maxLeaving-1 {
			if err := e.dev.Flush(); err != nil {
				return err
			}
		}
		e.Copied += time.Since(back)
		e.free = append(e.free, p)
	}
	e.summed = e.summed[:0]
	return nil
}
