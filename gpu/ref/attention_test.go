package ref

import (
	"fmt"
	"math"
	"testing"
)

var attentionShapes = []struct{ B, T, C, NH int }{
	{1, 1, 1, 1},
	{1, 2, 4, 1},
	{2, 5, 12, 3}, // HS = 4
	{1, 7, 6, 2},
	{3, 3, 5, 5}, // HS = 1
}

// naiveAttention is the textbook: a full matrix of scores, -Inf above the diagonal, exp over the sum of exp, matrix
// product. q, k and v are copied out of qkv first, so it shares no index arithmetic with AttentionForward.
func naiveAttention(qkv []float64, B, T, C, NH int) (out, lse []float64) {
	HS := C / NH
	out, lse = poison(B*T*C), poison(B*NH*T)
	for b := range B {
		for h := range NH {
			var q, k, v [][]float64
			for t := range T {
				row := qkv[(b*T+t)*3*C:][:3*C]
				q = append(q, row[:C][h*HS:(h+1)*HS])
				k = append(k, row[C : 2*C][h*HS:(h+1)*HS])
				v = append(v, row[2*C:][h*HS:(h+1)*HS])
			}
			for t := range T {
				e := make([]float64, T)
				sum := 0.0
				for u := range T {
					score := dot(q[t], k[u]) / math.Sqrt(float64(HS))
					if u > t {
						score = math.Inf(-1)
					}
					e[u] = math.Exp(score)
					sum += e[u]
				}
				for i := range HS {
					mix := 0.0
					for u := range T {
						mix += e[u] / sum * v[u][i]
					}
					out[b*T*C+t*C+h*HS+i] = mix
				}
				lse[b*NH*T+h*T+t] = math.Log(sum)
			}
		}
	}
	return out, lse
}

func TestAttentionForward(t *testing.T) {
	for _, d := range attentionShapes {
		t.Run(fmt.Sprintf("B=%d,T=%d,C=%d,NH=%d", d.B, d.T, d.C, d.NH), func(t *testing.T) {
			qkv := normals(source(), d.B*d.T*3*d.C)
			out, lse := poison(d.B*d.T*d.C), poison(d.B*d.NH*d.T)
			AttentionForward(out, lse, qkv, d.B, d.T, d.C, d.NH)
			wantOut, wantLSE := naiveAttention(qkv, d.B, d.T, d.C, d.NH)
			expectClose(t, "out", out, wantOut, 1e-13)
			expectClose(t, "lse", lse, wantLSE, 1e-13)
		})
	}
}

// Scores of +-1e4 overflow the naive form; here the larger one takes all.
func TestAttentionForwardLargeScores(t *testing.T) {
	qkv := []float64{
		100, 100, 1, // q k v of token 0
		100, -100, 2,
		-100, 0, 3, // scores -1e4, 1e4, 0
	}
	out, lse := poison(3), poison(3)
	AttentionForward(out, lse, qkv, 1, 3, 1, 1)
	expectClose(t, "out", out, []float64{1, 1, 2}, 0)
	expectClose(t, "lse", lse, []float64{1e4, 1e4, 1e4}, 0)
}

func TestAttentionBackward(t *testing.T) {
	for _, d := range attentionShapes {
		t.Run(fmt.Sprintf("B=%d,T=%d,C=%d,NH=%d", d.B, d.T, d.C, d.NH), func(t *testing.T) {
			rng := source()
			qkv, dout := normals(rng, d.B*d.T*3*d.C), normals(rng, d.B*d.T*d.C)
			out, lse, dqkv := poison(d.B*d.T*d.C), poison(d.B*d.NH*d.T), poison(d.B*d.T*3*d.C)
			loss := func(qkv []float64) float64 {
				AttentionForward(out, lse, qkv, d.B, d.T, d.C, d.NH)
				return dot(out, dout)
			}
			loss(qkv) // leaves out and lse
			AttentionBackward(dqkv, dout, qkv, out, lse, d.B, d.T, d.C, d.NH)
			CheckGradient(t, loss, qkv, dqkv, "dqkv")
		})
	}
}
