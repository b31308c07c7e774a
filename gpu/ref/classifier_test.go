package ref

import (
	"fmt"
	"math"
	"testing"
)

func TestCrossEntropyForward(t *testing.T) {
	logits := []float64{ // (4,3)
		0, 0, 0, // uniform: log 3
		math.Log(1), math.Log(2), math.Log(5), // probabilities 1/8, 2/8, 5/8
		1000, 999, -1000, // exp overflows unless the maximum comes out
		-1000, -1000, -1000,
	}
	losses := poison(4)
	CrossEntropyForward(losses, logits, []uint32{2, 1, 0, 1}, 4, 3)
	want := []float64{math.Log(3), math.Log(4), math.Log1p(math.Exp(-1)), math.Log(3)}
	expectClose(t, "losses", losses, want, 1e-12)
}

var classifierShapes = []struct{ N, C, V int }{{1, 1, 1}, {1, 4, 7}, {5, 3, 7}, {3, 6, 11}}

func TestCrossEntropyBackward(t *testing.T) {
	for _, d := range classifierShapes {
		t.Run(fmt.Sprintf("N=%d,V=%d", d.N, d.V), func(t *testing.T) {
			rng := source()
			scale := 1 / float64(d.N)
			logits, targets := normals(rng, d.N*d.V), indices(rng, d.N, d.V)
			losses, dlogits := poison(d.N), poison(d.N*d.V)
			loss := func(logits []float64) float64 {
				CrossEntropyForward(losses, logits, targets, d.N, d.V)
				return scaledSum(losses, scale)
			}
			CrossEntropyBackward(dlogits, logits, targets, scale, d.N, d.V)
			CheckGradient(t, loss, logits, dlogits, "dlogits")
		})
	}
}

func TestClassifier(t *testing.T) {
	for _, d := range classifierShapes {
		t.Run(fmt.Sprintf("N=%d,C=%d,V=%d", d.N, d.C, d.V), func(t *testing.T) {
			rng := source()
			const scale = 0.3
			x, wte, targets := normals(rng, d.N*d.C), normals(rng, d.V*d.C), indices(rng, d.N, d.V)

			// the losses by the definition, -log(softmax[target]), sharing no code with Classifier
			loss := func([]float64) float64 {
				sum := 0.0
				for n := range d.N {
					row := x[n*d.C : (n+1)*d.C]
					z := 0.0
					for v := range d.V {
						z += math.Exp(dot(row, wte[v*d.C:(v+1)*d.C]))
					}
					target := int(targets[n])
					sum -= math.Log(math.Exp(dot(row, wte[target*d.C:(target+1)*d.C])) / z)
				}
				return sum * scale
			}

			losses, dx := poison(d.N), poison(d.N*d.C)
			dwte := accumulated(rng, len(wte), func(dwte []float64) {
				Classifier(losses, dx, dwte, x, wte, targets, scale, d.N, d.C, d.V)
			})
			expectClose(t, "loss", []float64{scaledSum(losses, scale)}, []float64{loss(nil)}, 1e-13)
			CheckGradient(t, loss, x, dx, "dx")
			CheckGradient(t, loss, wte, dwte, "dwte")
		})
	}
}

func scaledSum(x []float64, scale float64) float64 {
	sum := 0.0
	for i := range x {
		sum += x[i]
	}
	return sum * scale
}
