package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// TestProgressFlag: without a terminal steps are lines, a panel that cannot be is refused, and none leaves out steps
// only.
func TestProgressFlag(t *testing.T) {
	wantFailure(t, exitUsage, []string{"train", "--progress", "bar", "--out", "", "--dry-run"}, "--progress",
		"auto, panel")
	for how, want := range map[string]string{"auto": "event\nstep\n", "lines": "event\nstep\n", "none": "event\n"} {
		var out bytes.Buffer
		e := &env{stderr: &out, log: slog.New(slog.NewTextHandler(&out, nil))}
		d, err := e.showProgress(how, &train.Env{})
		if err != nil {
			t.Fatal(err)
		}
		e.log.Info("event", train.NewEvent("validation"))
		e.log.LogAttrs(context.Background(), slog.LevelInfo, "step", train.NewEvent("step"))
		got := ""
		for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			_, l, _ = strings.Cut(l, "msg=")
			l, _, _ = strings.Cut(l, " ")
			got += l + "\n"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", how, got, want)
		}
		d.close()
	}
	e := &env{stderr: new(bytes.Buffer), log: slog.New(slog.DiscardHandler)}
	if _, err := e.showProgress("panel", &train.Env{}); err == nil || !strings.Contains(err.Error(), "not a terminal") {
		t.Errorf("a panel without a terminal: %v", err)
	}
}
