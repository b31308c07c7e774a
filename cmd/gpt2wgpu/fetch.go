package main

import (
	"context"
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/data/fetch"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// fetchData brings a dataset or published weights into the cache, reports the progress, and returns where they lie.
// Weights may be in the Hugging Face libraries' cache already. verify: what is there is read and compared too.
func fetchData(ctx context.Context, e *env, name string, shards int, verify bool) (string, error) {
	m := newMeter(e)
	defer e.bars.Clear()
	o := fetch.Options{
		Log: e.log, Shards: shards, Verify: verify, Tokenize: m.tokenizing,
		Progress: func(p fetch.Progress) {
			what := "fetching " + p.File
			if p.Files > 1 {
				what += fmt.Sprintf(" (%d of %d)", p.Index, p.Files)
			}
			rate := bytesWord(int64(p.BytesPerSecond)) + "/s"
			m.report(coming{what, p.Bytes, p.Total, bytesWord, []string{rate}, p.ETA})
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
