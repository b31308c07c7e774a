package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/train/runs"
)

// FuzzProfile: whatever profile.json holds, a run has its page.
func FuzzProfile(f *testing.F) {
	dir := f.TempDir()
	f.Add([]byte(`{"step":"B=4","peak":{"fma_gflops":1},"kernels":[{"name":"<b>","ms":1}],"dispatches":[{"ms":1}]}`))
	f.Add([]byte(`{"kernels":[{"ms":1e308},{"ms":1e308}]}`))
	f.Add([]byte(`{"kernels":[{"ms":0}]}`))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"n_layer":1,"steps":3}`), 0o666); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), nil, 0o666); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, runs.ProfileFile), raw, 0o666); err != nil {
			t.Fatal(err)
		}
		needs.Bounded(t, func() {
			r, err := runs.Read(dir)
			if err != nil {
				t.Fatal(err)
			}
			page, err := HTML(r, "gpt2wgpu")
			if err != nil || strings.Contains(string(page), "NaN") {
				t.Errorf("%v, %s", err, page)
			}
		})
	})
}
