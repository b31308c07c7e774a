package train

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// TestAsks: what a person asks for is done, and changes no bit of the run; a pause is in no step's time.
func TestAsks(t *testing.T) {
	gputest.Available(t)
	c := torchConfig(t, "--n-layer 1 --n-head 2 --n-embd 32 --block-size 16 --vocab-size 257 --batch-size 2 "+
		"--seq-len 16 --steps 12")
	c.Data, c.ValData, c.Tokenizer, c.VocabSize = "sample", "sample", "bytes", 256
	c.ValEvery, c.SampleEvery, c.ValSteps, c.Device = 100, 100, 2, os.Getenv("GPT2WGPU_DEVICE")
	files := func(out string) (s string) {
		for _, name := range []string{"model.safetensors", "optimizer.safetensors"} {
			s += readText(t, filepath.Join(out, "checkpoints", "step-000012", name))
		}
		return s
	}
	c.Out = t.TempDir()
	must(t, Run(context.Background(), c, quiet()))
	want, wantFiles := trainMetrics(t, c.Out), files(c.Out)

	asks := map[int]Ask{1: AskSample, 2: AskCheckpoint | AskText, 4: AskValidation | AskSample, 6: AskPause,
		8: AskValidation}
	calls, paused, step := 0, 0, -1
	pieces, texts, holds := "", []string{}, ""
	var seen []metrics.Line
	var began []Beginning
	e := quiet()
	e.Watch = Watch{
		Began:  func(b Beginning) { began = append(began, b) },
		Record: func(m metrics.Line) { seen = append(seen, m) },
		Asked: func() Ask {
			switch calls++; {
			case step < 0: // before the first step
				step = 0
				return 0
			case paused == 2:
				paused++
				return AskPause | AskCheckpoint | AskText // are done while it pauses
			case paused > 0 && paused < 4:
				paused++
				return AskPause
			case paused == 4:
				paused++
				return AskSample
			}
			a := asks[step]
			if step++; a&AskPause != 0 {
				paused = 1
			}
			return a
		},
		Text: func(_ int, text string) { pieces += text },
		Write: func(w Writer) error {
			written := ""
			text, err := w.Write(t.Context(), "Once", model.SampleOptions{MaxTokens: 4, Greedy: true, TopP: 1},
				func(piece string) { written += piece })
			if strings.ToValidUTF8(text, "\uFFFD") != written {
				t.Errorf("%q came in pieces as %q", text, written)
			}
			texts = append(texts, fmt.Sprint(w.Step))
			return err
		},
		Holds: func(pause bool) { holds += fmt.Sprint(pause, " ") },
	}
	c.Out, c.Keep = t.TempDir(), 0
	must(t, Run(context.Background(), c, e))
	if got := trainMetrics(t, c.Out); len(got) != len(want) || files(c.Out) != wantFiles {
		t.Errorf("%d steps, %d without asking; other weights: %v", len(got), len(want), files(c.Out) != wantFiles)
	} else {
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("step %d: %+v, without asking %+v", i, got[i], want[i])
			}
		}
	}
	lines, err := metrics.Read(filepath.Join(c.Out, metricsFile))
	must(t, err)
	done := ""
	for _, m := range lines {
		if m.Kind != metrics.KindTrain {
			done += m.Kind + " "
		}
	}
	if want := "val sample val sample sample val val sample "; done != want {
		t.Errorf("measured: %s, want %s", done, want)
	}
	if len(seen) != len(lines) || paused != 5 {
		t.Errorf("%d records were seen, metrics.jsonl has %d; paused %d", len(seen), len(lines), paused)
	}
	for _, name := range []string{"step-000003", "step-000007"} {
		if _, err := os.Stat(filepath.Join(c.Out, "checkpoints", name)); err != nil {
			t.Error(err)
		}
	}
	samples := ""
	for _, m := range lines {
		samples += m.Text
	}
	if pieces != samples || fmt.Sprint(texts) != "[3 7]" || holds != "true false " {
		t.Errorf("samples %q came in pieces as %q; texts at steps %v; paused %s", samples, pieces, texts, holds)
	}
	if len(began) != 1 || began[0].TokensPerStep != 32 || began[0].Steps != 12 || began[0].EpochTokens == 0 {
		t.Errorf("began %+v", began)
	}

	// What a run does not have is refused in a line, and a stop is an interrupt.
	c.Out, c.ValEvery, c.ValData, c.SampleEvery = t.TempDir(), 0, "", 0
	e, asked := quiet(), false
	var said []string
	e.Log = slog.New(onLog{slog.DiscardHandler, func(_ slog.Level, text string) { said = append(said, text) }})
	e.Watch.Asked = func() Ask {
		if asked {
			return AskStop
		}
		asked = true
		return AskSample | AskValidation
	}
	err = Run(context.Background(), c, e)
	text := strings.Join(said, "\n")
	if err == nil || !strings.Contains(err.Error(), "interrupted after 1 of 12") ||
		!strings.Contains(text, "no sample: ") || !strings.Contains(text, "no validation: ") {
		t.Errorf("%v; %s", err, text)
	}
}
