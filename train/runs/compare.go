package runs

import (
	"math"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/train/chart"
)

// Comparison is runs side by side.
type Comparison struct {
	Runs     []string     `json:"runs"`
	Settings []Difference `json:"settings"` // that differ
	ByTokens []Row        `json:"by_tokens"`
	ByTime   []Row        `json:"by_time"`
}

// Difference is a setting that is not the same in all runs. Values are JSON, null where a run has none.
type Difference struct {
	Name   string `json:"name"`
	Values []any  `json:"values"`
}

// Row is where the runs stood after as many tokens, or as many seconds of steps.
type Row struct {
	Tokens  float64 `json:"tokens,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Values  []Point `json:"values"` // of each run
}

// Point is a run's losses at a place. Those that are not known are null.
type Point struct {
	Step        int      `json:"step"`
	Loss        *float64 `json:"loss"` // the mean around it
	BitsPerByte *float64 `json:"bits_per_byte"`
	ValLoss     *float64 `json:"val_loss"` // the newest until there
}

// compareRows is how many places are compared.
const compareRows = 8

// unlike are settings that say nothing of what a run learns.
var unlike = []string{"out"}

// Compare sets runs side by side, at equal tokens and at equal time.
func Compare(list []*Run) Comparison {
	c := Comparison{Settings: []Difference{}, ByTokens: []Row{}, ByTime: []Row{}}
	known := map[string]bool{}
	for _, r := range list {
		c.Runs = append(c.Runs, r.Dir)
		for _, s := range r.Settings {
			if !known[s.Name] && !slices.Contains(unlike, s.Name) {
				c.compareSetting(list, s.Name)
			}
			known[s.Name] = true
		}
	}
	for _, x := range []string{"tokens", "time"} {
		end := math.Inf(1)
		for _, r := range list {
			end = min(end, map[string]float64{"tokens": float64(r.Tokens()), "time": r.Seconds()}[x])
		}
		if !(end > 0) {
			continue
		}
		rows := make([]Row, compareRows)
		for i := range rows {
			at := end * float64(i+1) / compareRows
			if x == "tokens" {
				rows[i].Tokens = math.Round(at)
			} else {
				rows[i].Seconds = at
			}
		}
		for _, r := range list {
			points := r.points(x, end)
			for i := range rows {
				rows[i].Values = append(rows[i].Values, points[i])
			}
		}
		if x == "tokens" {
			c.ByTokens = rows
		} else {
			c.ByTime = rows
		}
	}
	return c
}

// compareSetting adds a setting if it differs.
func (c *Comparison) compareSetting(list []*Run, name string) {
	d, differs := Difference{Name: name}, false
	first := ""
	for i, r := range list {
		text := "null"
		if at := slices.IndexFunc(r.Settings, func(s Setting) bool { return s.Name == name }); at >= 0 {
			text = r.Settings[at].Value
		}
		if i == 0 {
			first = text
		}
		differs = differs || text != first
		d.Values = append(d.Values, rawJSON(text))
	}
	if differs {
		c.Settings = append(c.Settings, d)
	}
}

// rawJSON is a value that is JSON already.
type rawJSON string

// MarshalJSON returns it.
func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// points returns where the run stood at compareRows equal parts of end.
func (r *Run) points(x string, end float64) []Point {
	place := r.place(x, 1)
	var loss []float64
	for _, m := range r.Train {
		loss = append(loss, float64(m.Loss))
	}
	loss = chart.Smooth(loss, max(leastSmooth, len(loss)/40))
	bytes, known := r.BytesPerToken()
	number := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	points := make([]Point, compareRows)
	for i := range points {
		at := end * float64(i+1) / compareRows * (1 + 1e-9)
		n := 0 // steps that had ended there
		for n < len(r.Train) && place(r.Train[n].Step+1) <= at {
			n++
		}
		p := &points[i]
		if n > 0 {
			p.Step = r.Train[n-1].Step + 1
			p.Loss = number(loss[n-1])
		}
		if p.Loss != nil && known {
			p.BitsPerByte = number(*p.Loss / bytes / math.Ln2)
		}
		for _, m := range r.Val {
			if m.Step <= p.Step {
				p.ValLoss = number(float64(m.Loss))
			}
		}
	}
	return points
}
