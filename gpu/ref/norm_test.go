package ref

import (
	"fmt"
	"math"
	"testing"
)

func TestGlobalNorm(t *testing.T) {
	for _, d := range []struct {
		tensors [][]float64
		want    float64
	}{
		{nil, 0},
		{[][]float64{{}, {-3}}, 3},
		{[][]float64{{3, -4}, {}, {12}}, 13},
		{[][]float64{{1, 2}, {3, 4}, {5, 5, 1, 1, 1, 3, 2, 2}}, 10},
	} {
		if got := GlobalNorm(d.tensors...); got != d.want {
			t.Errorf("GlobalNorm(%v) = %g, want %g", d.tensors, got, d.want)
		}
	}
}

func TestClipScale(t *testing.T) {
	for _, d := range []struct{ norm, maxNorm, want float64 }{
		{4, 1, 1 / 4.000001},
		{0.5, 1, 1},
		{0, 1, 1},
		{1, 1, 1 / 1.000001}, // torch's 1e-6 shows at the border
		{4, 0, 1},
		{4, -1, 1},
	} {
		name := fmt.Sprintf("ClipScale(%g, %g)", d.norm, d.maxNorm)
		expectClose(t, name, []float64{ClipScale(d.norm, d.maxNorm)}, []float64{d.want}, 1e-15)
	}
	if got := ClipScale(math.NaN(), 1); !math.IsNaN(got) {
		t.Errorf("ClipScale(NaN, 1) = %g, want NaN", got)
	}
}
