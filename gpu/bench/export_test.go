package bench

import (
	"fmt"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// Hurry measures carelessly until undo is called.
func Hurry() (undo func()) {
	e, s := enough, span
	enough, span = 0, 0
	return func() { enough, span = e, s }
}

// Labels returns the labels of all dispatches that Kernels would measure for a target on a plan of a device.
func Labels(d *gpu.Device, target op.Target, s Shape) (labels []string) {
	b := newScratch(d, s)
	b.setup.Target = target
	for _, k := range kernels(d, b.setup, s) {
		p := b.setup.NewProgram(k.name)
		for _, o := range k.ops(b) {
			o.AddTo(p)
		}
		if p.Err() != nil || b.err != nil {
			return []string{fmt.Sprintf("%s: %v, %v", k.name, p.Err(), b.err)}
		}
		for _, line := range strings.Split(strings.TrimSpace(p.String()), "\n") {
			labels = append(labels, strings.Fields(line)[1])
		}
	}
	return labels
}
