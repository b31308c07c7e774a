package gpt2

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInitPyTorch compares every bit with PyTorch 1.13 at sizes that are not multiples of 16 (wte and wpe of "odd") and
// below 16 (those of "few", whose seed has more than 32 bits). torch_gpt2.py --save-hf wrote both directories.
func TestInitPyTorch(t *testing.T) {
	for dir, seed := range map[string]uint64{"odd": 42, "few": 1<<32 + 5} {
		want, err := ReadDir("testdata/" + dir)
		if err != nil {
			t.Fatal(err)
		}
		got := Init(want.Config, seed)
		if err := sameBits(got, want); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// sameBits reports the first value of got that isn't want's, zeros by their sign and NaN by their payload.
func sameBits(got, want *Weights) error {
	if got.Config != want.Config {
		return fmt.Errorf("got %+v, want %+v", got.Config, want.Config)
	}
	if err := got.Validate(); err != nil {
		return err
	}
	for i, p := range Table(want.Config) {
		for j, v := range want.Tensors[i] {
			if g := got.Tensors[i][j]; math.Float32bits(g) != math.Float32bits(v) {
				return fmt.Errorf("%s[%d]: got %v, want %v", p.Name, j, g, v)
			}
		}
	}
	return nil
}

// TestInitFirstSteps holds the 124M initialisation of seed 1337 against PyTorch's sums: a single wrong draw anywhere
// changes all that follow.
func TestInitFirstSteps(t *testing.T) {
	if testing.Short() {
		t.Skip("124M parameters")
	}
	c, _ := Named("gpt2")
	w := Init(c, 1337)
	f, err := os.Open("testdata/first_steps_init.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for i, p := range Table(c) {
		if !lines.Scan() {
			t.Fatalf("reference ends before %s", p.Name)
		}
		var ref struct {
			Param  string    `json:"param"`
			Shape  []int     `json:"shape"`
			Sum    float64   `json:"sum"`
			AbsSum float64   `json:"abs_sum"`
			First  []float32 `json:"first"`
		}
		if err := json.Unmarshal(lines.Bytes(), &ref); err != nil {
			t.Fatal(err)
		}
		if ref.Param != p.Name || !cmp.Equal(ref.Shape, p.Shape) {
			t.Fatalf("table has %s %v, reference %s %v", p.Name, p.Shape, ref.Param, ref.Shape)
		}
		x := w.Tensors[i]
		var sum, abs float64
		for _, v := range x {
			sum += float64(v)
			abs += math.Abs(float64(v))
		}
		// The values are the same, so the sums differ only by the order of float64 additions.
		tol := 1e-12 * ref.AbsSum
		if math.Abs(sum-ref.Sum) > tol || math.Abs(abs-ref.AbsSum) > tol {
			t.Errorf("%s: sum %v, abs sum %v, want %v and %v", p.Name, sum, abs, ref.Sum, ref.AbsSum)
		}
		if !cmp.Equal(x[:4], ref.First) {
			t.Errorf("%s: first values %v, want %v", p.Name, x[:4], ref.First)
		}
	}
	if lines.Scan() {
		t.Error("reference has more parameters than the table")
	}
}

func TestInitInvalid(t *testing.T) {
	if Init(Config{}, 1) != nil {
		t.Error("Init of an invalid configuration returned weights")
	}
}

// TestMT19937 uses the known answers of seed 5489: the first words of the authors' reference output, and the 10,000th,
// which the C++ standard prescribes for std::mt19937.
func TestMT19937(t *testing.T) {
	g := newMT19937(5489)
	for i, want := range []uint32{3499211612, 581869302, 3890346734, 3586334585, 545404204} {
		if got := g.uint32(); got != want {
			t.Fatalf("word %d is %d, want %d", i, got, want)
		}
	}
	g.skip(9999 - 5)
	if got := g.uint32(); got != 4123659995 {
		t.Errorf("word 9999 is %d, want 4123659995", got)
	}

	// However the words are taken, the stream is one.
	a, b := newMT19937(1337), newMT19937(1337)
	for _, n := range []int{1, 623, 624, 625, 5, 2000} {
		x := make([]float32, n)
		a.float32s(x)
		for i, got := range x {
			if want := float32(b.uint32()&0xffffff) / (1 << 24); got != want {
				t.Fatalf("%d uniforms: [%d] = %v, want %v", n, i, got, want)
			}
		}
		a.skip(n)
		for range n {
			b.uint32()
		}
	}
}

func BenchmarkInit124M(b *testing.B) {
	c, _ := Named("gpt2")
	for b.Loop() {
		Init(c, 1337)
	}
}
