package train

import (
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// exchange sums the gradients of all ranks, once an optimizer step.
type exchange struct {
	group Group
	dev   *gpu.Device
	wire  Wire
	host  []float32
	copy  time.Duration // between device and host, so far
}

// sum replaces the values of windows by their sums over the ranks.
func (e *exchange) sum(windows []gpu.Tensor) error {
	if e.group.Size() == 1 {
		return nil
	}
	if err := e.dev.Wait(); err != nil { // so that a copy's time is not a kernel's
		return err
	}
	for _, w := range windows {
		if len(e.host) < w.Len() {
			e.host = make([]float32, w.Len())
		}
		host := e.host[:w.Len()]
		start := time.Now()
		if err := e.dev.Read(w, host); err != nil {
			return err
		}
		e.copy += time.Since(start)
		if err := e.group.AllreduceSum(host, e.wire); err != nil {
			return err
		}
		start = time.Now()
		if err := e.dev.Upload(w, host); err != nil {
			return err
		}
		e.copy += time.Since(start)
	}
	return nil
}
