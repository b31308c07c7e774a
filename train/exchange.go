package train

import (
	"fmt"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// exchange sums values over the ranks while the device goes on computing. Three things run at once: the device computes
// a segment of the backward; the goroutine that owns it takes the gradients of the segment before to the host; and a second
// goroutine, the only one that speaks to the group meanwhile, sums those of the segments before that.
type exchange struct {
	group Group
	dev   *gpu.Device
	wire  Wire

	jobs   chan *piece // to the other goroutine
	leave  []*piece    // copies under way from the device, oldest first
	summed []*piece    // with the other goroutine, oldest first
	free   []*piece

	copied  time.Duration // between device and host, so far
	exposed time.Duration // spent waiting for sums that nothing hid
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

func newExchange(g Group, d *gpu.Device, wire Wire) *exchange {
	e := &exchange{group: g, dev: d, wire: wire}
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

func (e *exchange) close() {
	if e != nil && e.jobs != nil {
		close(e.jobs)
	}
}

// add takes windows whose values are complete once everything submitted has run. It returns while that may still run.
func (e *exchange) add(windows []gpu.Tensor) error {
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
func (e *exchange) piece(w gpu.Tensor, read *gpu.Pending) *piece {
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
func (e *exchange) handOver() error {
	p := e.leave[0]
	if err := p.read.Wait(); err != nil {
		return err
	}
	start := time.Now()
	if err := p.read.Take(p.host); err != nil {
		return err
	}
	e.copied += time.Since(start)
	e.leave = e.leave[1:]
	e.summed = append(e.summed, p)
	e.jobs <- p
	return nil
}

// finish brings everything that was added, summed, back to the device.
func (e *exchange) finish() error {
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
		e.exposed += back.Sub(start)
		if err := e.dev.Upload(p.w, p.host); err != nil {
			return err
		}
		if i%maxLeaving == maxLeaving-1 {
			e.dev.Flush()
		}
		e.copied += time.Since(back)
		e.free = append(e.free, p)
	}
	e.summed = e.summed[:0]
	return nil
}
