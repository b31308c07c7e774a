package selftest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// Rand returns n values of a normal distribution times scale, each exactly a float32.
func Rand(seed uint64, n int, scale float64) []float64 {
	r := rand.New(rand.NewPCG(seed, 1337))
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(float32(r.NormFloat64() * scale))
	}
	return out
}

// Round rounds values in place to what storage s holds, so that the reference computes with what the device reads.
func Round(s gpu.Storage, values []float64) []float64 {
	for i, v := range floats(s, values) {
		values[i] = float64(v)
	}
	return values
}

// floats returns values as storage s holds them.
func floats(s gpu.Storage, values []float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	if s == gpu.BF16 {
		out = gpu.UnpackBF16(gpu.PackBF16(out), len(out))
	}
	return out
}

// Tokens returns n ids below vocab.
func Tokens(seed uint64, n, vocab int) []uint32 {
	r := rand.New(rand.NewPCG(seed, 42))
	out := make([]uint32, n)
	for i := range out {
		out[i] = uint32(r.IntN(vocab))
	}
	return out
}

const guardWords = 64

// guards lie behind a tensor: NaNs, so that reading past the end shows too, and every other time a number, as NaN + x
// keeps the NaN's bits and would hide an addition.
var guards = slices.Repeat([]uint32{0x7fc0dead, math.Float32bits(12345.678)}, guardWords/2)

// Case is one op at one shape: tensors with guard words behind them, and the check of what a program did to them.
type Case struct {
	Setup *op.Setup // of its program: the device's target, unless the case sets another

	t       TB
	dev     *gpu.Device
	tensors []tensor
	whole   []gpu.Tensor
	got     map[string][]float64

	planned *gpu.Program // on a plan

	checked bool
	err     float64 // where a value is closest to its limit or furthest past it; NaN where the device gave no number
	limit   float64 // there
	ratio   float64 // of the two
}

// TB is what a case needs of a testing.TB.
type TB interface {
	Helper()
	Name() string
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

type tensor struct {
	gpu.Tensor
	start  []uint32 // words before the run, guards included
	output bool
	whole  gpu.Tensor
}

// New starts a case on d. Its tensors are released with the test.
func New(t TB, d *gpu.Device) *Case {
	t.Helper()
	c := &Case{Setup: op.NewSetup(d), t: t, dev: d, got: map[string][]float64{}}
	t.Cleanup(func() {
		if err := c.dev.Wait(); err != nil {
			t.Fatal(err)
		}
		c.dev.Free(c.whole...)
		c.Setup.Free()
	})
	return c
}

func (c *Case) add(name string, storage gpu.Storage, words []uint32, output bool, shape []int) gpu.Tensor {
	c.t.Helper()
	n := len(words)
	words = append(words, guards...)
	whole, err := c.dev.NewTensor(gpu.Scratch, name, gpu.U32, len(words))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.dev.UploadU32(whole, words); err != nil {
		c.t.Fatal(err)
	}
	c.whole = append(c.whole, whole)
	view := whole.Reinterpret(name, storage, shape...).Overbind(guardWords)
	if int(view.Bytes()/4) != n {
		c.t.Fatalf("%s: %d words for shape %v", name, n, shape)
	}
	c.tensors = append(c.tensors, tensor{view, words, output, whole})
	return view
}

// In is a float32 input: values must be exact in float32.
func (c *Case) In(name string, values []float64, shape ...int) gpu.Tensor {
	return c.InAs(gpu.F32, name, values, shape...)
}

// InAs is an input of storage s, which must hold the values exactly (Round).
func (c *Case) InAs(s gpu.Storage, name string, values []float64, shape ...int) gpu.Tensor {
	c.t.Helper()
	return c.add(name, s, c.words(s, name, values), false, shape)
}

// InU32 is an input of integers.
func (c *Case) InU32(name string, values []uint32, shape ...int) gpu.Tensor {
	return c.add(name, gpu.U32, slices.Clone(values), false, shape)
}

// Out is a float32 output that the op overwrites: it starts as NaN.
func (c *Case) Out(name string, shape ...int) gpu.Tensor { return c.OutAs(gpu.F32, name, shape...) }

// OutAs is an output of storage s that the op overwrites: it starts as NaN.
func (c *Case) OutAs(s gpu.Storage, name string, shape ...int) gpu.Tensor {
	c.t.Helper()
	return c.add(name, s, pack(s, slices.Repeat([]float64{math.NaN()}, count(shape))), true, shape)
}

// InOut is a float32 output that the op adds to or updates, from values.
func (c *Case) InOut(name string, values []float64, shape ...int) gpu.Tensor {
	return c.InOutAs(gpu.F32, name, values, shape...)
}

// InOutAs is an output of storage s that the op adds to or updates, from values that s must hold exactly (Round).
func (c *Case) InOutAs(s gpu.Storage, name string, values []float64, shape ...int) gpu.Tensor {
	c.t.Helper()
	return c.add(name, s, c.words(s, name, values), true, shape)
}

// words is pack, and fails the test where s does not hold a value of bf16.
func (c *Case) words(s gpu.Storage, name string, values []float64) []uint32 {
	c.t.Helper()
	if s == gpu.BF16 {
		for i, v := range floats(s, values) {
			if float64(v) != values[i] && v == v {
				c.t.Fatalf("%s: %v at %d is not a bf16; hint: Round", name, values[i], i)
			}
		}
	}
	return pack(s, values)
}

// pack returns the 32-bit words of values in storage s.
func pack(s gpu.Storage, values []float64) []uint32 {
	if s == gpu.BF16 {
		return gpu.PackBF16(floats(s, values))
	}
	w := make([]uint32, len(values))
	for i, v := range floats(s, values) {
		w[i] = math.Float32bits(v)
	}
	return w
}

// unpack returns the values of t's words.
func unpack(t gpu.Tensor, w []uint32) []float64 {
	out := make([]float64, t.Len())
	if t.Storage() == gpu.BF16 {
		for i, v := range gpu.UnpackBF16(w, len(out)) {
			out[i] = float64(v)
		}
		return out
	}
	for i := range out {
		out[i] = float64(math.Float32frombits(w[i]))
	}
	return out
}

// Op is an op that a program takes.
type Op interface{ AddTo(*op.Builder) }

// Run builds a program of the ops and runs it twice from the same start: the two results must agree bit for bit, inputs
// and guard words must be untouched.
func (c *Case) Run(ops ...Op) {
	c.t.Helper()
	p := c.Setup.NewProgram(c.t.Name())
	for _, o := range ops {
		o.AddTo(p)
	}
	if err := p.Build(); err != nil {
		c.t.Fatal(err)
	}
	defer p.Release()
	if c.dev.Planned() {
		c.planned = p.Program
		c.t.Fatal("a plan of a device runs nothing")
	}
	first, second := c.run(p.Program), c.run(p.Program)
	for i, t := range c.tensors {
		n := len(t.start) - guardWords
		if j := differ(first[i][n:], t.start[n:]); j >= 0 {
			c.t.Fatalf("%v: guard word %d behind it was overwritten with %#x", t.Tensor, j, first[i][n+j])
		}
		if j := differ(first[i], t.start); j >= 0 && !t.output {
			c.t.Fatalf("%v: input changed at %d", t.Tensor, j)
		}
		if j := differ(first[i], second[i]); j >= 0 {
			c.t.Fatalf("%v: two runs differ at %d: %#x, then %#x", t.Tensor, j, first[i][j], second[i][j])
		}
		c.got[t.Name()] = unpack(t.Tensor, first[i])
	}
}

// run runs p from the tensors' start and returns their words.
func (c *Case) run(p *gpu.Program) (words [][]uint32) {
	c.t.Helper()
	for _, t := range c.tensors {
		if err := c.dev.UploadU32(t.whole, t.start); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := p.Run(); err != nil {
		c.t.Fatal(err)
	}
	for _, t := range c.tensors {
		w := make([]uint32, len(t.start))
		if err := c.dev.ReadU32(t.whole, w); err != nil {
			c.t.Fatal(err)
		}
		words = append(words, w)
	}
	return words
}

// differ returns the first place where a and b, of one length, differ, -1 if there is none.
func differ(a, b []uint32) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// Got returns the values of a tensor after Run.
func (c *Case) Got(t gpu.Tensor) []float64 { return c.got[t.Name()] }

// Tolerance is the error that float32 arithmetic may leave: 2 eps |want| for the last roundings and, for a sum of Terms
// addends of deviation Scale taken one after another, 2 eps Terms Scale: partial sums grow like sqrt(k) Scale and each
// is rounded by eps/2 of itself, a walk of deviation eps Terms Scale / sqrt(8); the limit is 5 to 6 of it. Storing as
// bf16, with 8 bits of mantissa, adds one rounding: half a unit in the last place, at most 2^-8 of the value.
type Tolerance struct {
	Terms   int
	Scale   float64
	Bound   float64     // an error that the test has derived, beside these
	Storage gpu.Storage // of the output; Check sets it
	Exact   bool        // no error at all
}

const eps = 1.0 / (1 << 23)

// Limit returns the largest error allowed at want.
func (tol Tolerance) Limit(want float64) float64 {
	if tol.Exact {
		return 0
	}
	limit := eps*(2*math.Abs(want)+2*float64(tol.Terms)*tol.Scale) + tol.Bound
	if tol.Storage == gpu.BF16 {
		limit += (math.Abs(want) + limit) / (1 << 8)
	}
	return limit
}

// Check compares a tensor after Run with its reference.
func (c *Case) Check(t gpu.Tensor, want []float64, tol Tolerance) {
	c.t.Helper()
	tol.Storage = t.Storage()
	c.CheckValues(t.String(), c.got[t.Name()], want, tol)
}

// CheckValues compares values of an output that is called name with their reference.
func (c *Case) CheckValues(name string, got, want []float64, tol Tolerance) {
	c.t.Helper()
	if err := Compare(got, want, tol); err != nil {
		c.t.Errorf("%s: %v", name, err)
	}
	if len(got) != len(want) || len(got) == 0 {
		return
	}
	at, r := worst(got, want, tol)
	if c.checked && r <= c.ratio {
		return
	}
	c.checked, c.ratio = true, r
	c.err, c.limit = math.Abs(got[at]-want[at]), tol.Limit(want[at])
}

// ratio is an error as a part of its limit: infinite for what is not a number, 0 for no error whatever the limit.
func ratio(err, limit float64) float64 {
	switch {
	case math.IsNaN(err):
		return math.Inf(1)
	case err == 0:
		return 0
	}
	return err / limit
}

// BindAtMost makes the device's bindings smaller for the rest of the case, so that small tensors come in windows; with
// 0 bytes they stay.
func (c *Case) BindAtMost(bytes int) {
	old := c.dev.Limits.MaxBindingSize
	c.t.Cleanup(func() { c.dev.Limits.MaxBindingSize = old })
	if bytes > 0 {
		c.dev.Limits.MaxBindingSize = uint64(bytes)
	}
}

// worst returns the place with the largest error as a part of its limit. Infinities and NaNs are past any.
func worst(got, want []float64, tol Tolerance) (at int, largest float64) {
	for i := range want {
		r := ratio(math.Abs(got[i]-want[i]), tol.Limit(want[i]))
		if math.IsNaN(got[i]) || math.IsInf(got[i], 0) {
			r = math.Inf(1)
		}
		if r > largest {
			at, largest = i, r
		}
	}
	return at, largest
}

// Compare returns an error that names the worst place and the first five pairs, unless all values are within tol.
func Compare(got, want []float64, tol Tolerance) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d values, want %d", len(got), len(want))
	}
	at, r := worst(got, want, tol)
	if r <= 1 {
		return nil
	}
	n := min(5, len(want))
	return fmt.Errorf("at %d: got %v, want %v, error %.3g times the limit %.3g; first got %v want %v",
		at, got[at], want[at], r, tol.Limit(want[at]), got[:n], want[:n])
}
