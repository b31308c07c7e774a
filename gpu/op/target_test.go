package op_test

import (
	"encoding/json"
	"flag"
	"fmt"
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

// targetNamed returns one of Targets.
func targetNamed(t *testing.T, name string, l gpu.Limits) op.Target {
	t.Helper()
	all := op.Targets(l)
	i := slices.IndexFunc(all, func(x op.Target) bool { return x.Name == name })
	if i < 0 {
		t.Fatalf("no target %s", name)
	}
	return all[i]
}

// TestTargetFor: which device has which target, and that Targets has it.
func TestTargetFor(t *testing.T) {
	const nvidia, amd, intel, qualcomm, arm = 0x10de, 0x1002, 0x8086, 0x5143, 0x13b5
	for _, c := range []struct {
		want   string
		vendor uint32
		info   gpu.AdapterInfo
	}{
		{"lavapipe", 0x10005, gpu.AdapterInfo{Name: "llvmpipe (LLVM 15.0.6, 256 bits)", Type: "cpu"}},
		{"cpu", 0x1ae0, gpu.AdapterInfo{Name: "SwiftShader Device (Subzero)", Type: "cpu"}},
		{"cpu", 0x1414, gpu.AdapterInfo{Name: "Microsoft Basic Render Driver", Type: "cpu", Backend: "dx12"}},
		{"gpu", 0, gpu.AdapterInfo{Name: "llvmpipe is in its name", Type: "discrete"}},
		{"gpu", 0x14e4, gpu.AdapterInfo{Name: "V3D 7.1.7", Type: "integrated", Backend: "vulkan"}},
		{"gpu-dx12", 0x1414, gpu.AdapterInfo{Name: "Parallels Display Adapter (WDDM)", Backend: "dx12"}},
		{"nvidia", nvidia, gpu.AdapterInfo{Name: "NVIDIA GeForce RTX 4090", Type: "discrete", Backend: "vulkan"}},
		{"nvidia-dx12", nvidia, gpu.AdapterInfo{Name: "NVIDIA GeForce GTX 470", Type: "integrated", Backend: "dx12"}},
		{"intel", intel, gpu.AdapterInfo{Name: "Intel(R) Iris(R) Xe Graphics (TGL GT2)", Backend: "vulkan"}},
		{"intel-dx12", intel, gpu.AdapterInfo{Name: "Intel(R) Arc(TM) A770 Graphics", Backend: "dx12"}},
		{"intel-metal", 0, gpu.AdapterInfo{Name: "Intel(R) UHD Graphics 630", Backend: "metal"}},
		{"apple", 0, gpu.AdapterInfo{Name: "Apple M4 Max", Backend: "metal"}},
		{"apple", 0x10005, gpu.AdapterInfo{Name: "Apple M1 (G13G B1)", Backend: "vulkan"}},
		{"mobile", qualcomm, gpu.AdapterInfo{Name: "Turnip Adreno (TM) 740", Backend: "vulkan"}},
		{"mobile-dx12", qualcomm, gpu.AdapterInfo{Name: "Snapdragon X Elite - X1E80100", Backend: "dx12"}},
		{"mobile", arm, gpu.AdapterInfo{Name: "Mali-G715", Backend: "vulkan"}},

		{"amd-rdna", amd, gpu.AdapterInfo{Name: "AMD Radeon RX 6800 XT (RADV NAVI21)"}},
		{"amd-rdna", amd, gpu.AdapterInfo{Name: "AMD Radeon RX 5500 XT"}},
		{"amd-rdna", amd, gpu.AdapterInfo{Name: "AMD Radeon RX 7900 XTX"}},
		{"amd-rdna", amd, gpu.AdapterInfo{Name: "AMD Radeon RX 9070"}},
		{"amd-rdna", amd, gpu.AdapterInfo{Name: "AMD Radeon 780M (RADV PHOENIX)"}},
		{"amd-rdna", amd, gpu.AdapterInfo{Name: "AMD Radeon(TM) Graphics"}},
		{"amd-rdna", amd, gpu.AdapterInfo{Name: "AMD Radeon Pro W6800"}},
		{"amd-rdna", amd, gpu.AdapterInfo{Name: "Null hardware (RADV GFX1201)"}},
		{"amd-rdna-metal", 0, gpu.AdapterInfo{Name: "AMD Radeon Pro 5500M", Backend: "metal"}},
		{"amd-rdna-dx12", amd, gpu.AdapterInfo{Name: "AMD Radeon 890M Graphics", Backend: "dx12"}},
		{"amd-rdna", amd, gpu.AdapterInfo{Name: "something new"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "AMD Radeon RX 580 Series (RADV POLARIS10)"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "Radeon RX 570 Series"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "Radeon RX550/550 Series (polaris12)"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "AMD Radeon RX Vega (RADV VEGA10)"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "AMD Radeon(TM) Vega 8 Graphics"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "AMD Radeon Graphics (RADV RENOIR)"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "AMD Radeon VII"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "AMD Radeon R9 200 Series"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "AMD Radeon Pro WX 7100 Graphics"}},
		{"amd-gcn", amd, gpu.AdapterInfo{Name: "AMD Instinct MI250X"}},
		{"amd-gcn-metal", 0, gpu.AdapterInfo{Name: "AMD Radeon Pro Vega 56", Backend: "metal"}},
		{"amd-gcn-metal", 0, gpu.AdapterInfo{Name: "AMD Radeon Pro 560X", Backend: "metal"}},
		{"amd-gcn-dx12", amd, gpu.AdapterInfo{Name: "AMD Radeon HD 7900 Series", Backend: "dx12"}},
	} {
		c.info.Vendor = c.vendor
		got := op.TargetFor(c.info, lavapipeLimits())
		if got.Name != c.want {
			t.Errorf("%v is %s, want %s", c.info, got.Name, c.want)
		}
		if want := targetNamed(t, got.Name, lavapipeLimits()); !reflect.DeepEqual(got, want) {
			t.Errorf("%v: the target %s is another in Targets", c.info, got.Name)
		}
	}
}

// TestTileBytes: on Metal and DX12 every tile of a GPU's table takes little workgroup memory, and a tile for large
// products is left.
func TestTileBytes(t *testing.T) {
	for _, target := range op.Targets(lavapipeLimits()) {
		most := 32 << 10
		switch _, backend, _ := strings.Cut(strings.TrimPrefix(target.Name, "amd-"), "-"); {
		case backend == "metal" || target.Name == "apple":
			most = 9 << 10
		case backend == "dx12":
			most = 4 << 10
		}
		tiles, few := target.Tiles()
		for _, tile := range append(tiles, few...) {
			if tile.Bytes() > most {
				t.Errorf("%s: %s takes %d bytes of workgroup memory, want at most %d",
					target.Name, tile.Name(), tile.Bytes(), most)
			}
		}
		if first := tiles[0]; first.Rows()*first.Cols() < 64*64 && strings.Contains(target.Name, "-") {
			t.Errorf("%s: the tile for large products is %s", target.Name, first.Name())
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

// TestWithin: what exceeds a device's limits is left out, and within those that WebGPU promises a tile for large
// products is left; the last rules stay. The driver checks no workgroup memory.
func TestWithin(t *testing.T) {
	least, most := gpu.DefaultLimits(), lavapipeLimits()
	for i, target := range op.Targets(most) {
		small := op.Targets(least)[i]
		var left []op.ProductRule
		for _, r := range target.Products {
			if small.Runs(r.Tile) {
				left = append(left, r)
			}
		}
		if tiles, _ := small.Tiles(); tiles[0].Rows()*tiles[0].Cols() < 1024 {
			t.Errorf("%s within WebGPU's limits: the tile for large products is %s", target.Name, tiles[0].Name())
		}
		large := target
		large.GroupThreads, large.GroupBytes, large.Products = small.GroupThreads, small.GroupBytes, left
		large.MoreProducts = slices.DeleteFunc(large.MoreProducts, func(m op.MatmulTile) bool { return !small.Runs(m) })
		large.Attention = slices.DeleteFunc(large.Attention, func(r op.AttentionRule) bool {
			return r.Tile.Bytes(r.MaxHS) > small.GroupBytes // lavapipe's walks
		})
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

// TestTables: a hash changes with every table that programs take without tuning, and with nothing else.
func TestTables(t *testing.T) {
	a := targetNamed(t, "nvidia", lavapipeLimits())
	same := targetNamed(t, "nvidia", lavapipeLimits())
	same.Name, same.GroupBytes, same.MoreProducts, same.MoreAttention = "other", 1, nil, nil
	if a.Tables() != same.Tables() || len(a.Tables()) != 16 {
		t.Errorf("%s and %s", a.Tables(), same.Tables())
	}
	other := a
	other.Reduce = 7
	for _, x := range []op.Target{
		a.WithSlice(64), a.WithProduct(a.MoreProducts[0]), a.WithAttention(a.MoreAttention[0]), other,
	} {
		if x.Tables() == a.Tables() {
			t.Errorf("the same for %+v", x)
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

// TestGroupBytes: what a tile says it takes of workgroup memory is what its kernels declare, and a tile that takes more
// than a device has is refused.
func TestGroupBytes(t *testing.T) {
	for _, target := range op.Targets(lavapipeLimits()) {
		tiles, few := target.Tiles()
		for _, tile := range append(tiles, few...) {
			d, setup := planned(target.WithProduct(tile))
			x, w, out := scratch(t, d, 256, 256), scratch(t, d, 256, 256), scratch(t, d, 256, 256)
			p := setup.NewProgram("product")
			op.MatmulForward{Out: out, X: x, W: w}.AddTo(p)
			if got := mostBytes(t, p); got != tile.Bytes() {
				t.Errorf("%s: %s declares %d bytes, not %d", target.Name, tile.Name(), got, tile.Bytes())
			}
		}
		for _, rule := range slices.Concat(target.Attention, target.MoreAttention) {
			for _, hs := range []int{20, 64, 128} {
				if hs <= rule.MaxHS {
					attentionBytes(t, target, rule.Tile, hs)
				}
			}
		}
	}
}

func attentionBytes(t *testing.T, target op.Target, tile op.AttentionTile, hs int) {
	t.Helper()
	d, setup := planned(target.WithAttention(op.AttentionRule{Tile: tile, MaxHS: 128}))
	qkv, dqkv, lse := scratch(t, d, 256, 3*hs), scratch(t, d, 256, 3*hs), scratch(t, d, 1, 1, 256)
	out, dout, d1 := scratch(t, d, 256, hs), scratch(t, d, 256, hs), scratch(t, d, 1, 1, 256)
	p := setup.NewProgram("attention")
	op.AttentionForward{Out: out, LSE: lse, QKV: qkv, NH: 1}.AddTo(p)
	op.AttentionBackward{DQKV: dqkv, DOut: dout, QKV: qkv, Out: out, LSE: lse, D: d1, NH: 1}.AddTo(p)
	got, name := mostBytes(t, p), fmt.Sprintf("%s: %s with heads of %d", target.Name, tile.Name(), hs)
	if got != tile.Bytes(hs) {
		t.Errorf("%s declares %d bytes, not %d", name, got, tile.Bytes(hs))
	}
	tuning := op.Tuning{fmt.Sprintf("attention_backward/f32/HS%d/1x256", hs): {Attention: &tile}}
	for _, allowed := range []int{got, got - 1} {
		target.GroupBytes = allowed
		if err := tuning.Validate(target); got > 0 && (err == nil) != (allowed == got) {
			t.Errorf("%s on a device with %d bytes: %v", name, allowed, err)
		}
	}
}

// scratch returns a float32 tensor of a plan.
func scratch(t *testing.T, d *gpu.Device, shape ...int) gpu.Tensor {
	t.Helper()
	x, err := d.NewTensor(gpu.Scratch, fmt.Sprint("scratch", shape), gpu.F32, shape...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// mostBytes returns the most workgroup memory that a kernel of a program takes.
func mostBytes(t *testing.T, p *op.Builder) (most int) {
	t.Helper()
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	p.Each(func(d gpu.Dispatch) { most = max(most, d.Source.Bytes) })
	return most
}
