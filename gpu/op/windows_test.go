package op_test

import (
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		limit   uint64
		storage gpu.Storage
		shape   []int
		want    []op.Window
	}{
		{128 << 20, gpu.F32, []int{50257, 768}, []op.Window{{0, 25152}, {25152, 50257}}},
		{2 << 30, gpu.F32, []int{50257, 768}, []op.Window{{0, 50257}}},
		{1024, gpu.F32, []int{64, 4}, []op.Window{{0, 64}}},
		{1024, gpu.F32, []int{65, 4}, []op.Window{{0, 64}, {64, 65}}},
		{1024 + 1023, gpu.F32, []int{129, 4}, []op.Window{{0, 64}, {64, 128}, {128, 129}}},
		{1024, gpu.F32, []int{257}, []op.Window{{0, 192}, {192, 257}}}, // 256 fit, two equal parts
		{256, gpu.BF16, []int{200}, []op.Window{{0, 128}, {128, 200}}}, // 64 values are not an aligned start
		{1024, gpu.F32, []int{1, 4}, []op.Window{{0, 1}}},
		{64, gpu.F32, []int{100, 4}, []op.Window{{0, 64}, {64, 100}}}, // too wide: Program.Add reports it
	} {
		d := gpu.Plan(gpu.AdapterInfo{Limits: gpu.Limits{MaxBindingSize: c.limit, MaxBufferSize: 1 << 40,
			OffsetAlignment: 256}})
		x, err := d.NewTensor(gpu.Scratch, "x", c.storage, c.shape...)
		if err != nil {
			t.Fatal(err)
		}
		if got := op.Windows(d, x); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v under %d bytes: got %v, want %v", x, c.limit, got, c.want)
		}
	}
}

// maker makes a case, for the device's target or another.
type maker = func(testing.TB) *gputest.Case

// storages makes a test run once for each storage.
func storages(test func(*testing.T, maker, gpu.Storage)) func(*testing.T, maker) {
	return func(t *testing.T, newCase maker) {
		gputest.Storages(t, func(t *testing.T, s gpu.Storage) { test(t, newCase, s) })
	}
}

// sharedTests are the tests of the ops whose geometry depends on the target and the device's limits.
var sharedTests = []struct {
	name string
	test func(*testing.T, maker)
}{
	{"EmbeddingForward", embeddingForward}, {"EmbeddingBackward", embeddingBackward},
	{"LayerNormForward", storages(layerNormForward)},
	{"LayerNormBackward", storages(layerNormBackward)}, {"BiasBackward", storages(biasBackward)},
	{"StripsExact", stripsExact},
	{"GatherRows", storages(gatherRows)}, {"GradientNorm", gradientNorm}, {"AdamW", storages(adamw)},
	{"Muon", storages(muon)},
	{"GELUForward", storages(geluForward)}, {"Pack", pack},
	{"CacheAppend", storages(cacheAppend)}, {"AttentionDecode", storages(attentionDecode)},
}

// TestFoldedGroups runs each op that may have many groups once, with the least limit of groups in a dimension that
// folds its largest dispatch to two dimensions.
func TestFoldedGroups(t *testing.T) {
	d := gputest.Device(t)
	old := d.Limits.MaxGroups
	t.Cleanup(func() { d.Limits.MaxGroups = old })
	for _, e := range []selftest.Entry{
		{Name: "EmbeddingForward", Try: func(c *gputest.Case) { selftest.EmbeddingForward(c, 7, 11, 768, 257, 0) }},
		{Name: "EmbeddingBackward", Try: func(c *gputest.Case) { selftest.EmbeddingBackward(c, 7, 11, 768, 257, 0) }},
		{Name: "LayerNormForward", Try: func(c *gputest.Case) { selftest.LayerNormForward(c, gpu.F32, 63, 28) }},
		{Name: "LayerNormForward,many", Try: func(c *gputest.Case) { selftest.LayerNormForward(c, gpu.F32, 5000, 4) }},
		{Name: "LayerNormBackward", Try: func(c *gputest.Case) { selftest.LayerNormBackward(c, gpu.F32, 1030, 12) }},
		{Name: "BiasBackward", Try: func(c *gputest.Case) { selftest.BiasBackward(c, gpu.F32, 33, 2304) }},
		{Name: "GatherRows", Try: func(c *gputest.Case) { selftest.GatherRows(c, gpu.F32, 64, 64, 4) }},
		{Name: "GradientNorm", Try: func(c *gputest.Case) { selftest.GradientNorm(c, []int{1 << 20}, 0, 1) }},
		{Name: "AdamW", Try: func(c *gputest.Case) { selftest.AdamW(c, gpu.F32, 20004, 1000, 0, true, 1) }},
		{Name: "GELUForward", Try: func(c *gputest.Case) { selftest.GELUForward(c, gpu.F32, 5000, 4) }},
		{Name: "Pack", Try: func(c *gputest.Case) { selftest.Pack(c, gpu.BF16, 5000, 4) }},
		{Name: "CacheAppend", Try: func(c *gputest.Case) {
			selftest.CacheAppend(c, gpu.F32, 40, 32, 12, []uint32{0, 8}, false)
		}},
		{Name: "AttentionDecode", Try: func(c *gputest.Case) {
			selftest.AttentionDecode(c, gpu.F32, 520, 12, 16, 1.5, []uint32{519, 7, 300})
		}},
		{Name: "Classifier", Try: func(c *gputest.Case) { selftest.Classifier(c, gpu.F32, 129, 8, 65, 129, 0, false) }},
	} {
		t.Run(e.Name, func(t *testing.T) {
			limits := d.Limits
			limits.MaxGroups = old
			p, _, err := e.Plan(ownTarget(t), limits)
			if err != nil {
				t.Fatal(err)
			}
			flat := p.String()
			most := 0
			for _, m := range regexp.MustCompile(`\[(\d+) 1 1\]`).FindAllStringSubmatch(flat, -1) {
				n, _ := strconv.Atoi(m[1])
				most = max(most, n)
			}
			d.Limits.MaxGroups = uint32(math.Ceil(math.Sqrt(float64(most))))
			if folded, _, err := e.Plan(ownTarget(t), d.Limits); err != nil || folded.String() == flat {
				t.Fatalf("%d groups fold nothing: %v\n%s", d.Limits.MaxGroups, err, flat)
			}
			e.Try(gputest.New(t))
		})
	}
}

// TestOtherGeometry runs them with the geometry of every other target: a GPU's on a CPU, a CPU's on a GPU.
func TestOtherGeometry(t *testing.T) {
	d := gputest.Device(t)
	own := op.TargetFor(d.Info, d.Limits)
	for _, target := range geometries(append([]op.Target{own}, op.Targets(d.Limits)...))[1:] {
		t.Run(target.Name, func(t *testing.T) {
			for _, s := range sharedTests {
				t.Run(s.name, func(t *testing.T) { s.test(t, gputest.For(target)) })
			}
		})
	}
}

// geometries returns the first of the targets with each geometry but for the tables, which sharedTests do not take.
func geometries(targets []op.Target) (first []op.Target) {
	geometry := func(x op.Target) op.Target {
		return op.Target{Threads: x.Threads, Reduce: x.Reduce, AdamW: x.AdamW, LookUp: x.LookUp, LayerNorm: x.LayerNorm,
			Decode: x.Decode}
	}
	for _, target := range targets {
		same := func(x op.Target) bool { return reflect.DeepEqual(geometry(x), geometry(target)) }
		if !slices.ContainsFunc(first, same) {
			first = append(first, target)
		}
	}
	return first
}

// benchRows is a batch for benchmarks of memory-bound ops at GPT-2's 768 channels: 3 MB on software devices, 50 MB on
// GPUs, more than their caches.
func benchRows(b *testing.B) (N, C int) {
	if gputest.Device(b).Info.Software() {
		return 1024, 768
	}
	return 16384, 768
}
