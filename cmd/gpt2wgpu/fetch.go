package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/fetch"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// fetchData brings a dataset or published weights into the cache, reports the progress, and returns where they lie.
// Weights may be in the Hugging Face libraries' cache already. verify: what is there is read and compared too.
func fetchData(ctx context.Context, e *env, name string, shards int, verify bool) (string, error) {
	m := newMeter(e.log)
	o := fetch.Options{
		Log: e.log, Shards: shards, Verify: verify, Tokenize: m.tokenizing,
		Progress: func(p fetch.Progress) {
			m.report(p.Bytes == p.Total, func() string {
				file := p.File
				if p.Files > 1 {
					file = fmt.Sprintf("%s (%d of %d)", file, p.Index, p.Files)
				}
				return fmt.Sprintf("fetching %s: %s | %s/s%s", file, share(p.Bytes, p.Total, bytesWord),
					bytesWord(int64(p.BytesPerSecond)), left(p.ETA))
			})
		},
	}
	if _, weights := gpt2.Named(name); weights {
		return fetch.Model(ctx, name, o)
	}
	return fetch.Dataset(ctx, name, o)
}

// hellaswagSpec fetches the questions for the word "fetch" and returns what data.ReadHellaSwag takes.
func hellaswagSpec(ctx context.Context, e *env, spec string) (string, error) {
	if spec != "fetch" {
		return spec, nil
	}
	if _, err := fetchData(ctx, e, "hellaswag", 0, false); err != nil {
		return "", fmt.Errorf("--hellaswag %w", err)
	}
	return "hellaswag", nil
}

// meter reports progress: at most one line per second at first, and less often the longer it takes.
type meter struct {
	log         *slog.Logger
	began, last time.Time
}

func newMeter(log *slog.Logger) *meter {
	now := time.Now()
	return &meter{log: log, began: now, last: now}
}

// report logs a line if it is time, and at the end if any was logged before.
func (m *meter) report(end bool, line func() string) {
	now := time.Now()
	gap := min(max(now.Sub(m.began)/20, time.Second), 15*time.Second)
	if now.Sub(m.last) < gap && !(end && m.last.After(m.began)) {
		return
	}
	m.last = now
	m.log.Info(line())
}

func (m *meter) tokenizing(p data.TokenizeProgress) {
	m.report(p.Bytes == p.TotalBytes, func() string {
		return fmt.Sprintf("tokenizing: %s | %d tokens in %d shards | %.3g tokens/s%s", share(p.Bytes, p.TotalBytes,
			bytesWord), p.Tokens, p.Shards, p.TokensPerSecond, left(p.ETA))
	})
}

// counting returns a line's text for done of all things, with the time left at the pace so far.
func (m *meter) counting(what string, done, all int) {
	m.report(done == all, func() string {
		spent := time.Since(m.began)
		number := func(n int64) string { return fmt.Sprint(n) }
		return fmt.Sprintf("%s: %s%s", what, share(int64(done), int64(all), number),
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
