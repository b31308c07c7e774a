package train

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestDataFault: a shard that cannot be read in the middle of a run, in the second micro-step of a step, ends the run
// with a checkpoint of the steps before, by the file and the place in it. With the shard back the run goes on as if
// nothing had happened. Validation data that cannot be read are only warned about.
func TestDataFault(t *testing.T) {
	const tokens = 24 << 10
	raw := []byte{}
	for i := range tokens {
		raw = binary.LittleEndian.AppendUint16(raw, uint16(i*i%251))
	}
	// llm.c's header: magic, version, tokens
	head := make([]byte, 1024)
	binary.LittleEndian.PutUint32(head, 20240520)
	binary.LittleEndian.PutUint32(head[4:], 1)
	binary.LittleEndian.PutUint32(head[8:], tokens)
	good := string(append(head, raw...))
	setup := func() (c Job, shard string) {
		c = stepsOnly(t)
		shard = write(t, filepath.Join(t.TempDir(), "data", "shard.bin"), good)
		// a step of two pages, in two micro-steps
		c.Data, c.BatchSize, c.TotalBatchSize, c.SaveEvery, c.Steps = shard, 128, 4096, 0, 5
		return c, shard
	}
	whole, _ := setup()
	mustRun(t, whole)

	c, shard := setup()
	const bad = 1024 + 2*(3*4096+2048+100) // a byte of the second micro-step of step 3; the page's rest is zeros
	err := Run(context.Background(), c, atBegin(func() { must(t, os.Truncate(shard, bad)) }))
	if err == nil {
		t.Skip("this system keeps what was mapped of a file that is cut")
	}
	wantError(t, err, shard, "byte", "step 3 is saved", "--resume goes on")
	dir, err := gpt2.LatestCheckpoint(c.Out)
	if err != nil || filepath.Base(dir) != "step-000003" {
		t.Fatalf("%s, %v, want step 3", dir, err)
	}
	write(t, shard, good)
	c.Resume = true
	mustRun(t, c)
	same(t, "after the fault", metricsOf(t, c.Out), metricsOf(t, whole.Out))

	c, _ = setup()
	_, c.ValData = setup()
	c.ValEvery, c.ValSteps = 1, 3
	warned := 0
	env := atBegin(func() { must(t, os.Truncate(c.ValData, 1024)) })
	env.Log = slog.New(onLog{slog.DiscardHandler, func(level slog.Level, text string) {
		if level == slog.LevelWarn && strings.Contains(text, "no validation: "+c.ValData) {
			warned++
		}
	}})
	if err := Run(context.Background(), c, env); err != nil || warned == 0 {
		t.Errorf("%v, warned %d times", err, warned)
	}
}

// atBegin is quiet, with f called once the data is open, before the first step.
func atBegin(f func()) Env {
	env := quiet()
	env.Supervised = &Supervised{First: -1, Began: func(int) { f() }}
	return env
}
