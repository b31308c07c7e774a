package train

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/bench"
)

// TestProfile: the profile has one step and changes none.
func TestProfile(t *testing.T) {
	c := torchConfig(t, "--n-layer 1 --n-head 2 --n-embd 32 --block-size 16 --vocab-size 257 --batch-size 2 "+
		"--seq-len 16 --steps 6")
	plain := train(t, c)
	for _, x := range []struct {
		stopAfter, steps int
	}{{0, 6}, {2, 2}} {
		var printed bytes.Buffer
		c.StopAfter, c.Out, c.Device = x.stopAfter, t.TempDir(), os.Getenv("GPT2WGPU_DEVICE")
		c.Profile = func(p Profile) error {
			fmt.Fprintln(&printed, p.Step)
			return bench.WriteBreakdown(&printed, bench.Breakdown(p.Timings), bench.Peak{FMA: 1, Copy: 1})
		}
		if err := Run(context.Background(), c, quiet()); (err != nil) != (x.stopAfter > 0) {
			t.Fatal(err)
		}
		got := trainMetrics(t, c.Out)
		if len(got) != x.steps {
			t.Fatalf("%d steps, want %d", len(got), x.steps)
		}
		for i := range got {
			if got[i] != plain[i] {
				t.Errorf("step %d: %+v, without a profile %+v", i, got[i], plain[i])
			}
		}
		for _, word := range []string{"1 micro-steps of B=2 T=16", "GFLOP/s", "attention_forward", "adamw", "100.0%"} {
			if !strings.Contains(printed.String(), word) {
				t.Errorf("no %s in\n%s", word, printed.String())
			}
		}
	}
}
