package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
	"github.com/gpt2wgpu/gpt2wgpu/train/runs"
)

// Profile is profile.json: where the time of one step went.
type Profile struct {
	Step       string     `json:"step"` // its shape
	Device     string     `json:"device"`
	Peak       Peak       `json:"peak"`
	Kernels    []Kernel   `json:"kernels"`    // the longest first
	Dispatches []Dispatch `json:"dispatches"` // in the order in which they ran
}

// Peak is the device's rates.
type Peak struct {
	FMA  float64 `json:"fma_gflops"`
	Copy float64 `json:"copy_gb_s"`
}

// Kernel is what the dispatches of one kernel took together.
type Kernel struct {
	Name   string  `json:"name"`
	Count  int     `json:"count"`
	MS     float64 `json:"ms"`
	GFLOPs float64 `json:"gflops"`
	GBs    float64 `json:"gb_s"`
	OfPeak float64 `json:"of_peak"` // of the rate that bounds it
}

// Dispatch is one of them.
type Dispatch struct {
	Label string  `json:"label"`
	MS    float64 `json:"ms"`
}

// WriteProfile writes profile.json to a run's directory. Error: it cannot be written.
func WriteProfile(dir string, p Profile) error {
	raw, err := json.Marshal(p)
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, runs.ProfileFile), append(raw, '\n'))
	}
	if err != nil {
		return fmt.Errorf("%s: the profile cannot be written: %w; hint: check the disk's free space", dir,
			atomicfile.Reason(err))
	}
	return nil
}

const maxProfile = 64 << 20 // bytes of profile.json

// ReadProfile returns the profile of the run in dir, nil where there is none. Error: the file is damaged.
func ReadProfile(dir string) (*Profile, error) {
	raw, err := plainfile.ReadIn(dir, runs.ProfileFile, maxProfile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	p := new(Profile)
	if err == nil {
		err = json.Unmarshal(raw, p)
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return nil, fmt.Errorf("profile.json is not as a run writes it (%w)", err)
	}
	return p, nil
}

// check returns an error for times that no run writes, so that sums and shares of them are numbers.
func (p *Profile) check() error {
	const most = 1e12 // ms, thirty years
	for _, k := range p.Kernels {
		if !(k.MS >= 0 && k.MS < most) {
			return fmt.Errorf("kernel %.40q: ms is %g, want 0 or more and below %g", k.Name, k.MS, most)
		}
	}
	for _, d := range p.Dispatches {
		if !(d.MS >= 0 && d.MS < most) {
			return fmt.Errorf("dispatch %.40q: ms is %g, want 0 or more and below %g", d.Label, d.MS, most)
		}
	}
	return nil
}
