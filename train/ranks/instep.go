package ranks

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
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
	var h hash
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
		"--check-every 1 to see when it starts", step, strings.Join(differ, ", "))}
}

// hash is two CRCs, which processors compute about as fast as memory delivers.
type hash struct{ ieee, castagnoli uint32 }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (h *hash) add(values []float32) {
	raw := gpu.BytesOf(values)
	h.ieee = crc32.Update(h.ieee, crc32.IEEETable, raw)
	h.castagnoli = crc32.Update(h.castagnoli, castagnoli, raw)
}

func (h *hash) sum() uint64 { return uint64(h.ieee)<<32 | uint64(h.castagnoli) }
