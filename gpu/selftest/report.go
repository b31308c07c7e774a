package selftest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// Report is what Run found.
type Report struct {
	Device  string `json:"device"`
	Passed  int    `json:"passed"`
	Failed  int    `json:"failed"`
	Kernels []Row  `json:"kernels"`
}

// Row is one case: the error closest to its limit, or furthest past it, and that limit.
type Row struct {
	Name     string `json:"name"`
	DType    string `json:"dtype"`
	Shape    string `json:"shape"`
	MaxError number `json:"max_error"`
	Limit    number `json:"limit"`
	OK       bool   `json:"ok"`

	Failures []string `json:"-"` // a line each
}

// number is null in JSON where it is none: there was nothing to compare, or the device gave a NaN.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// Run tries the entries on d and calls report with each row as soon as it is known. Errors: ctx ended.
func Run(ctx context.Context, d *gpu.Device, entries []Entry, report func(Row)) (Report, error) {
	r := Report{Device: d.Info.String(), Kernels: []Row{}}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return r, err
		}
		row := e.try(d)
		if row.OK {
			r.Passed++
		} else {
			r.Failed++
		}
		r.Kernels = append(r.Kernels, row)
		report(row)
	}
	return r, nil
}

// try runs one entry.
func (e Entry) try(d *gpu.Device) Row {
	t := &recorder{name: e.Name}
	row := Row{Name: e.Name, DType: e.DType, Shape: e.Shape, MaxError: number(math.NaN()), Limit: number(math.NaN())}
	t.run(func() {
		c := New(t, d)
		e.Try(c)
		if c.checked {
			row.MaxError, row.Limit = number(c.err), number(c.limit)
		}
	})
	row.Failures, row.OK = t.failures, len(t.failures) == 0
	return row
}

// Plan returns the program of an entry, without running it, on a plan of a device with this target and these limits,
// and the target that it has, where the entry forces a geometry.
// Error: the entry has no program.
func (e Entry) Plan(target op.Target, l gpu.Limits) (p *gpu.Program, forced op.Target, err error) {
	t := &recorder{name: e.Name}
	var c *Case
	t.run(func() {
		c = New(t, gpu.Plan(gpu.AdapterInfo{Limits: l}))
		c.Setup.Target = target
		e.Try(c)
	})
	if c.planned == nil {
		return nil, target, fmt.Errorf("%s: %s", e.Name, strings.Join(t.failures, "; "))
	}
	return c.planned, c.Setup.Target, nil
}

// recorder is the TB of the program's own self-test.
type recorder struct {
	name     string
	cleanups []func()
	failures []string
}

// stopped is what Fatal panics with.
type stopped struct{}

// do calls f and returns when it does or when it has failed for good.
func (t *recorder) do(f func()) {
	defer func() {
		if r := recover(); r != nil && r != (stopped{}) {
			panic(r)
		}
	}()
	f()
}

// run does f and then what it has asked to clean up, the last first.
func (t *recorder) run(f func()) {
	t.do(f)
	for _, clean := range slices.Backward(t.cleanups) {
		t.do(clean)
	}
}

func (t *recorder) Helper()          {}
func (t *recorder) Name() string     { return t.name }
func (t *recorder) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *recorder) Errorf(format string, args ...any) {
	line := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	if len(t.failures) < 5 { // more would repeat them
		t.failures = append(t.failures, line)
	}
}

func (t *recorder) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	panic(stopped{})
}

func (t *recorder) Fatal(args ...any) { t.Fatalf("%s", fmt.Sprint(args...)) }

// Table prints rows as they come, under a head: should the driver take the process down, what was found is on the
// screen.
type Table struct {
	w           io.Writer
	name, shape int // widths
}

// NewTable prints the device and the head of a table for entries.
func NewTable(w io.Writer, info gpu.AdapterInfo, entries []Entry) *Table {
	t := &Table{w: w, name: len("kernel"), shape: len("shape")}
	for _, e := range entries {
		t.name, t.shape = max(t.name, len(e.Name)), max(t.shape, len(e.Shape))
	}
	l := info.Limits
	fmt.Fprintf(w, "device:   %v, %s\n", info, info.Driver)
	bytes := gpu.HumanBytes
	fmt.Fprintf(w, "limits:   buffer %s, binding %s, workgroup %d threads and %s, %d storage buffers, %d groups a "+
		"dimension\n", bytes(l.MaxBufferSize), bytes(l.MaxBindingSize), l.MaxInvocations,
		bytes(uint64(l.MaxWorkgroupBytes)), l.MaxStorageBuffers, l.MaxGroups)
	fmt.Fprintf(w, "features: %s\n\n", strings.Join(info.Features, " "))
	t.line("kernel", "dtype", "shape", "max error", "limit", "")
	return t
}

func (t *Table) line(name, dtype, shape, err, limit, ok string) {
	line := fmt.Sprintf("%-*s  %-5s  %-*s  %9s  %9s  %s", t.name, name, dtype, t.shape, shape, err, limit, ok)
	fmt.Fprintln(t.w, strings.TrimRight(line, " "))
}

// Row prints one case; what failed follows it, indented.
func (t *Table) Row(r Row) {
	format := func(n number) string {
		switch x := float64(n); {
		case math.IsNaN(x):
			return "-"
		case x == 0:
			return "0"
		default:
			return fmt.Sprintf("%.2e", x)
		}
	}
	verdict := map[bool]string{true: "ok", false: "FAILED"}[r.OK]
	t.line(r.Name, r.DType, r.Shape, format(r.MaxError), format(r.Limit), verdict)
	for _, f := range r.Failures {
		fmt.Fprintf(t.w, "    %s\n", f)
	}
}
