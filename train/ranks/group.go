package ranks

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// Group is the processes that train one model together, the ranks 0 to Size-1, and what they exchange. Methods
// that return an error are collective: every rank calls them, in the same order, with arguments of the same length,
// from any goroutine but one at a time. An error means that the group is lost: the caller says so and calls Abort.
type Group interface {
	Rank() int
	Size() int
	Local() int // the rank among this machine's processes, which picks the GPU

	// AllreduceSum replaces v by its sum over the ranks, the same bits on all of them.
	AllreduceSum(v []float32, wire Wire) error
	// Allgather returns every rank's bytes, in order of rank.
	Allgather(mine []byte) ([][]byte, error)
	// Bcast replaces b by root's.
	Bcast(b []byte, root int) error

	Traffic() Traffic // so far
	Abort(code int)   // ends this process and all others at once
	Close() error     // leaves in peace; the others do too
}

// Wire is how values travel between ranks; sums are float32 either way.
type Wire string

// The wires. BF16 halves the bytes and rounds each value twice, before and after the sum, by up to 2^-9 of it.
const (
	WireF32  Wire = "f32"
	WireBF16 Wire = "bf16"
)

// Traffic is what AllreduceSum cost one rank.
type Traffic struct {
	Bytes int64         // that this rank sent, about: 2 (n-1)/n of the values' for n ranks
	Comm  time.Duration // from when all ranks had come
	Wait  time.Duration // for the last rank to come
}

// Minus returns what came since o.
func (t Traffic) Minus(o Traffic) Traffic {
	return Traffic{Bytes: t.Bytes - o.Bytes, Comm: t.Comm - o.Comm, Wait: t.Wait - o.Wait}
}

// Alone returns the group of one process.
func Alone() Group { return alone{} }

type alone struct{}

func (alone) Rank() int                               { return 0 }
func (alone) Size() int                               { return 1 }
func (alone) Local() int                              { return 0 }
func (alone) AllreduceSum([]float32, Wire) error      { return nil }
func (alone) Allgather(mine []byte) ([][]byte, error) { return [][]byte{mine}, nil }
func (alone) Bcast([]byte, int) error                 { return nil }
func (alone) Traffic() Traffic                        { return Traffic{} }
func (alone) Abort(int)                               {}
func (alone) Close() error                            { return nil }

// ErrElsewhere is returned by the ranks that did not fail themselves: another one reports the reason.
var ErrElsewhere = errors.New("another rank failed and reports the reason")

// LostError is the error of the lowest rank that still answers, where others do not: their processes are stopped, their
// devices hang, or their machines cannot be reached. The other ranks wait for that one to end the run.
type LostError struct {
	Ranks  []int
	Waited time.Duration
}

func (e *LostError) Error() string {
	who := "rank " + fmt.Sprint(e.Ranks[0])
	if len(e.Ranks) > 1 {
		who = "ranks " + strings.Trim(strings.ReplaceAll(fmt.Sprint(e.Ranks), " ", ", "), "[]")
	}
	return fmt.Sprintf("no answer of %s for %v: stopped, with a device that hangs, or on a machine that cannot be "+
		"reached; hint: look there, then start all ranks again with --resume", who, e.Waited)
}

// agreed is an error that every rank knows of.
type agreed struct{ error }

func (a agreed) Unwrap() error { return a.error }

// Agree marks an error of which every rank knows at this point, so that all can leave in peace (see [Agreed]).
func Agree(err error) error { return agreed{err} }

// Agreed reports whether all ranks return at this point for the reason of err, so that Group.Close won't wait for ever.
func Agreed(err error) bool {
	var a agreed
	return err == nil || errors.As(err, &a)
}

// Together exchanges whether the ranks have failed: if none has, nil. Else the first that has returns its error and all
// others [ErrElsewhere]. It is collective, and what it returns is Agreed.
func Together(g Group, mine error) error {
	if g.Size() == 1 {
		return mine
	}
	flag := []byte{0}
	if mine != nil {
		flag[0] = 1
	}
	all, err := g.Allgather(flag)
	if err != nil {
		return err
	}
	switch first := slices.IndexFunc(all, func(f []byte) bool { return f[0] != 0 }); first {
	case -1:
		return nil
	case g.Rank():
		return agreed{mine}
	}
	return agreed{ErrElsewhere}
}

// GatherFloats returns the ranks' numbers, in order of rank. All give as many.
func GatherFloats(g Group, mine ...float64) ([][]float64, error) {
	if g.Size() == 1 {
		return [][]float64{mine}, nil
	}
	raw, _ := binary.Append(nil, binary.LittleEndian, mine) // numbers cannot fail
	all, err := g.Allgather(raw)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(all))
	for rank, b := range all {
		out[rank] = make([]float64, len(mine))
		binary.Decode(b, binary.LittleEndian, out[rank])
	}
	return out, nil
}

// SumFloats returns the sums of the ranks' numbers, taken in order of rank. All give as many.
func SumFloats(g Group, mine ...float64) ([]float64, error) {
	all, err := GatherFloats(g, mine...)
	if err != nil {
		return nil, err
	}
	for _, of := range all[1:] {
		for i, v := range of {
			all[0][i] += v
		}
	}
	return all[0], nil
}

// Flag is a number for SumFloats: the sum is 0 where no rank has wanted something.
func Flag(wanted bool) float64 {
	if wanted {
		return 1
	}
	return 0
}

// Share replaces v on every rank by rank 0's, which JSON must be able to hold.
func Share[T any](g Group, v *T) error {
	if g.Size() == 1 {
		return nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	lengths, err := GatherFloats(g, float64(len(raw)))
	if err != nil {
		return err
	}
	if g.Rank() != 0 {
		raw = make([]byte, int(lengths[0][0]))
	}
	if err := g.Bcast(raw, 0); err != nil {
		return err
	}
	var zero T
	*v = zero
	return json.Unmarshal(raw, v)
}

// BcastFloats replaces v by rank 0's. Ranks of unlike byte order don't exist among GPUs' hosts.
func BcastFloats(g Group, v []float32) error {
	if len(v) == 0 {
		return nil
	}
	return g.Bcast(gpu.BytesOf(v), 0)
}
