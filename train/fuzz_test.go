package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// oneLine fails for an error of several lines.
func oneLine(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("%q", err)
	}
}

// hinted fails where a line of what [Job.Validate] refuses has no hint.
func hinted(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if strings.Count(line, "; hint: ") != 1 {
			t.Errorf("%q of %q", line, err)
		}
	}
}

// FuzzState: what readState accepts has the numbers of a run, and its tiles are checked without a device.
func FuzzState(f *testing.F) {
	dir := f.TempDir()
	good := State{Step: 2, Tokens: 512, Config: Job{Config: DefaultConfig()}.Resolved().Config, Optimizer: "adamw"}
	raw, err := json.Marshal(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	if err := good.write(dir); err != nil {
		f.Fatal(err)
	}
	if raw, err = os.ReadFile(filepath.Join(dir, gpt2.StateFile)); err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"step":1e30,"data":{"offset":-1},"config":{"n_layer":1e9}}`))
	f.Add([]byte(`{"step":1,"tiles":{"tuning":{"x":{"matmul":{"TM":-1}}}},"config":{"n_layer":1}}`))
	f.Add([]byte(`{"checksums":{"../x":{"bytes":9223372036854775807}},"sha256":""}`))
	target := op.TargetFor(gpu.AdapterInfo{Type: "discrete"}, gpu.DefaultLimits())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, gpt2.StateFile), raw, 0o666); err != nil {
			t.Fatal(err)
		}
		needs.Bounded(t, func() {
			s, err := readState(dir)
			if oneLine(t, err); err != nil {
				return
			}
			if s.Step < 0 || s.Tokens < 0 || s.Data.Offset < 0 || s.Config.NLayer <= 0 {
				t.Errorf("accepted: %+v", s)
			}
			oneLine(t, s.Tiles.Tuning.Validate(target))
			hinted(t, Job{Config: s.Config}.Validate())
		})
	})
}

// FuzzConfig: settings of a file are refused in one line, or are those of a run that can be planned.
func FuzzConfig(f *testing.F) {
	path := filepath.Join(f.TempDir(), "config.json")
	raw, err := json.Marshal(Record{Config: DefaultConfig(), Version: "v1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("\ufeff{\"n_layer\": 2, \"lr\": 1e-3, \"optimizer\": \"muon\"}"))
	f.Add([]byte(`{"n_layer": 99999999999, "steps": -1, "lr": 1e999, "N_Layer": 3, "val_fraction": -1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		needs.Bounded(t, func() {
			c := DefaultConfig()
			before := c
			_, err := ReadConfig(path, &c)
			if oneLine(t, err); err != nil {
				if c != before {
					t.Errorf("%v, but settings have changed", err)
				}
				return
			}
			hinted(t, Job{Config: c}.Validate())
		})
	})
}
