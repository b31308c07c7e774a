package ranks

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestHash: every bit and every place counts.
func TestHash(t *testing.T) {
	sum := func(v ...float32) uint64 {
		var h hash
		h.add(v)
		return h.sum()
	}
	seen := map[uint64]int{}
	for i, v := range [][]float32{
		{1, 2, 3, 4, 5}, {1, 2, 3, 4, 6}, {2, 1, 3, 4, 5}, {1, 2, 3, 5, 4}, {5, 2, 3, 4, 1}, {1, 2, 3, 4},
		{1, 2, 3, 4, -5}, {1, 2, 3, 4, 5.0000005},
	} {
		if j, ok := seen[sum(v...)]; ok {
			t.Errorf("%v hashes like vector %d", v, j)
		}
		seen[sum(v...)] = i
	}
}

// three is rank 0 or 1 of three whose rank 2 holds other parameters.
type three struct {
	alone
	rank int
}

func (g three) Rank() int { return g.rank }
func (g three) Size() int { return 3 }
func (g three) Allgather(mine []byte) ([][]byte, error) {
	other := append([]byte(nil), mine...)
	binary.LittleEndian.PutUint64(other, binary.LittleEndian.Uint64(mine)+1)
	return [][]byte{mine, mine, other}, nil
}

// TestOutOfStep: one rank reports which differ, and all know.
func TestOutOfStep(t *testing.T) {
	d := gputest.Device(t)
	c := gpt2.Config{NLayer: 1, NHead: 1, NEmbd: 8, BlockSize: 8, VocabSize: 16}
	m, err := model.New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(gpt2.Init(c, 1)); err != nil {
		t.Fatal(err)
	}
	for rank := range 2 {
		err := CheckEqual(three{rank: rank}, m, 7)
		if !Agreed(err) || err == nil {
			t.Fatalf("rank %d: %v", rank, err)
		}
		if rank > 0 && !errors.Is(err, ErrElsewhere) {
			t.Errorf("rank %d: %v", rank, err)
		}
		for _, w := range []string{"before step 7", "the parameters of rank 2 differ from rank 0's", "hint:"} {
			if rank == 0 && !strings.Contains(err.Error(), w) {
				t.Errorf("%q lacks %q", err, w)
			}
		}
	}
}
