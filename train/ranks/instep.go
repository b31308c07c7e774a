package ranks

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/model"
)

// Ranks that compute on the same kind of device hold the same parameters bit for bit, since they start from the same
// and apply the same sums. Devices of two kinds may round the optimizer's division and square root differently: they
// drift apart by rounding, and are brought back to rank 0's parameters at every check.

// maxDrift is how far, relative to the norm, parameters of unlike devices may drift between two checks.
const maxDrift = 1e-3

// CheckEqual compares the parameters of all ranks before that step. Error: they differ; it names the ranks that differ
// from rank 0.
func CheckEqual(g Group, m *model.Model, step int) error {
	if g.Size() == 1 {
		return nil
	}
	h := newHash()
	var host []float32
	for _, w := range m.ParameterWindows() {
		host = slices.Grow(host[:0], w.Len())[:w.Len()]
		if err := m.Device.Read(w, host); err != nil {
			return err
		}
		h.add(host)
	}
	all, err := g.Allgather(binary.LittleEndian.AppendUint64(nil, h.sum()))
	if err != nil {
		return err
	}
	var differ []string
	for rank := range all {
		if !bytes.Equal(all[rank], all[0]) {
			differ = append(differ, fmt.Sprintf("rank %d", rank))
		}
	}
	return outOfStep(g, step, differ)
}

// FollowRank0 replaces every rank's parameters by rank 0's before that step, for devices of several kinds. drift is how
// far the others were apart, of the norm. Error: a rank is not close; it names the ranks.
func FollowRank0(g Group, m *model.Model, step int) (drift float64, err error) {
	var apart, norm float64
	w, err := m.Weights()
	if err != nil {
		return 0, err
	}
	for _, t := range w.Tensors {
		mine := slices.Clone(t)
		if err := BcastFloats(g, t); err != nil {
			return 0, err
		}
		for i, v := range t {
			d := float64(mine[i]) - float64(v)
			apart += d * d
			norm += float64(v) * float64(v)
		}
	}
	if err := m.Load(w); err != nil {
		return 0, err
	}
	all, err := GatherFloats(g, math.Sqrt(apart/max(norm, math.SmallestNonzeroFloat64)))
	if err != nil {
		return 0, err
	}
	var differ []string
	for rank := range all {
		if d := all[rank][0]; !(d <= maxDrift) {
			differ = append(differ, fmt.Sprintf("rank %d (by %.3g of the norm)", rank, d))
		} else {
			drift = max(drift, d)
		}
	}
	return drift, outOfStep(g, step, differ)
}

// outOfStep returns the error of those that differ, which is nil for none.
func outOfStep(g Group, step int, differ []string) error {
	if len(differ) == 0 {
		return nil
	}
	if g.Rank() != 0 {
		return agreed{ErrElsewhere}
	}
	return agreed{fmt.Errorf("before step %d: ranks out of step: the parameters of %s differ from rank 0's; hint: "+
		"run the same build everywhere, and suspect a machine's memory; resume from the last checkpoint, and "+
		"--check-every 1 to see when it starts",
		step, strings.Join(differ, ", "))}
}

// hash is FNV-1a over 32-bit words in four lanes, about as fast as memory.
type hash struct{ lanes [4]uint64 }

func newHash() *hash {
	const offset = 14695981039346656037
	return &hash{[4]uint64{offset, offset + 1, offset + 2, offset + 3}}
}

const fnvPrime = 1099511628211

// add takes values; zeros that complete a multiple of four count.
func (h *hash) add(values []float32) {
	n := len(values) &^ 3
	for i := 0; i < n; i += 4 {
		for l := range h.lanes {
			h.lanes[l] = (h.lanes[l] ^ uint64(math.Float32bits(values[i+l]))) * fnvPrime
		}
	}
	if n < len(values) {
		var last [4]float32
		copy(last[:], values[n:])
		h.add(last[:])
	}
}

func (h *hash) sum() uint64 {
	s := h.lanes[0]
	for _, l := range h.lanes[1:] {
		s = (s ^ l) * fnvPrime
	}
	return s ^ s>>32
}
