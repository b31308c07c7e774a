package tune

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

// request is what a child gets on its standard input.
type request struct {
	Info   gpu.AdapterInfo  `json:"info"`
	Target op.Target        `json:"target"`
	Tuning op.Tuning        `json:"tuning"` // chosen before
	Work   []job            `json:"work"`   // empty: the whole step is measured
	Skip   map[string][]int `json:"skip"`   // candidates by class that took an earlier child down
	Budget time.Duration    `json:"budget"`
	Step   json.RawMessage  `json:"step,omitempty"` // what Build gets
}

// job is a class of uses: the largest one, which is measured, and those that are another kernel and must be right too.
type job struct {
	Use    op.Use   `json:"use"`
	Others []op.Use `json:"others"`
	Kept   *op.Tile `json:"kept,omitempty"` // chosen in an earlier run: the only candidate beside the fixed tile
}

// candidates returns the tiles to try, the fixed one first.
func (j job) candidates(target op.Target) []op.Tile {
	all := op.Candidates(target, j.Use)
	if j.Kept != nil {
		all = append(all[:1:1], *j.Kept)
	}
	return all
}

// Build makes a step whose products have these tiles, on a device that is closed afterwards. trial does it once and
// returns how long it took.
type Build func(d *gpu.Device, step json.RawMessage, tuning op.Tuning) (trial func() (time.Duration, error), err error)

// event is a line of a child's standard output.
type event struct {
	Kind      string        `json:"kind"` // ready | try | drop | chosen | step
	Class     string        `json:"class,omitempty"`
	Candidate int           `json:"candidate,omitempty"`
	Tile      op.Tile       `json:"tile,omitzero"`
	Time      time.Duration `json:"time,omitempty"` // of one run
	Fixed     time.Duration `json:"fixed,omitempty"`
	Error     string        `json:"error,omitempty"`
}

// Child does what a Tuner's child process is for: it reads a request from in, measures, and writes a line of JSON for
// everything that it is about to do or has found. Errors: the request, the device, or a tensor that fails; a
// candidate's are reported instead.
func Child(in io.Reader, out io.Writer, build Build) error {
	var r request
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return fmt.Errorf("tune: %w; hint: this command is for gpt2wgpu's own use, see gpt2wgpu help tune", err)
	}
	c := &child{request: r, enc: json.NewEncoder(out), deadline: time.Now().Add(r.Budget)}
	if len(r.Work) == 0 {
		return c.wholeStep(build)
	}
	var err error
	if c.dev, err = r.open(); err != nil {
		return err
	}
	defer c.dev.Close()
	c.send(event{Kind: "ready"})
	for _, j := range r.Work {
		if c.late() {
			break
		}
		if err := c.choose(j); err != nil {
			return err
		}
	}
	return c.err
}

// open opens the device that the Tuner means.
func (r request) open() (*gpu.Device, error) {
	d, err := gpu.Open(strconv.Itoa(r.Info.Index))
	if err == nil && d.Info.String() != r.Info.String() {
		d.Close()
		err = fmt.Errorf("tune: device %d is %v here, want %v; hint: --device with a part of its name",
			r.Info.Index, d.Info, r.Info)
	}
	return d, err
}

type child struct {
	dev      *gpu.Device
	request  request
	enc      *json.Encoder
	deadline time.Time
	err      error // of sending an event
}

func (c *child) late() bool { return time.Now().After(c.deadline) || c.err != nil }

func (c *child) send(e event) {
	if err := c.enc.Encode(e); err != nil && c.err == nil {
		c.err = err
	}
}

// trial is a candidate on a workload.
type trial struct {
	index int
	tile  op.Tile
	p     *gpu.Program
	best  time.Duration
}

// margin is how much faster than the fixed tables' tile another must be.
const margin = 0.95

// choose measures the candidates of a class and says which one is to be used.
func (c *child) choose(j job) error {
	class := j.Use.Class
	b, err := c.newWorkload(j.Use)
	if err != nil {
		return err
	}
	defer b.free()
	say := func(kind string, t *trial, problem string) {
		c.send(event{Kind: kind, Class: class, Candidate: t.index, Tile: t.tile, Error: problem})
	}
	var fixed, best *trial
	for i, tile := range j.candidates(c.request.Target) {
		if slices.Contains(c.request.Skip[class], i) {
			continue
		}
		if i > 0 && c.late() {
			break
		}
		t := &trial{index: i, tile: tile, best: math.MaxInt64}
		say("try", t, "")
		if i == 0 {
			fixed, best = t, t
		}
		err := b.try(c.with(class, tile), t, best.best, j.Kept != nil)
		defer t.p.Release()
		switch {
		case err != nil && i == 0:
			return err
		case err != nil:
			say("drop", t, err.Error())
		case t.best < best.best:
			best = t
		}
	}
	if best != fixed {
		least := margin
		if j.Kept != nil {
			least = 1
		}
		if best, err = c.duel(b, fixed, best, least); err != nil {
			return err
		}
	}
	if best != fixed && j.Kept == nil {
		say("try", best, "")
		err := selfTest(c.dev, best.tile, j.Use)
		for _, u := range j.Others {
			if err == nil {
				err = c.verify(u, fixed.tile, best.tile)
			}
		}
		if err != nil {
			say("drop", best, err.Error())
			best = fixed
		}
	}
	c.send(event{Kind: "chosen", Class: class, Candidate: best.index, Tile: best.tile, Time: best.best,
		Fixed: fixed.best})
	return nil
}

// with returns the tuning of a trial.
func (c *child) with(class string, tile op.Tile) op.Tuning {
	t := op.Tuning{}
	maps.Copy(t, c.request.Tuning)
	t[class] = tile
	return t
}

// selfTest runs the self-test's cases of a tile for the op of u. Error: the first failure.
var selfTest = func(d *gpu.Device, tile op.Tile, u op.Use) (failed error) {
	_, err := selftest.Run(context.Background(), d, selftest.ForTile(tile, u), func(r selftest.Row) {
		if !r.OK && failed == nil {
			failed = fmt.Errorf("selftest: %s %s %s: %s", r.Name, r.DType, r.Shape, strings.Join(r.Failures, "; "))
		}
	})
	return errors.Join(failed, err)
}

// duel measures two tiles in turn and returns the better one: the other if it takes less than least of the fixed one's
// time.
func (c *child) duel(b *workload, fixed, other *trial, least float64) (*trial, error) {
	fixed.best, other.best = math.MaxInt64, math.MaxInt64
	for range samples {
		for _, t := range []*trial{fixed, other} {
			took, err := b.sample(t)
			if err != nil {
				return nil, err
			}
			t.best = min(t.best, took)
		}
	}
	if float64(other.best) < least*float64(fixed.best) {
		return other, nil
	}
	return fixed, nil
}

// verify compares two tiles' results for u.
func (c *child) verify(u op.Use, fixed, other op.Tile) error {
	b, err := c.newWorkload(u)
	if err != nil {
		return err
	}
	defer b.free()
	for _, tile := range []op.Tile{fixed, other} {
		p, err := b.program(c.with(u.Class, tile))
		if err == nil {
			err = b.check(p)
		}
		defer p.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// wholeStep measures the step with the chosen tiles and with the fixed ones, in turns, and reports both times: tiles
// that are fast by themselves may be slow together. It reports none where the time does not suffice. Error: a step that
// cannot be built or fails.
func (c *child) wholeStep(build Build) error {
	var fixed, tuned time.Duration = math.MaxInt64, math.MaxInt64
	start := time.Now()
	for i := range 4 {
		tuning, best := c.request.Tuning, &tuned
		if i%2 == 1 {
			tuning, best = nil, &fixed
		}
		switch err := c.timeStep(build, tuning, best); {
		case errors.Is(err, errLate) || i == 0 && 3*time.Since(start) > time.Until(c.deadline):
			return c.err
		case err != nil:
			return err
		}
	}
	c.send(event{Kind: "step", Time: tuned, Fixed: fixed})
	return c.err
}

var errLate = errors.New("the time does not suffice")

// timeStep lowers best to the shortest time of the step under a tuning.
func (c *child) timeStep(build Build, tuning op.Tuning, best *time.Duration) error {
	d, err := c.request.open()
	if err != nil {
		return err
	}
	defer d.Close()
	trial, err := build(d, c.request.Step, tuning)
	if err != nil {
		return err
	}
	for i := range 3 {
		if c.send(event{Kind: "step"}); c.late() {
			return errLate
		}
		took, err := trial()
		if err != nil {
			return err
		}
		if i > 0 { // the first compiles
			*best = min(*best, took)
		}
	}
	return nil
}

// workload is the tensors of a use, with inputs in them.
type workload struct {
	dev     *gpu.Device
	setup   *op.Setup
	use     op.Use
	tensors map[string]gpu.Tensor
	outs    []gpu.Tensor
	clear   *gpu.Program
	want    [][]float32 // what the first program has left in outs; nil before it
	runs    int         // a sample
}

func (c *child) newWorkload(u op.Use) (b *workload, err error) {
	d := c.dev
	b = &workload{dev: d, setup: op.NewSetup(d), use: u, tensors: map[string]gpu.Tensor{},
		clear: d.NewProgram("tune: clear"), runs: 1}
	b.setup.Target = c.request.Target
	defer func() {
		if err != nil {
			b.free()
		}
	}()
	random := rand.New(rand.NewPCG(1337, 0))
	for _, name := range slices.Sorted(maps.Keys(u.Tensors)) {
		o := u.Tensors[name]
		t, err := d.NewTensor(gpu.Scratch, name, o.Storage, o.Shape...)
		if err != nil {
			return b, fmt.Errorf("tune: %s: %w", u.Class, err)
		}
		b.tensors[name] = t
		if o.Scratch {
			continue
		}
		if o.Output {
			b.outs = append(b.outs, t)
			b.clear.Clear(t)
			continue
		}
		if err := fill(d, t, *o, random); err != nil {
			return b, fmt.Errorf("tune: %s: %w", u.Class, err)
		}
	}
	return b, b.clear.Build()
}

// fill uploads a tensor's values: uniform ones between -1 and 1, or ids.
func fill(d *gpu.Device, t gpu.Tensor, o op.Operand, random *rand.Rand) error {
	// A prime number of values again and again: rows differ, and hundreds of megabytes take no time.
	some := make([]float32, 65521)
	for i := range some {
		some[i] = 2*random.Float32() - 1
	}
	n, row := t.Len(), o.Shape[len(o.Shape)-1]
	if o.Storage == gpu.U32 {
		words := make([]uint32, n)
		for i := range words {
			words[i] = random.Uint32N(uint32(max(1, o.Below)))
		}
		return d.UploadU32(t, words)
	}
	values := make([]float32, n)
	for i := range values {
		if o.Cols == 0 || i%row < o.Cols {
			values[i] = some[i%len(some)]
		}
	}
	return d.Upload(t, values)
}

func (b *workload) free() {
	b.dev.Wait()
	b.clear.Release()
	b.setup.Free()
	for _, t := range b.tensors {
		b.dev.Free(t)
	}
}

// program builds the use under a tuning.
func (b *workload) program(t op.Tuning) (*gpu.Program, error) {
	b.setup.Tuning = t
	p := b.setup.NewProgram("tune: " + b.use.Class)
	b.use.AddTo(p, b.tensors)
	return p.Program, p.Build()
}

// outputs runs p once on cleared outputs and reads them.
func (b *workload) outputs(p *gpu.Program) ([][]float32, error) {
	if err := b.clear.Run(); err != nil {
		return nil, err
	}
	if err := p.Run(); err != nil {
		return nil, err
	}
	var all [][]float32
	for _, t := range b.outs {
		values := make([]float32, t.Len())
		if err := b.dev.Read(t, values); err != nil {
			return nil, err
		}
		all = append(all, values)
	}
	return all, nil
}

// check runs p and compares its results with those of the first program that was checked. It refuses results that
// differ by more than rounding: of the value, or of sums as large as the tensor's root mean square. Another order of
// 50257 addends moves a float32 sum by about 1e-5 of that, and a wrong element by all of it. bf16 keeps 8 bits, and
// what is computed from such values differs by a unit of them.
func (b *workload) check(p *gpu.Program) error {
	got, err := b.outputs(p)
	if err != nil {
		return err
	}
	if b.want == nil {
		b.want = got
		return nil
	}
	for i, t := range b.outs {
		tolerance := 1e-3
		if b.use.Storage() == gpu.BF16 {
			tolerance = 2e-2
		}
		sum := 0.0
		for _, v := range b.want[i] {
			sum += float64(v) * float64(v)
		}
		rms := math.Sqrt(sum / float64(len(b.want[i])))
		for k, v := range got[i] {
			w := float64(b.want[i][k])
			if diff := math.Abs(float64(v) - w); !(diff <= tolerance*(rms+math.Abs(w))) {
				return fmt.Errorf("wrong result: %s at %d is %v, the fixed tile's %v", t.Name(), k, v, w)
			}
		}
	}
	return nil
}

const (
	samples     = 3
	sampleTime  = 5 * time.Millisecond // at least: the clock, submission and waiting take some tens of microseconds
	mostRuns    = 64
	pruneFactor = 1.3 // a first sample so much slower than the best ends a trial
)

// calibrate finds how many runs a sample needs: for a choice that is only confirmed, fewer.
func (b *workload) calibrate(t *trial, confirm bool) error {
	enough := sampleTime
	if confirm {
		enough /= 5
	}
	took, err := b.sample(t)
	if err == nil && took > 0 {
		b.runs = int(min(mostRuns, max(1, enough/took+1)))
	}
	return err
}

// sample returns the time of one run, the mean of some.
func (b *workload) sample(t *trial) (time.Duration, error) {
	start := time.Now()
	for range b.runs {
		if err := t.p.Run(); err != nil {
			return 0, err
		}
	}
	err := b.dev.Wait()
	return measured(t.index, time.Since(start)/time.Duration(b.runs)), err
}

// measured is what a sample of a candidate took; tests replace it.
var measured = func(candidate int, took time.Duration) time.Duration { return took }

// time sets t.best, of fewer samples if the first is far slower than the best so far.
func (b *workload) time(t *trial, best time.Duration) error {
	t.best = math.MaxInt64
	for range samples {
		took, err := b.sample(t)
		if err != nil {
			return err
		}
		t.best = min(t.best, took)
		if float64(took) > pruneFactor*float64(best) {
			break
		}
	}
	return nil
}

// try builds a candidate, compares its result and measures it; the first one also says how many runs a sample needs.
// An error speaks only against the candidate. confirm: the choice is only to be confirmed.
func (b *workload) try(tuning op.Tuning, t *trial, best time.Duration, confirm bool) (err error) {
	first := b.want == nil
	if t.p, err = b.program(tuning); err == nil {
		err = b.check(t.p)
	}
	if err == nil && first {
		err = b.calibrate(t, confirm)
	}
	if err != nil {
		return err
	}
	return b.time(t, best)
}
