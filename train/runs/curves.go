package runs

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/train/chart"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// View says which curves to draw.
type View struct {
	X, Y       string // of Xs and Ys
	Unit       string // of losses: of Units
	LogX, LogY bool
	Smooth     int // steps of a mean; 0: a fortieth of the longest run, at least leastSmooth; 1: none
}

const leastSmooth = 9

// What a View can say.
var (
	Xs    = []string{"step", "tokens", "time"}
	Ys    = []string{"loss", "val", "hellaswag", "lr", "grad_norm", "tokens_per_s"}
	Units = []string{"nats", "bits"}
)

var titles = map[string][2]string{ // the chart's title and the axis
	"loss":         {"Loss", "loss"},
	"val":          {"Validation loss", "loss"},
	"hellaswag":    {"HellaSwag", "acc_norm (0.25: guessing)"},
	"lr":           {"Learning rate", "learning rate"},
	"grad_norm":    {"Gradient norm", "norm before clipping"},
	"tokens_per_s": {"Speed", "tokens per second"},
}

// gpt2HellaSwag are the published models' acc_norm, measured in the completion style on all 10,042 questions.
var gpt2HellaSwag = []struct {
	name string
	acc  float64
}{{"GPT-2 124M", 0.2955}, {"GPT-2 350M", 0.3752}, {"GPT-2 774M", 0.4320}, {"GPT-2 1558M", 0.4889}}

// Draw returns the chart of a view of runs, and what it leaves out, a line each.
func Draw(list []*Run, v View) (c chart.Chart, left []string) {
	unit := map[string]string{"nats": "nats per token", "bits": "bits per byte of the text"}[v.Unit]
	title := titles[v.Y]
	c = chart.Chart{Title: title[0], Y: title[1], LogX: v.LogX, LogY: v.LogY}
	if v.Y == "loss" || v.Y == "val" {
		c.Y += ", " + unit
	}
	scale := 0.0
	c.X, scale = axis(list, v.X)
	if v.Smooth == 0 {
		v.Smooth = leastSmooth
		for _, r := range list {
			v.Smooth = max(v.Smooth, len(r.Train)/40)
		}
	}
	of := 0
	names := Names(list)
	for i, r := range list {
		factor, name := 1.0, names[i]
		if v.Unit == "bits" && (v.Y == "loss" || v.Y == "val") {
			bytes, ok := r.BytesPerToken()
			if !ok {
				left = append(left, fmt.Sprintf("%s: left out, since the bytes of its tokens are not known", r.Dir))
				continue
			}
			factor = 1 / bytes / math.Ln2
		}
		curves := r.curves(v, factor, scale, len(list) == 1)
		drawn := false
		for _, k := range curves {
			drawn = drawn || len(k.X) > 0
		}
		if !drawn {
			left = append(left, fmt.Sprintf("%s: %s", r.Dir, r.nothing(v.Y)))
			continue
		}
		for _, k := range curves {
			if len(k.X) == 0 {
				continue
			}
			if k.Of = of; !k.Faint {
				k.Name = strings.TrimPrefix(name+k.Name, ", ")
			}
			c.Curves = append(c.Curves, k)
		}
		of++
	}
	if len(list) == 1 {
		c.Title += " of " + names[0]
		for i := range c.Curves {
			c.Curves[i].Name = strings.TrimPrefix(strings.TrimPrefix(c.Curves[i].Name, names[0]), ", ")
		}
	}
	if v.Y == "hellaswag" && len(c.Curves) > 0 {
		c.Levels = levels(c.Curves)
	}
	return c, left
}

// levels are those published models that are within reach of the curves: the smallest, and the next above the best.
func levels(curves []chart.Curve) (l []chart.Level) {
	best := 0.0
	for _, k := range curves {
		for _, y := range k.Y {
			best = max(best, y)
		}
	}
	for i, m := range gpt2HellaSwag {
		if i == 0 || gpt2HellaSwag[i-1].acc < best {
			l = append(l, chart.Level{Name: fmt.Sprintf("%s (%.4f)", m.name, m.acc), Y: m.acc})
		}
	}
	return l
}

// nothing says why there is no curve.
func (r *Run) nothing(y string) string {
	what := map[string]string{"val": "validation", "hellaswag": "HellaSwag score"}[y]
	if what == "" || len(r.Train) == 0 {
		return "no steps yet"
	}
	return "no " + what + " yet"
}

// Names returns the runs' directories without what they have in common in front.
func Names(list []*Run) (names []string) {
	for _, r := range list {
		names = append(names, r.Dir)
	}
	for len(names) > 1 {
		first, _, ok := strings.Cut(names[0], "/")
		if !ok || slices.ContainsFunc(names, func(n string) bool { return !strings.HasPrefix(n, first+"/") }) {
			break
		}
		for i := range names {
			names[i] = strings.TrimPrefix(names[i], first+"/")
		}
	}
	return names
}

// axis names the horizontal axis, in a unit that suits the longest run, and returns what divides its values.
func axis(list []*Run, x string) (label string, scale float64) {
	longest := 0.0
	for _, r := range list {
		switch x {
		case "tokens":
			longest = max(longest, float64(r.Tokens()))
		case "time":
			longest = max(longest, r.Seconds())
		}
	}
	switch {
	case x == "tokens" && longest >= 1e9:
		return "tokens, billions", 1e9
	case x == "tokens" && longest >= 1e6:
		return "tokens, millions", 1e6
	case x == "tokens":
		return "tokens", 1
	case x == "time" && longest >= 2*86400:
		return "time in steps, days", 86400
	case x == "time" && longest >= 2*3600:
		return "time in steps, hours", 3600
	case x == "time" && longest >= 120:
		return "time in steps, minutes", 60
	case x == "time":
		return "time in steps, seconds", 1
	}
	return "step", 1
}

// Seconds returns the time that all steps took together, without what came between them.
func (r *Run) Seconds() float64 {
	sum := 0.0
	for _, m := range r.Train {
		if ms := float64(m.MS); ms > 0 {
			sum += ms / 1e3
		}
	}
	return sum
}

// place returns a function from the number of steps done to the value of the horizontal axis.
func (r *Run) place(x string, scale float64) func(done int) float64 {
	if x == "step" {
		return func(done int) float64 { return float64(done) }
	}
	at := make([]float64, len(r.Train)+1) // after as many lines
	for i, m := range r.Train {
		at[i+1] = float64(m.Tokens) / scale
		if x == "time" {
			at[i+1] = at[i] + max(0, float64(m.MS))/1e3/scale
		}
	}
	return func(done int) float64 {
		n, _ := slices.BinarySearchFunc(r.Train, done, func(m metrics.Line, step int) int {
			return cmp.Compare(m.Step,
				step)
		})
		return at[n]
	}
}

// curves returns a run's curves of a view. Values are those before the step's update, so they lie where the steps
// before had ended. lone: no other run is drawn.
func (r *Run) curves(v View, factor, scale float64, lone bool) []chart.Curve {
	place := r.place(v.X, scale)
	take := func(lines []metrics.Line, value func(m metrics.Line) metrics.Float) (k chart.Curve) {
		for _, m := range lines {
			k.X, k.Y = append(k.X, place(m.Step)), append(k.Y, float64(value(m))*factor)
		}
		return k
	}
	smooth := func(k chart.Curve) []chart.Curve {
		raw := k
		raw.Faint = true
		k.Y = chart.Smooth(k.Y, v.Smooth)
		if !lone || v.Smooth < 2 {
			return []chart.Curve{k}
		}
		return []chart.Curve{raw, k}
	}
	loss := func(m metrics.Line) metrics.Float { return m.Loss }
	val := take(r.Val, loss)
	val.Marked = true
	switch v.Y {
	case "val":
		return []chart.Curve{val}
	case "hellaswag":
		k := take(r.Hellaswag, func(m metrics.Line) metrics.Float { return m.AccNorm })
		k.Marked = true
		return []chart.Curve{k}
	case "lr":
		return []chart.Curve{take(r.Train, func(m metrics.Line) metrics.Float { return m.LR })}
	case "grad_norm":
		return smooth(take(r.Train, func(m metrics.Line) metrics.Float { return m.GradNorm }))
	case "tokens_per_s":
		return smooth(take(r.Train, func(m metrics.Line) metrics.Float { return m.TokensPerS }))
	}
	val.Name, val.Bare = ", validation", true
	curves := smooth(take(r.Train, loss))
	if lone {
		curves[len(curves)-1].Name = ", training"
	}
	return append(curves, val)
}
