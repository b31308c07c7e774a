package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/fetch"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// fetchData brings a dataset into the cache, reports the progress, and returns where it lies.
func fetchData(ctx context.Context, e *env, name string, shards int) (string, error) {
	o := fetchOptions(e)
	o.Shards = shards
	return fetch.Dataset(ctx, name, o)
}

// fetchModel is fetchData for published weights, which may be in the Hugging Face libraries' cache already.
func fetchModel(ctx context.Context, e *env, name string) (string, error) {
	return fetch.Model(ctx, name, fetchOptions(e))
}

func fetchOptions(e *env) fetch.Options {
	m := newMeter(e.log)
	return fetch.Options{
		Log: e.log, Tokenize: m.tokenizing,
		Progress: func(p fetch.Progress) {
			m.tell(p.Bytes == p.Total, func() string {
				file := p.File
				if p.Files > 1 {
					file = fmt.Sprintf("%s (%d of %d)", file, p.Index, p.Files)
				}
				return fmt.Sprintf("fetching %s: %s | %s/s%s", file, share(p.Bytes, p.Total, bytesWord),
					bytesWord(int64(p.BytesPerSecond)), left(p.ETA))
			})
		},
	}
}

// ofHub reports whether spec is the name of published weights and not of something here.
func ofHub(spec string) bool {
	if _, named := gpt2.Named(spec); !named {
		return false
	}
	_, err := os.Stat(spec)
	return err != nil
}

// loadModel reads the weights of --model; published ones are fetched first.
func loadModel(ctx context.Context, e *env, spec string) (*gpt2.Weights, gpt2.Source, error) {
	if ofHub(spec) {
		dir, err := fetchModel(ctx, e, spec)
		if err != nil {
			return nil, gpt2.Source{}, fmt.Errorf("--model %w", err)
		}
		spec = dir
	}
	w, source, err := gpt2.Load(spec)
	if err != nil {
		return nil, source, fmt.Errorf("--model %w", err)
	}
	if source.Warning != "" {
		e.log.Warn(source.Warning)
	}
	return w, source, nil
}

// hellaswagSpec fetches the questions for the word "fetch" and returns what data.ReadHellaSwag takes.
func hellaswagSpec(ctx context.Context, e *env, spec string) (string, error) {
	if spec != "fetch" {
		return spec, nil
	}
	if _, err := fetchData(ctx, e, "hellaswag", 0); err != nil {
		return "", fmt.Errorf("--hellaswag %w", err)
	}
	return "hellaswag", nil
}

// meter reports progress: at most one line per second at first, and less often the longer it takes.
type meter struct {
	log         *slog.Logger
	began, told time.Time
}

func newMeter(log *slog.Logger) *meter {
	now := time.Now()
	return &meter{log: log, began: now, told: now}
}

// tell logs a line if it is time, and the last one if any was logged before it.
func (m *meter) tell(last bool, line func() string) {
	now := time.Now()
	gap := min(max(now.Sub(m.began)/20, time.Second), 15*time.Second)
	if now.Sub(m.told) < gap && !(last && m.told.After(m.began)) {
		return
	}
	m.told = now
	m.log.Info(line())
}

func (m *meter) tokenizing(p data.TokenizeProgress) {
	m.tell(p.Bytes == p.TotalBytes, func() string {
		return fmt.Sprintf("tokenizing: %s | %d tokens in %d shards | %.3g tokens/s%s", share(p.Bytes, p.TotalBytes,
			bytesWord), p.Tokens, p.Shards, p.TokensPerSecond, left(p.ETA))
	})
}

// counting returns a line's text for done of all things, with the time left at the pace so far.
func (m *meter) counting(what string, done, all int) {
	m.tell(done == all, func() string {
		spent := time.Since(m.began)
		return fmt.Sprintf("%s: %s%s", what, share(int64(done), int64(all),
			func(n int64) string { return fmt.Sprint(n) }),
			left(time.Duration(float64(spent)/float64(done)*float64(all-done))))
	})
}

func share(done, all int64, word func(int64) string) string {
	if all <= 0 {
		return word(done)
	}
	return fmt.Sprintf("%s of %s, %.0f%%", word(done), word(all), 100*float64(done)/float64(all))
}

func left(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf(" | %v left", d.Round(time.Second))
}

func bytesWord(n int64) string { return gpu.HumanBytes(uint64(max(n, 0))) }

// someRun is a directory for hints: the newest run, or one that there could be.
func someRun() string {
	if newest := train.NewestRun(train.RunsDir); newest != "" {
		return newest
	}
	return train.RunsDir + "/first"
}
