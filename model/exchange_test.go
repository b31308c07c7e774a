package model

import (
	"math"
	"slices"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// TestBuckets: the segments compute what the whole does, bit for bit; the windows of all buckets are all gradients,
// once each; and what a bucket hands over is final, read while later segments run.
func TestBuckets(t *testing.T) {
	d := gputest.Device(t)
	c := gpt2.Config{NLayer: 3, NHead: 2, NEmbd: 16, BlockSize: 8, VocabSize: 40}
	m, err := New(d, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(gpt2.Init(c, 1)); err != nil {
		t.Fatal(err)
	}
	x, y := make([]uint32, 16), make([]uint32, 16)
	for i := range x {
		x[i], y[i] = uint32(i*7%40), uint32(i*11%40)
	}
	var whole [][]float32
	block := 4 * 12 * 16 * 16 // bytes of a block's matrices
	for _, test := range []struct{ bytes, segments int }{{0, 1}, {1, 4}, {block, 4}, {block + 1, 2}, {3 * block, 2},
		{3*block + 1, 1}} {
		tr, err := NewTraining(m, 2, 8, 1, Buckets(test.bytes))
		if err != nil {
			t.Fatal(err)
		}
		if len(tr.backward) != test.segments || len(tr.buckets) != test.segments {
			t.Fatalf("%d bytes: %d segments and %d buckets, want %d", test.bytes, len(tr.backward),
				len(tr.buckets), test.segments)
		}
		if err := tr.Begin(); err != nil {
			t.Fatal(err)
		}
		var reads []*gpu.Pending
		var windows []gpu.Tensor
		if err := tr.Forward(x, y); err != nil {
			t.Fatal(err)
		}
		if err := tr.Backward(func(ws []gpu.Tensor) error {
			for _, w := range ws {
				r, err := d.StartRead(w)
				if err != nil {
					return err
				}
				reads, windows = append(reads, r), append(windows, w)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		taken := map[int][]float32{} // by window
		for i, r := range reads {
			taken[i] = make([]float32, windows[i].Len())
			if err := r.Wait(); err != nil {
				t.Fatal(err)
			}
			if err := r.Take(taken[i]); err != nil {
				t.Fatal(err)
			}
		}
		got, err := tr.Gradients()
		if err != nil {
			t.Fatal(err)
		}
		if whole == nil {
			whole = got
		}
		for i, p := range m.table {
			g, found := tr.grads.byParam[i], 0
			for j, v := range got[i] {
				if math.Float32bits(v) != math.Float32bits(whole[i][j]) {
					t.Fatalf("%d bytes: %s[%d] is %g, want %g", test.bytes, p.Name, j, v, whole[i][j])
				}
			}
			for w, window := range windows {
				if at := int64(g.Offset()) - int64(window.Offset()); window.SameBuffer(g) && at >= 0 &&
					at < int64(window.Bytes()) {
					found++
					if !slices.Equal(taken[w][at/4:int(at/4)+g.Len()], got[i]) {
						t.Errorf("%d bytes: %s left before it was complete", test.bytes, p.Name)
					}
				}
			}
			if found != 1 {
				t.Errorf("%d bytes: %s is in %d windows", test.bytes, p.Name, found)
			}
		}
	}
}
