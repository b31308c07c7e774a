package parts

import (
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/train/chart"
	"github.com/gpt2wgpu/gpt2wgpu/train/runs"
)

// node runs a script that has imported all of series.js and format.js, and reads the JSON that it returns into v.
func node(t *testing.T, script string, v any) {
	t.Helper()
	needs.Programs(t, "node")
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	at := "file://" + filepath.ToSlash(dir)
	script = fmt.Sprintf("import * as s from %q; import * as f from %q; console.log(JSON.stringify((() => { %s })()))",
		at+"/series.js", at+"/format.js", script)
	out, err := exec.Command("node", "--input-type=module", "--eval", script).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, v); err != nil {
		t.Fatalf("%v: %.200s", err, out)
	}
}

// TestSmooth: a page smooths as runs plot does.
func TestSmooth(t *testing.T) {
	y := make([]float64, 500)
	for i := range y {
		if y[i] = 3 + 7/float64(i+1) + float64(i*7919%1000)/997; i%97 == 5 {
			y[i] = math.NaN()
		}
	}
	text := strings.ReplaceAll(fmt.Sprint(y), " ", ",")
	lengths := []int{1, 2, 9, 40, 2000}
	var got [][]*float64
	node(t, fmt.Sprintf("return [1, 2, 9, 40, 2000].map((n) => Array.from(s.smooth(%s, n)))", text), &got)
	for k, n := range lengths {
		for i, want := range chart.Smooth(y, n) {
			if v := got[k][i]; math.IsNaN(want) != (v == nil) || v != nil && math.Abs(*v-want) > 1e-9 {
				t.Fatalf("%d of %d steps: %v, want %v", i, n, v, want)
			}
		}
	}
}

// TestWords: numbers look as they do in the terminal.
func TestWords(t *testing.T) {
	var got [3][]string
	values := []float64{0, 1, 12.4, 830, 999.4, 999.6, 5310, 49_999, 124_475_904, 1.23e9, 9.99e12, 4e15}
	text := strings.ReplaceAll(fmt.Sprint(values), " ", ",")
	node(t, "return [f.count, f.duration, (v) => f.bytes(Math.floor(v))].map((one) => "+text+".map(one))", &got)
	counts, durations, sizes := got[0], got[1], got[2]
	for i, v := range values {
		if want := runs.Count(v); counts[i] != want {
			t.Errorf("count(%v) is %s, want %s", v, counts[i], want)
		}
		if want := runs.Duration(v); v < 1e9 && durations[i] != want {
			t.Errorf("duration(%v) is %s, want %s", v, durations[i], want)
		}
		if want := runs.Bytes(uint64(v)); sizes[i] != want {
			t.Errorf("bytes(%v) is %s, want %s", v, sizes[i], want)
		}
	}
}

// TestColumns: a column grows and keeps its values, null is NaN, and places are found.
func TestColumns(t *testing.T) {
	var got struct {
		Column []float64
		Ticks  [][]float64
	}
	node(t, `const c = new s.Column([1, null, 3]);
		for (let i = 0; i < 1000; i++) c.push(i + 4);
		c.append([5000, 5001]);
		const v = c.view();
		return { column: [c.length, Number.isNaN(v[1]) ? 1 : 0, v[2], v[1002], v[1004], s.indexAt([1, 2, 2, 5], 2),
			s.indexAt([1], 9),
			s.nearest([1, 2, 8], 6), s.nearest([1, 2, 8], -5), s.nearest([], 1), s.smoothSteps(20000)],
			ticks: [s.ticks(0, 10, 5, false)[0], s.ticks(1, 1000, 4, true)[0], s.ticks(2.9, 3.3, 4, true)[0],
				s.ticks(5, 5, 4, false)[0]] }`, &got)
	if want := "[1005 1 3 1003 5001 1 1 2 0 -1 500]"; fmt.Sprint(got.Column) != want {
		t.Errorf("%v, want %s", got.Column, want)
	}
	if want := "[[0 2 4 6 8 10] [1 10 100 1000] [2.9000000000000004 3 3.1 3.2 3.3000000000000003] []]"; fmt.Sprint(
		got.Ticks) != want {
		t.Errorf("%v, want %s", got.Ticks, want)
	}
}
