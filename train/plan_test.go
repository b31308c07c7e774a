package train

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
)

// TestPlanIsTrue: what --dry-run says of device memory is what a run of the same settings has, role by role, after it
// has trained, validated and sampled: the plan forgets nothing and the run allocates nothing on the way.
func TestPlanIsTrue(t *testing.T) {
	gputest.Available(t)
	for _, change := range []func(c *Job){
		func(c *Job) {},
		func(c *Job) { c.BatchSize, c.SeqLen, c.TotalBatchSize = 3, 20, 120 },
		func(c *Job) { c.SampleEvery, c.ValEvery, c.ValSteps = 1, 1, 1; c.ValData = "sample" },
		func(c *Job) { c.NLayer, c.NHead, c.NEmbd, c.VocabSize = 1, 3, 36, 1001 },
		func(c *Job) { c.NLayer, c.Recompute = 3, "gelu" },
		func(c *Job) { c.NLayer, c.Recompute, c.DType = 3, "block", "bf16" },
		func(c *Job) { c.Optimizer, c.DType = "muon", "bf16" },
	} {
		c := torchConfig(t, "--n-layer 2 --n-head 2 --n-embd 32 --block-size 40 --vocab-size 257 --batch-size 2 "+
			"--seq-len 40 --steps 2")
		c.Device = os.Getenv("GPT2WGPU_DEVICE")
		change(&c)
		name := fmt.Sprintf("L=%d,B=%d,T=%d,C=%d,sample=%d,%s,recompute=%s,%s", c.NLayer, c.BatchSize, c.SeqLen,
			c.NEmbd, c.SampleEvery, c.DType, c.Recompute, c.Optimizer)
		t.Run(name, func(t *testing.T) {
			var plan bytes.Buffer
			env := quiet()
			env.Stdout = &plan
			if err := DryRun(c, env); err != nil {
				t.Fatal(err)
			}
			r := newRun(c, quiet())
			defer r.close()
			if err := r.open(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := r.loop(context.Background()); err != nil {
				t.Fatal(err)
			}
			for _, role := range []gpu.Role{gpu.Parameters, gpu.Gradients, gpu.Moments, gpu.Activations, gpu.Scratch,
				gpu.Inputs} {
				want := fmt.Sprintf("(%d bytes)", r.dev.Bytes(role))
				if line := planLine(plan.String(), "  "+string(role)); r.dev.Bytes(role) == 0 ||
					!strings.HasSuffix(line, want) {
					t.Errorf("%s: the run has %s, the plan says %q", role, want, line)
				}
			}
			if line := planLine(plan.String(), "device memory"); !strings.HasSuffix(line,
				gpu.HumanBytes(r.dev.TotalBytes())) {
				t.Errorf("the run has %s, the plan says %q", r.dev.MemoryReport(), line)
			}
		})
	}
}

func planLine(plan, name string) string {
	for _, line := range strings.Split(plan, "\n") {
		if strings.HasPrefix(line, name+" ") {
			return line
		}
	}
	return ""
}
