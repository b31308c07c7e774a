package ref

import (
	"fmt"
	"testing"
)

func TestEmbeddingForward(t *testing.T) {
	wte := []float64{1, 2, 3, 4, 5, 6} // (3,2)
	wpe := []float64{10, 20, 30, 40}   // (2,2)
	tokens := []uint32{2, 0, 1, 1}     // (2,2)
	out := poison(8)                   // (2,2,2)
	want := []float64{15, 26, 31, 42, 13, 24, 33, 44}
	EmbeddingForward(out, wte, wpe, tokens, 2, 2, 2)
	expectClose(t, "out", out, want, 0)
}

func TestEmbeddingBackward(t *testing.T) {
	const V, maxT = 7, 6
	for _, d := range []struct{ B, T, C int }{{1, 1, 1}, {1, 5, 3}, {3, 6, 4}} { // 18 tokens of 7: some repeat
		t.Run(fmt.Sprintf("B=%d,T=%d,C=%d", d.B, d.T, d.C), func(t *testing.T) {
			rng := source()
			wte, wpe := normals(rng, V*d.C), normals(rng, maxT*d.C)
			tokens := indices(rng, d.B*d.T, V)
			dout := normals(rng, d.B*d.T*d.C)
			out := make([]float64, d.B*d.T*d.C)
			loss := func([]float64) float64 {
				EmbeddingForward(out, wte, wpe, tokens, d.B, d.T, d.C)
				return dot(out, dout)
			}

			var dwpe []float64
			dwte := accumulated(rng, len(wte), func(dwte []float64) {
				dwpe = accumulated(rng, len(wpe), func(dwpe []float64) {
					EmbeddingBackward(dwte, dwpe, dout, tokens, d.B, d.T, d.C)
				})
			})
			CheckGradient(t, loss, wte, dwte, "dwte")
			CheckGradient(t, loss, wpe, dwpe, "dwpe") // rows from T on: zero
		})
	}
}
