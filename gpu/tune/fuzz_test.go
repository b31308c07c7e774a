package tune

import (
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// FuzzCache: tiles of a damaged cache are left out, or are valid for the device.
func FuzzCache(f *testing.F) {
	info := gpu.AdapterInfo{Name: "a", Type: "discrete", Limits: gpu.DefaultLimits()}
	t := &Tuner{Dir: f.TempDir(), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	f.Add([]byte(`{"tuning":{"attention_forward HS=64 of f32":{"attention":{"Keys":16}}}}`))
	f.Add([]byte(`{"tuning":{"x":{"matmul":{"TM":-4,"TN4":1000000000,"BK":0}}},"steps":{"x":true}}`))
	f.Add([]byte(`[]`))
	path := t.Path(info)
	f.Fuzz(func(test *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			test.Fatal(err)
		}
		needs.Bounded(test, func() {
			if err := t.Cached(info).Validate(op.TargetFor(info, info.Limits)); err != nil {
				test.Error(err)
			}
		})
	})
}
