package train

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

// TestProfile: the profile tells of one step and changes none.
func TestProfile(t *testing.T) {
	c := torchConfig(t, "--n-layer 1 --n-head 2 --n-embd 32 --block-size 16 --vocab-size 257 --batch-size 2 --seq-len 16 --steps 6")
	plain := train(t, c)
	for _, x := range []struct {
		stopAfter, steps int
	}{{0, 6}, {2, 2}} {
		var told bytes.Buffer
		c.Profile, c.StopAfter, c.Out, c.Device = true, x.stopAfter, t.TempDir(), os.Getenv("GPT2WGPU_DEVICE")
		env := quiet()
		env.Stderr = &told
		if err := Run(context.Background(), c, env); (err != nil) != (x.stopAfter > 0) {
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
		for _, word := range []string{"profile of one step", "GFLOP/s", "attention_forward", "adamw", "100.0%"} {
			if !strings.Contains(told.String(), word) {
				t.Errorf("no %s in\n%s", word, told.String())
			}
		}
	}
}
