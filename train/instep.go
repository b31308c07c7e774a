package train

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// Ranks that compute on the same kind of device hold the same parameters bit for bit, since they start from the same and
// apply the same sums. Devices of two kinds may round the optimizer's division and square root differently: they drift
// apart by rounding, and are brought back to rank 0's parameters at every check.

// maxDrift is how far, relative to the norm, parameters of unlike devices may drift between two checks.
const maxDrift = 1e-3

// checkInStep compares the parameters of all ranks. Error: they differ; it names the ranks that differ from rank 0.
func (r *run) checkInStep() error {
	if r.group.Size() == 1 {
		return nil
	}
	if r.mixed {
		return r.followRank0()
	}
	h := newHash()
	err := r.eachWindow(func(w gpu.Tensor, host []float32) error {
		h.add(host)
		return nil
	})
	if err != nil {
		return err
	}
	all, err := r.group.Allgather(binary.LittleEndian.AppendUint64(nil, h.sum()))
	if err != nil {
		return err
	}
	var differ []string
	for rank := range all {
		if !bytes.Equal(all[rank], all[0]) {
			differ = append(differ, fmt.Sprintf("rank %d", rank))
		}
	}
	return r.outOfStep(differ)
}

// followRank0 replaces every rank's parameters by rank 0's, if they are close.
func (r *run) followRank0() error {
	var apart, norm float64
	w, err := r.model.Weights()
	if err != nil {
		return err
	}
	for _, t := range w.Tensors {
		mine := slices.Clone(t)
		if err := r.group.Bcast(bytesOf(t), 0); err != nil {
			return err
		}
		for i, v := range t {
			d := float64(mine[i]) - float64(v)
			apart += d * d
			norm += float64(v) * float64(v)
		}
	}
	if err := r.model.Load(w); err != nil {
		return err
	}
	drift := math.Sqrt(apart / max(norm, math.SmallestNonzeroFloat64))
	all, err := gatherFloats(r.group, drift)
	if err != nil {
		return err
	}
	var differ []string
	most := 0.0
	for rank := range all {
		if d := all[rank][0]; !(d <= maxDrift) {
			differ = append(differ, fmt.Sprintf("rank %d (by %.3g of the norm)", rank, d))
		} else {
			most = max(most, d)
		}
	}
	r.env.Log.Debug("unlike devices brought together", "step", r.step, "drift", most)
	return r.outOfStep(differ)
}

// outOfStep returns the error of those that differ, which is nil for none.
func (r *run) outOfStep(differ []string) error {
	if len(differ) == 0 {
		return nil
	}
	if r.group.Rank() != 0 {
		return agreed{ErrElsewhere}
	}
	return agreed{fmt.Errorf("before step %d: ranks out of step: the parameters of %s differ from rank 0's; hint: run the same build everywhere, and suspect a machine's memory; resume from the last checkpoint, and --check-every 1 to see when it starts",
		r.step, strings.Join(differ, ", "))}
}

// eachWindow reads the parameters piece by piece.
func (r *run) eachWindow(f func(w gpu.Tensor, host []float32) error) error {
	var host []float32
	for _, w := range r.model.ParameterWindows() {
		host = slices.Grow(host[:0], w.Len())[:w.Len()]
		if err := r.dev.Read(w, host); err != nil {
			return err
		}
		if err := f(w, host); err != nil {
			return err
		}
	}
	return nil
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

// bytesOf returns the memory of v, for Bcast. Ranks of unlike byte order don't exist among GPUs' hosts.
func bytesOf(v []float32) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
}
