package op_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

var update = flag.Bool("update", false, "write the golden files")

// lavapipeLimits are those that it has, as most GPUs do; WebGPU promises less.
func lavapipeLimits() gpu.Limits {
	l := gpu.DefaultLimits()
	l.MaxInvocations, l.MaxWorkgroupBytes = 1024, 32<<10
	return l
}

// TestTargets: a target is a plain value, which comes back from JSON as it went, and is that of a golden file. A change
// of a table shows here. `go test ./gpu/op -run TestTargets -update` writes the files.
func TestTargets(t *testing.T) {
	for _, target := range op.Targets(lavapipeLimits()) {
		raw, err := json.MarshalIndent(target, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		var back op.Target
		if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(back, target) {
			t.Errorf("%s went\n%s\ncame back\n%+v, %v", target.Name, raw, back, err)
		}
		file := filepath.Join("testdata", "target_"+target.Name+".json")
		text := append(compact(raw), '\n')
		if *update {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(want) != string(text) {
			t.Errorf("not %s; hint: if the change is meant, -update and look at the diff:\n%s", file, text)
		}
	}
}

// compact writes what is deeper than two levels of indented JSON into one line, so that a rule is a line.
func compact(raw []byte) []byte {
	var b strings.Builder
	for i, line := range strings.Split(string(raw), "\n") {
		text := strings.TrimLeft(line, " ")
		depth := (len(line) - len(text)) / 2
		if i > 0 && (depth < 2 || depth == 2 && !strings.HasPrefix(text, "}") && !strings.HasPrefix(text, "]")) {
			b.WriteString("\n" + strings.Repeat("  ", min(depth, 2)))
		}
		b.WriteString(text)
		if strings.HasSuffix(text, ",") && depth > 2 {
			b.WriteString(" ")
		}
	}
	return []byte(b.String())
}

// TestTargetFor: which device has which target.
func TestTargetFor(t *testing.T) {
	for want, info := range map[string]gpu.AdapterInfo{
		"lavapipe": {Name: "llvmpipe (LLVM 15.0.6, 256 bits)", Type: "cpu"},
		"cpu":      {Name: "SwiftShader Device (Subzero)", Type: "cpu"},
		"gpu":      {Name: "llvmpipe is in its name", Type: "discrete"},
	} {
		if got := op.TargetFor(info, gpu.DefaultLimits()); got.Name != want {
			t.Errorf("%v is a %s, want %s", info, got.Name, want)
		}
	}
}

// TestTargetsAreIndependent: a changed copy leaves the target as it is, and so does a change of what another call
// returned.
func TestTargetsAreIndependent(t *testing.T) {
	for i, target := range op.Targets(lavapipeLimits()) {
		other := target.WithProduct(target.MoreProducts[0]).WithSlice(64)
		other = other.WithAttention(target.MoreAttention...)
		other.Products[0].MinRows, target.Attention[0].MaxHS = 1000, 1000
		again := op.Targets(lavapipeLimits())[i]
		target.Attention[0].MaxHS = again.Attention[0].MaxHS
		if reflect.DeepEqual(other, again) || !reflect.DeepEqual(target, again) {
			t.Errorf("%s: %+v", target.Name, target)
		}
	}
}

// TestWithin: all rules but those of panels run within the limits that WebGPU promises, and what exceeds a device's
// limits is left out; the last rules stay. The driver checks no workgroup memory.
func TestWithin(t *testing.T) {
	least, most := gpu.DefaultLimits(), lavapipeLimits()
	for i, target := range op.Targets(most) {
		small := op.Targets(least)[i]
		var left []op.ProductRule
		for _, r := range target.Products {
			if small.Runs(r.Tile) {
				left = append(left, r)
			} else if r.Tile.Algorithm != "panels" {
				t.Errorf("%s: %s exceeds WebGPU's limits", target.Name, r.Tile.Name())
			}
		}
		large := target
		large.GroupThreads, large.GroupBytes, large.Products = small.GroupThreads, small.GroupBytes, left
		large.MoreProducts = slices.DeleteFunc(large.MoreProducts, func(m op.MatmulTile) bool { return !small.Runs(m) })
		if !reflect.DeepEqual(small, large) {
			t.Errorf("%s within WebGPU's limits: %+v", target.Name, small)
		}
	}
	least.MaxInvocations, least.MaxWorkgroupBytes = 1, 16
	for _, tiny := range op.Targets(least) {
		if len(tiny.Products) != 1 || len(tiny.Attention) != 1 || len(tiny.MoreProducts)+len(tiny.MoreAttention) > 0 {
			t.Errorf("%s within one thread: %+v", tiny.Name, tiny)
		}
	}
}

// TestFingerprint changes with every number of a target, and with nothing else.
func TestFingerprint(t *testing.T) {
	one, two := op.Targets(lavapipeLimits()), op.Targets(lavapipeLimits())
	seen := map[string]bool{}
	for i := range one {
		if op.Fingerprint(one[i]) != op.Fingerprint(two[i]) {
			t.Errorf("%s has two", one[i].Name)
		}
		changed := two[i]
		changed.MoreProducts[0].TM++
		for _, target := range []op.Target{one[i], one[i].WithSlice(64), changed} {
			if f := op.Fingerprint(target); seen[f] {
				t.Errorf("%s: not new: %s", target.Name, f)
			} else {
				seen[f] = true
			}
		}
	}
}
