package train

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// logged is quiet but for the log, without times.
func logged(to *bytes.Buffer) Env {
	e := quiet()
	e.Log = slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return e
}

// TestResumed: what a resumed run says about its settings, and what it refuses.
func TestResumed(t *testing.T) {
	was := Job{Config: tiny()}
	was.Steps, was.TotalBatchSize = 250, 256
	for _, x := range []struct {
		what   string
		step   int
		change func(c *Job)
		says   []string // "" means nothing
		fails  string
	}{
		{"nothing", 100, func(c *Job) {}, nil, ""},
		{"the directory", 100, func(c *Job) { c.Out = "elsewhere" }, nil, ""},
		{"finished", 250, func(c *Job) {}, []string{"finished: 250 of 250 steps; --steps N continues"}, "finished"},
		{"more steps", 250, func(c *Job) { c.Steps = 500 }, []string{"settings changed: --steps 250 -> 500; " +
			"learning rate at step 250: 2.00e-04 -> 1.2"}, ""},
		{"fewer steps", 250, func(c *Job) { c.Steps = 200 }, nil, "--steps is 200, but the run has done 250; hint: " +
			"--steps 251"},
		{"another peak", 100, func(c *Job) { c.LR, c.ValSteps = 1e-3, 5 }, []string{"--lr 0.002 -> 0.001, " +
			"--val-steps 20 -> 5; learning rate at step 100: "}, ""},
		{"not the rate", 100, func(c *Job) { c.SaveEvery, c.ValData = 7, "x.txt" }, []string{"settings changed: " +
			"--val-data '' -> x.txt, --save-every 0 -> 7\""}, ""},
		{"the rate later", 0, func(c *Job) { c.MinLR = 1e-5 }, []string{"--min-lr 0.0002 -> 1e-05; learning rate at " +
			"step 0: 5.00e-05 as before"}, ""},
		{"weights", 100, func(c *Job) { c.Init = "gpt2" }, nil, "--init gpt2 has no effect with --resume"},
	} {
		c := was
		x.change(&c)
		var log bytes.Buffer
		r := newRun(c, logged(&log))
		err := r.resumed(State{Step: x.step, Config: was.Config})
		if x.fails == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), x.fails) {
			t.Errorf("%s: %v, want %q", x.what, err, x.fails)
		}
		var usage *UsageError
		if x.fails != "" && x.fails != "finished" && !errors.As(err, &usage) {
			t.Errorf("%s: %v is not a mistake of the command line", x.what, err)
		}
		if x.says == nil && log.Len() > 0 {
			t.Errorf("%s: says %s", x.what, &log)
		}
		for _, w := range x.says {
			if !strings.Contains(log.String(), w) {
				t.Errorf("%s: %q doesn't say %q", x.what, &log, w)
			}
		}
	}
}

// TestFinished: a finished run that is resumed says so and opens no device; with more steps it goes on.
func TestFinished(t *testing.T) {
	c := plain(t)
	c.Steps = 2
	if err := Run(context.Background(), c, quiet()); err != nil {
		t.Fatal(err)
	}
	c.Resume = true
	before := metricsOf(t, c.Out)
	var log bytes.Buffer
	none := c
	none.Device = "no such device"
	if err := Run(context.Background(), none, logged(&log)); err != nil || !strings.Contains(log.String(),
		"finished: 2 of 2 steps; --steps N continues") {
		t.Errorf("%v: %s", err, &log)
	}
	same(t, "finished", metricsOf(t, c.Out), before)
	log.Reset()
	c.Steps = 3
	if err := Run(context.Background(), c, logged(&log)); err != nil || !strings.Contains(log.String(),
		"settings changed: --steps 2 -> 3; learning rate at step 2: ") {
		t.Errorf("%v: %s", err, &log)
	}
	if dir, err := gpt2.LatestCheckpoint(c.Out); err != nil || !strings.HasSuffix(dir, "step-000003") {
		t.Errorf("%s, %v", dir, err)
	}
}
