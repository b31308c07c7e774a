package runs

import (
	"math"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// Summary is a run in one line, as JSON shows it.
type Summary struct {
	Name        string        `json:"name"` // its directory
	State       State         `json:"state"`
	Step        int           `json:"step"` // steps done
	Steps       int           `json:"steps"`
	Tokens      int64         `json:"tokens"`
	Loss        metrics.Float `json:"loss"`
	BestValLoss metrics.Float `json:"best_val_loss"`
	BitsPerByte metrics.Float `json:"bits_per_byte"`
	TokensPerS  float64       `json:"tokens_per_s"`
	Parameters  int           `json:"parameters"`
	Device      string        `json:"device"`
	Version     string        `json:"version"`
	Restarts    int           `json:"restarts"`
	Changed     time.Time     `json:"changed"`
	Trouble     []string      `json:"trouble,omitempty"`
}

// Summary returns the run in one line. Losses that are not known are NaN.
func (r *Run) Summary() Summary {
	nan := metrics.Float(math.NaN())
	s := Summary{r.Dir, r.State, r.Done(), r.Steps, r.Tokens(), nan, nan, nan, r.Rate(), r.Params(), r.Device,
		r.Version, r.Restarts, r.Changed.UTC().Truncate(time.Second), r.Trouble}
	if n := len(r.Train); n > 0 {
		s.Loss = r.Train[n-1].Loss
	}
	if best, ok := r.Best(); ok {
		s.BestValLoss = best.Loss
		if best.BitsPerByte > 0 {
			s.BitsPerByte = best.BitsPerByte
		} else if bytes, ok := r.BytesPerToken(); ok {
			s.BitsPerByte = best.Loss / metrics.Float(bytes*math.Ln2)
		}
	}
	return s
}
