package bench

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// Share is what the dispatches of one kernel take in a profile, together.
type Share struct {
	Name   string  `json:"name"` // the dispatches' label without the numbers of its geometry
	MS     float64 `json:"ms"`
	Count  int     `json:"-"`
	Result `json:"-"`
}

// Breakdown adds up timings by kernel, the longest first.
func Breakdown(timings []gpu.Timing) []Share {
	at := map[string]int{}
	shares := []Share{}
	for _, t := range timings {
		name := kernelName(t.Label)
		i, ok := at[name]
		if !ok {
			i = len(shares)
			at[name] = i
			shares = append(shares, Share{Name: name})
		}
		s := &shares[i]
		s.Count++
		s.Time += t.Duration
		s.FLOPs += t.FLOPs
		s.Bytes += t.Bytes
	}
	for i := range shares {
		shares[i].MS = shares[i].Time.Seconds() * 1e3
	}
	slices.SortStableFunc(shares, func(a, b Share) int { return cmp.Compare(b.Time, a.Time) })
	return shares
}

// kernelName returns a label up to its numbers: layernorm_forward/store_f32 of layernorm_forward/store_f32/PER=1/WG=64.
// Clears and copies are one row each, whatever tensor they are of.
func kernelName(label string) string {
	if word, _, ok := strings.Cut(label, " "); ok {
		return word
	}
	var parts []string
	for _, p := range strings.Split(label, "/") {
		if !strings.Contains(p, "=") {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "/")
}

// WriteBreakdown prints shares as a table.
func WriteBreakdown(w io.Writer, shares []Share, peak Peak) error {
	var total Result
	bound, count := 0.0, 0 // nanoseconds that all would take at the rates that bound them
	for _, s := range shares {
		bound += peak.OfPeak(s.Result) * float64(s.Time)
		total.Time += s.Time
		total.FLOPs += s.FLOPs
		total.Bytes += s.Bytes
		count += s.Count
	}
	if total.Time == 0 {
		_, err := fmt.Fprintln(w, "the profile is empty")
		return err
	}
	t := newTable(w, "kernel", "count", "ms", "share", "GFLOP/s", "GB/s", "of peak")
	line := func(name string, count int, r Result, ofPeak float64) {
		t.row(name, fmt.Sprint(count), number(r.Time.Seconds()*1e3),
			fmt.Sprintf("%.1f%%", 100*float64(r.Time)/float64(total.Time)),
			number(r.GFLOPs()), number(r.GBs()), fmt.Sprintf("%.2f", ofPeak))
	}
	for _, s := range shares {
		line(s.Name, s.Count, s.Result, peak.OfPeak(s.Result))
	}
	line("all", count, total, bound/float64(total.Time))
	return t.flush()
}

// table aligns columns, the first ones of text to the left and the numbers to the right.
type table struct {
	rows [][]string
	w    io.Writer
	text int // columns of text
}

func newTable(w io.Writer, head ...string) *table {
	return &table{rows: [][]string{head}, w: w, text: 1}
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) flush() error {
	width := make([]int, len(t.rows[0]))
	for _, r := range t.rows {
		for i, c := range r {
			width[i] = max(width[i], len(c))
		}
	}
	for _, r := range t.rows {
		var b strings.Builder
		for i, c := range r {
			if i > 0 {
				b.WriteString("  ")
			}
			if i < t.text {
				fmt.Fprintf(&b, "%-*s", width[i], c)
			} else {
				fmt.Fprintf(&b, "%*s", width[i], c)
			}
		}
		if _, err := fmt.Fprintln(t.w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// number writes x with three or four digits.
func number(x float64) string {
	switch {
	case x >= 1000:
		return fmt.Sprintf("%.0f", x)
	case x >= 100:
		return fmt.Sprintf("%.1f", x)
	case x >= 10:
		return fmt.Sprintf("%.2f", x)
	default:
		return fmt.Sprintf("%.3f", x)
	}
}
