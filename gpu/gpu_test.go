package gpu_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// scale is the kernel of these tests: out = x * FACTOR, COUNT values.
var scale = kernel("scale", `
struct Params { COUNT: u32, FACTOR: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) li: u32) {
    let i = (wid.y * nwg.x + wid.x) * 64u + li;
    if i < p.COUNT { out[i] = x[i] * p.FACTOR; }
}
`)

// kernel returns a text with what it declares, as an op does.
func kernel(label, text string) wgsl.Text {
	t, err := shaders.Read(label, text)
	if err != nil {
		panic(err) // the texts are constants
	}
	return t
}

type scaleParams struct {
	COUNT  uint32
	FACTOR float32
}

// scaled appends out = x * factor.
func scaled(p *gpu.Program, out, x gpu.Tensor, factor float32) {
	n := out.Len()
	p.Add(gpu.Dispatch{
		Source: scale, Bind: map[string]gpu.Tensor{"out": out, "x": x}, Params: scaleParams{uint32(n), factor},
		Groups: p.Groups1D((n + 63) / 64), FLOPs: float64(n), Bytes: 8 * float64(n),
	})
}

func tensor(t testing.TB, d *gpu.Device, name string, storage gpu.Storage, shape ...int) gpu.Tensor {
	t.Helper()
	x, err := d.NewTensor(gpu.Scratch, name, storage, shape...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Wait(); err != nil {
			t.Error(err)
		}
		d.Free(x)
	})
	return x
}

func upload(t testing.TB, d *gpu.Device, x gpu.Tensor, values ...float32) {
	t.Helper()
	if err := d.Upload(x, values); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, d *gpu.Device, x gpu.Tensor) []float32 {
	t.Helper()
	out := make([]float32, x.Len())
	if err := d.Read(x, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func run(t testing.TB, p *gpu.Program) {
	t.Helper()
	if err := p.Build(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Release)
	if err := p.Run(); err != nil {
		t.Fatal(err)
	}
}

func TestProgramRuns(t *testing.T) {
	d := gputest.Device(t)
	x, y, z := tensor(t, d, "x", gpu.F32, 100), tensor(t, d, "y", gpu.F32, 100), tensor(t, d, "z", gpu.F32, 100)
	values := make([]float32, 100)
	for i := range values {
		values[i] = float32(i)
	}
	upload(t, d, x, values...)
	p := d.NewProgram("chain")
	scaled(p, y, x, 2)
	scaled(p, z, y, 3) // sees y's new values: dispatches run in order
	run(t, p)
	if err := p.Run(); err != nil { // replayed
		t.Fatal(err)
	}
	for i, v := range read(t, d, z) {
		if v != 6*float32(i) {
			t.Fatalf("z[%d] = %v, want %v", i, v, 6*i)
		}
	}
	if p.Dispatches() != 2 {
		t.Errorf("%d dispatches, want 2", p.Dispatches())
	}
	want := "   0 scale [2 1 1] out=y (100) f32 x=x (100) f32 {COUNT:100 FACTOR:2}\n" +
		"   1 scale [2 1 1] out=z (100) f32 x=y (100) f32 {COUNT:100 FACTOR:3}\n"
	if got := p.String(); got != want {
		t.Errorf("the program reads\n%swant\n%s", got, want)
	}
}

// TestRefusals: what the driver would abort on, or do silently, is refused by name before anything runs. They hold on a
// plan as on a device.
func TestRefusals(t *testing.T) {
	device := gputest.Device(t)
	for _, d := range []*gpu.Device{device, gpu.Plan(device.Info)} {
		x, y := tensor(t, d, "x", gpu.F32, 256), tensor(t, d, "y", gpu.F32, 256)
		u, h := tensor(t, d, "u", gpu.U32, 256), tensor(t, d, "h", gpu.BF16, 256)
		var nothing gpu.Tensor
		ok := scaleParams{256, 1}
		bind := func(out, x gpu.Tensor) map[string]gpu.Tensor { return map[string]gpu.Tensor{"out": out, "x": x} }
		one := [3]uint32{1, 1, 1}
		cases := []struct {
			why  string
			d    gpu.Dispatch
			want string
		}{
			{"no tensor", gpu.Dispatch{Source: scale, Bind: map[string]gpu.Tensor{"out": y}, Params: ok, Groups: one},
				"scale: no tensor for x"},
			{"the zero tensor", gpu.Dispatch{Source: scale, Bind: bind(y, nothing), Params: ok, Groups: one},
				"scale: no tensor for x"},
			{"an unknown name", gpu.Dispatch{Source: scale, Bind: map[string]gpu.Tensor{"out": y, "x": x, "w": x},
				Params: ok, Groups: one}, "scale: the kernel has no binding w"},
			{"u32 for f32", gpu.Dispatch{Source: scale, Bind: bind(y, u), Params: ok, Groups: one},
				"scale: x is u (256) u32, the kernel wants f32"},
			{"bf16 for f32", gpu.Dispatch{Source: scale, Bind: bind(h, x), Params: ok, Groups: one},
				"scale: out is h (256) bf16, the kernel wants f32"},
			{"read and written", gpu.Dispatch{Source: scale, Bind: bind(x.Rows(0, 64), x.Rows(64, 128)), Params: ok,
				Groups: one}, "scale: out (read_write) and x (read) lie in one buffer"},
			{"a misaligned window", gpu.Dispatch{Source: scale, Bind: bind(y, x.Rows(1, 65)), Params: ok, Groups: one},
				"at byte 4, want a multiple of 256"},
			{"past the end", gpu.Dispatch{Source: scale, Bind: bind(y, x.Reinterpret("x", gpu.F32, 257)), Params: ok,
				Groups: one}, "past the end of its buffer"},
			{"an empty window", gpu.Dispatch{Source: scale, Bind: bind(y, x.Rows(64, 64)), Params: ok, Groups: one},
				"impossible shape [0]"},
			{"a wrong view", gpu.Dispatch{Source: scale, Bind: bind(y, x.View(16, 17)), Params: ok, Groups: one},
				"impossible shape"},
			{"no Params", gpu.Dispatch{Source: scale, Bind: bind(y, x), Groups: one}, "scale: no Params, want " +
				"[COUNT: u32 FACTOR: f32]"},
			{"few Params", gpu.Dispatch{Source: scale, Bind: bind(y, x), Params: struct{ COUNT uint32 }{1},
				Groups: one}, "Params has 1 fields"},
			{"swapped Params", gpu.Dispatch{Source: scale, Bind: bind(y, x), Params: struct {
				FACTOR float32
				COUNT  uint32
			}{1, 1}, Groups: one}, "Params field 0 is FACTOR: f32, want COUNT: u32"},
			{"an int in Params", gpu.Dispatch{Source: scale, Bind: bind(y, x), Params: struct {
				COUNT  int
				FACTOR float32
			}{1, 1}, Groups: one}, "Params field 0 is COUNT: int, want COUNT: u32"},
			{"no groups", gpu.Dispatch{Source: scale, Bind: bind(y, x), Params: ok, Groups: [3]uint32{4, 0, 1}},
				"scale: 0 workgroups in dimension 1"},
			{"too many groups", gpu.Dispatch{Source: scale, Bind: bind(y, x), Params: ok, Groups: [3]uint32{1 << 20, 1,
				1}}, "scale: 1048576 workgroups in dimension 0"},
			{"a float in Params for a count", gpu.Dispatch{Source: scale, Bind: bind(y, x), Params: struct {
				COUNT,
				FACTOR float32
			}{1, 1}, Groups: one}, "Params field 0 is COUNT: f32, want COUNT: u32"},
		}
		for _, c := range cases {
			t.Run(fmt.Sprintf("planned=%v/%s", d.Planned(), c.why), func(t *testing.T) {
				p := d.NewProgram("step")
				p.Add(c.d)
				err := p.Build()
				if err == nil || !strings.HasPrefix(err.Error(), "step: ") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want an error of step with %q", err, c.want)
				}
				if err := p.Run(); err == nil && !d.Planned() {
					t.Error("it ran")
				}
				p.Release()
			})
		}
	}
}

// TestRefusesTooLargeBinding: windows of rows are the way out, and the error says so.
func TestRefusesTooLargeBinding(t *testing.T) {
	info := gputest.Device(t).Info
	info.Limits.MaxBindingSize = 1 << 20
	d := gpu.Plan(info)
	x, y := tensor(t, d, "wte", gpu.F32, 4097, 64), tensor(t, d, "y", gpu.F32, 4097, 64)
	p := d.NewProgram("step")
	scaled(p, y.Rows(0, 4096), x.Rows(0, 4096), 1) // 1 MiB exactly
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	scaled(p, y, x, 1)
	if err := p.Build(); err == nil || !strings.Contains(err.Error(), "out is y (4097,64) f32, 1.0 MiB, and a "+
		"binding of this device holds 1.0 MiB; hint: a smaller --batch-size, or --dtype bf16") {
		t.Errorf("got %v", err)
	}
	if _, err := d.NewTensor(gpu.Scratch, "huge", gpu.F32, int(info.Limits.MaxBufferSize/4)+1); err == nil ||
		!strings.Contains(err.Error(), "huge: ") {
		t.Errorf("a tensor beyond the largest buffer: got %v", err)
	}
	if _, err := d.NewTensor(gpu.Scratch, "empty", gpu.F32, 4, 0); err == nil {
		t.Error("an empty tensor is allowed")
	}
}

// TestRefusesTooManyBuffers: the device's limit is met before the driver.
func TestRefusesTooManyBuffers(t *testing.T) {
	info := gpu.AdapterForTest(0, "small", "vulkan", "cpu", false)
	info.Limits.MaxStorageBuffers = 1
	d := gpu.Plan(info)
	p := d.NewProgram("step")
	scaled(p, tensor(t, d, "y", gpu.F32, 64), tensor(t, d, "x", gpu.F32, 64), 1)
	if err := p.Build(); err == nil || !strings.Contains(err.Error(), "scale: 2 storage buffers, the device allows 1") {
		t.Errorf("got %v", err)
	}
}

// TestRefusesTooMuchMemory: a plan refuses a kernel whose workgroups take more memory than the device has.
func TestRefusesTooMuchMemory(t *testing.T) {
	info := gpu.AdapterForTest(0, "small", "vulkan", "cpu", false)
	info.Limits.MaxWorkgroupBytes = 1000
	p := gpu.Plan(info).NewProgram("step")
	p.Add(gpu.Dispatch{Source: wgsl.Text{Label: "sums", Threads: 64, Bytes: 1024}, Groups: [3]uint32{1, 1, 1}})
	want := "sums: 1024 bytes of workgroup memory, the device allows 1000"
	if err := p.Build(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestRefusesTooManyThreads: a plan refuses what the device would.
func TestRefusesTooManyThreads(t *testing.T) {
	info := gpu.AdapterForTest(0, "small", "vulkan", "cpu", false)
	info.Limits.MaxInvocations = 32
	d := gpu.Plan(info)
	p := d.NewProgram("step")
	scaled(p, tensor(t, d, "y", gpu.F32, 64), tensor(t, d, "x", gpu.F32, 64), 1)
	if err := p.Build(); err == nil || !strings.Contains(err.Error(), "scale: 64 threads per workgroup, the device "+
		"allows 32") {
		t.Errorf("got %v", err)
	}
}

// TestFirstErrorStays: building goes on after an error, and Build returns the first.
func TestFirstErrorStays(t *testing.T) {
	d := gpu.Plan(gpu.AdapterForTest(0, "plan", "vulkan", "cpu", false))
	p := d.NewProgram("step")
	x := tensor(t, d, "x", gpu.F32, 4, 8)
	p.Want("layernorm", "x", x, 4, 8)
	if p.Err() != nil {
		t.Fatal(p.Err())
	}
	p.Want("layernorm", "x", x, 4, 9)
	p.Want("layernorm", "w", gpu.Tensor{}, 9)
	p.Fail("later")
	if err := p.Build(); err == nil || err.Error() != "step: layernorm: x: shape [4 8], want [4 9]" {
		t.Errorf("got %v", err)
	}
}

func TestBadShader(t *testing.T) {
	d := gputest.Device(t)
	src := kernel("broken", strings.Replace(scale.WGSL, "x[i] *", "x[i] * nowhere *", 1))
	p := d.NewProgram("step")
	p.Add(gpu.Dispatch{
		Source: src, Bind: map[string]gpu.Tensor{"out": tensor(t, d, "y", gpu.F32, 64), "x": tensor(t, d, "x", gpu.F32,
			64)},
		Params: scaleParams{64, 1}, Groups: [3]uint32{1, 1, 1},
	})
	if err := p.Build(); err == nil || !strings.Contains(err.Error(), "step: broken: the shader does not compile") ||
		!strings.Contains(err.Error(), "nowhere") {
		t.Errorf("got %v", err)
	}
}

// TestCompileAtOnce: pipelines that are made at once compute what others do, progress counts each of them once, and an
// error is that of the kernel at fault, in a device that still works.
func TestCompileAtOnce(t *testing.T) {
	d := gputest.Device(t)
	defer d.CompileAtOnce(4)()
	x, y := tensor(t, d, "x", gpu.F32, 4), tensor(t, d, "y", gpu.F32, 4)
	upload(t, d, x, 1, 2, 3, 4)
	program := func(broken int) *gpu.Program {
		p := d.NewProgram("many")
		for i := range 12 {
			label, factor := fmt.Sprint("times ", i), fmt.Sprint(i, ".0 *")
			if i == broken {
				label, factor = "broken", "nowhere *"
			}
			src := kernel(label, strings.Replace(scale.WGSL, "x[i] *", "x[i] * "+factor, 1))
			p.Add(gpu.Dispatch{Source: src, Bind: map[string]gpu.Tensor{"out": y, "x": x},
				Params: scaleParams{4, 2}, Groups: [3]uint32{1, 1, 1}})
		}
		return p
	}
	if err := program(5).Build(); err == nil || !strings.Contains(err.Error(), "many: broken: the shader") {
		t.Fatalf("got %v", err)
	}
	var done []int
	d.OnCompile(func(c gpu.Compilation) {
		if c.Kernel != "" && !c.FirstUse {
			done = append(done, c.Done)
		}
	})
	defer d.OnCompile(nil)
	run(t, program(-1))
	if got := read(t, d, y); !slices.Equal(got, []float32{22, 44, 66, 88}) {
		t.Errorf("got %v", got)
	}
	for i, n := range done {
		if n != done[0]+i {
			t.Errorf("progress %v", done)
		}
	}
	if len(done) == 0 || len(done) > 12 {
		t.Errorf("%d reports of 12 pipelines", len(done))
	}
}

func TestRunBeforeBuild(t *testing.T) {
	p := gputest.Device(t).NewProgram("step")
	if err := p.Run(); err == nil || !strings.Contains(err.Error(), "step: Run before Build") {
		t.Errorf("Run: got %v", err)
	}
	if _, err := p.Profile(); err == nil || !strings.Contains(err.Error(), "step: Profile before Build") {
		t.Errorf("Profile: got %v", err)
	}
}

func TestGroups1D(t *testing.T) {
	p := gpu.Plan(gpu.AdapterForTest(0, "plan", "vulkan", "cpu", false)).NewProgram("p")
	for _, n := range []int{1, 65535, 65536, 65537, 131070, 131071, 1 << 24} {
		g := p.Groups1D(n)
		if all := int(g[0]) * int(g[1]); g[0] > 65535 || g[1] > 65535 || g[2] != 1 || all < n || all-n >= int(g[1]) {
			t.Errorf("Groups1D(%d) = %v", n, g)
		}
	}
}

// TestFoldedDispatch runs more groups than one dimension holds: every value is written, and none behind.
func TestFoldedDispatch(t *testing.T) {
	d := gputest.Device(t)
	const n = 65536*64 + 1
	out, x := tensor(t, d, "out", gpu.F32, n), tensor(t, d, "x", gpu.F32, n)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i % 1000)
	}
	upload(t, d, x, values...)
	p := d.NewProgram("fold")
	scaled(p, out, x, 2)
	run(t, p)
	for i, v := range read(t, d, out) {
		if v != 2*values[i] {
			t.Fatalf("out[%d] = %v, want %v", i, v, 2*values[i])
		}
	}
}

// TestPlanAccountsAsDevice: --dry-run's numbers are the real ones.
func TestPlanAccountsAsDevice(t *testing.T) {
	shared := gputest.Device(t)
	own, err := gpu.Open(fmt.Sprint(shared.Info.Index)) // of its own, so that other tests' tensors do not count
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	plan := gpu.Plan(own.Info)
	allocate := func(d *gpu.Device) string {
		var wte, wpe, h, ids gpu.Tensor
		params := d.NewArena(gpu.Parameters, "parameters")
		params.Add(&wte, "wte", gpu.F32, 1030, 63)
		params.Add(&wpe, "wpe", gpu.F32, 33, 63)
		params.Add(&h, "h", gpu.BF16, 5, 7)
		flats, err := params.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		ids, err = d.NewTensor(gpu.Inputs, "ids", gpu.U32, 77)
		if err != nil {
			t.Fatal(err)
		}
		scratch, err := d.NewTensor(gpu.Scratch, "scratch", gpu.F32, 1000)
		if err != nil {
			t.Fatal(err)
		}
		freed, err := d.NewTensor(gpu.Activations, "freed", gpu.F32, 1000)
		if err != nil {
			t.Fatal(err)
		}
		d.Free(freed)
		d.Free(freed, gpu.Tensor{}) // no more than once
		return fmt.Sprint(flats, wte.Offset(), wpe.Offset(), h.Offset(), ids, scratch, d.TotalBytes(), d.MemoryReport())
	}
	a, b := allocate(own), allocate(plan)
	if a != b {
		t.Errorf("the device has\n%s\nthe plan\n%s", a, b)
	}
	for _, c := range []struct {
		role gpu.Role
		want uint64
	}{
		// 1030*63*4 = 259560, in whole 128 values 259584; 33*63*4 = 8316, 8704; 35 bf16 in 72 bytes, 256
		{gpu.Parameters, 259584 + 8704 + 256}, {gpu.Inputs, 512}, {gpu.Scratch, 4096}, {gpu.Activations, 0},
		{gpu.Moments, 0},
	} {
		if got := plan.Bytes(c.role); got != c.want || own.Bytes(c.role) != c.want {
			t.Errorf("%s: plan %d bytes, device %d, want %d", c.role, got, own.Bytes(c.role), c.want)
		}
	}
}

// TestPlanRunsNothing: a program on a plan builds, and there is nothing to read.
func TestPlanRunsNothing(t *testing.T) {
	d := gpu.Plan(gputest.Device(t).Info)
	x, y := tensor(t, d, "x", gpu.F32, 64), tensor(t, d, "y", gpu.F32, 64)
	upload(t, d, x, make([]float32, 64)...)
	p := d.NewProgram("plan")
	scaled(p, y, x, 1)
	if err := p.Build(); err != nil || p.Dispatches() != 1 {
		t.Errorf("build: %v, %d dispatches", err, p.Dispatches())
	}
	if err := d.Read(y, make([]float32, 64)); err == nil || !strings.Contains(err.Error(), "plan") {
		t.Errorf("read: %v", err)
	}
}

// TestArena: tensors lie in order, aligned and apart, and the flat tensor is all of them with zeros between.
func TestArena(t *testing.T) {
	d := gputest.Device(t)
	var a, b gpu.Tensor
	arena := d.NewArena(gpu.Scratch, "arena")
	arena.Add(&a, "a", gpu.F32, 3)
	arena.Add(&b, "b", gpu.F32, 2, 2)
	flats, err := arena.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Free(flats...)
	upload(t, d, a, 1, 2, 3)
	upload(t, d, b, 4, 5, 6, 7)
	if len(flats) != 1 || flats[0].Len() != 256 || !a.SameBuffer(b) || b.Offset() != 512 {
		t.Fatalf("flats %v, b at %d", flats, b.Offset())
	}
	want := map[int]float32{0: 1, 1: 2, 2: 3, 128: 4, 129: 5, 130: 6, 131: 7}
	for i, v := range read(t, d, flats[0]) {
		if v != want[i] {
			t.Errorf("flat[%d] = %v, want %v", i, v, want[i])
		}
	}
}

func TestClearAndCopy(t *testing.T) {
	d := gputest.Device(t)
	x, y := tensor(t, d, "x", gpu.F32, 192), tensor(t, d, "y", gpu.F32, 192)
	ones := make([]float32, 192)
	for i := range ones {
		ones[i] = 1
	}
	upload(t, d, x, ones...)
	upload(t, d, y, ones...)
	p := d.NewProgram("moves")
	scaled(p, y, x, 5)
	p.Clear(y.Rows(64, 128))                // after the dispatch
	p.Copy(x.Rows(1, 65), y.Rows(100, 164)) // sees the clear; copies align only to 4 bytes
	run(t, p)
	for i, v := range read(t, d, y) {
		want := float32(5)
		if i >= 64 && i < 128 {
			want = 0
		}
		if v != want {
			t.Errorf("y[%d] = %v, want %v", i, v, want)
		}
	}
	for i, v := range read(t, d, x) {
		want := float32(1)
		switch {
		case i >= 1 && i < 29:
			want = 0
		case i >= 29 && i < 65:
			want = 5
		}
		if v != want {
			t.Errorf("x[%d] = %v, want %v", i, v, want)
		}
	}
	for why, add := range map[string]func(p *gpu.Program){
		"within a buffer": func(p *gpu.Program) { p.Copy(x.Rows(0, 64), x.Rows(64, 128)) },
		"unequal":         func(p *gpu.Program) { p.Copy(x, y.Rows(0, 64)) },
		"from nothing":    func(p *gpu.Program) { p.Copy(x, gpu.Tensor{}) },
		"clear nothing":   func(p *gpu.Program) { p.Clear(gpu.Tensor{}) },
	} {
		p := d.NewProgram("step")
		add(p)
		if err := p.Build(); err == nil {
			t.Errorf("%s: no error", why)
		}
	}
}

// TestLargeTransfers moves 65 MiB and 4 bytes: three pieces of staging memory, the last one short.
func TestLargeTransfers(t *testing.T) {
	d := gputest.Device(t)
	n := 65<<20/4 + 1
	x := tensor(t, d, "x", gpu.F32, n)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i % (1 << 24))
	}
	upload(t, d, x, values...)
	for i, v := range read(t, d, x) {
		if v != values[i] {
			t.Fatalf("x[%d] = %v, want %v", i, v, values[i])
		}
	}
	window := x.Rows(n-3, n)
	if got := read(t, d, window); got[2] != values[n-1] || got[0] != values[n-3] {
		t.Errorf("the last three: %v, want %v", got, values[n-3:])
	}
	for why, err := range map[string]error{
		"short upload":   d.Upload(x, values[1:]),
		"short read":     d.Read(x, values[1:]),
		"words into f32": d.UploadU32(x, make([]uint32, n)),
		"f32 into words": d.Upload(tensor(t, d, "u", gpu.U32, 4), make([]float32, 4)),
	} {
		if err == nil {
			t.Errorf("%s: no error", why)
		}
	}
}

func TestProfile(t *testing.T) {
	d := gputest.Device(t)
	const n = 1 << 20
	x, y := tensor(t, d, "x", gpu.F32, n), tensor(t, d, "y", gpu.F32, n)
	upload(t, d, x, make([]float32, n)...)
	p := d.NewProgram("profiled")
	for range 50 { // more than one set of timestamps
		scaled(p, y, x, 2)
		p.Clear(y)
	}
	run(t, p)
	check := func(t *testing.T) {
		times, err := p.Profile()
		if err != nil {
			t.Fatal(err)
		}
		if len(times) != 100 {
			t.Fatalf("%d timings, want 100", len(times))
		}
		for i, got := range times {
			want := gpu.Timing{Label: "scale", FLOPs: n, Bytes: 8 * n}
			if i%2 == 1 {
				want = gpu.Timing{Label: "clear y", Bytes: 4 * n}
			}
			want.Duration = got.Duration
			if got != want || got.Duration <= 0 || got.Duration > time.Hour { // not a tick taken for a second
				t.Errorf("timing %d: %+v", i, got)
			}
		}
	}
	t.Run("timestamps", check) // where the device has them
	t.Run("wall clock", func(t *testing.T) {
		defer d.WithoutTimestamps()()
		check(t)
	})
}

// TestBytesAreReal holds the account to the driver's: plans are made of it.
func TestBytesAreReal(t *testing.T) {
	d := gputest.Device(t)
	check := func(when string) {
		t.Helper()
		if d.DriverBytes() != d.TotalBytes() {
			t.Errorf("%s: buffers of %d bytes, an account of %d", when, d.DriverBytes(), d.TotalBytes())
		}
	}
	check("before")
	x, err := d.NewTensor(gpu.Moments, "x", gpu.BF16, 3)
	if err != nil {
		t.Fatal(err)
	}
	a := d.NewArena(gpu.Gradients, "arena")
	var y, z gpu.Tensor
	a.Add(&y, "y", gpu.F32, 65)
	a.Add(&z, "z", gpu.F32, 5, 5)
	flats, err := a.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	check("with a tensor and an arena")
	d.Free(x)
	d.Free(flats...)
	check("freed")
}

// TestRecord: a recorded run computes what any other does, and gives its times.
func TestRecord(t *testing.T) {
	d := gputest.Device(t)
	x, y := tensor(t, d, "x", gpu.F32, 4), tensor(t, d, "y", gpu.F32, 4)
	p := d.NewProgram("recorded")
	scaled(p, y, x, 3)
	if flops, bytes := p.Cost(); flops != 4 || bytes != 32 {
		t.Errorf("Cost: %v operations and %v bytes, want 4 and 32", flops, bytes)
	}
	upload(t, d, x, 1, 2, 3, 4)
	run(t, p)
	var times []gpu.Timing
	p.Record(&times)
	upload(t, d, x, 5, 6, 7, 8)
	for range 2 {
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
	}
	if len(times) != 2 || times[0].Label != "scale" || times[1].Duration <= 0 {
		t.Errorf("two recorded runs of one dispatch: %+v", times)
	}
	got := make([]float32, 4)
	if err := d.Read(y, got); err != nil || !slices.Equal(got, []float32{15, 18, 21, 24}) {
		t.Errorf("recorded: %v, %v", got, err)
	}
	p.Record(nil)
	if err := p.Run(); err != nil || len(times) != 2 {
		t.Errorf("after Record(nil): %d timings, %v", len(times), err)
	}
}

// TestReadUnderCollection reads while the collector runs all the time: the binding's map callback is a Go value that
// nothing else keeps alive, so reading stops the collector. The unguarded window is microseconds here and would fail by
// luck only; what the test holds surely is that the collector comes back as it was.
func TestReadUnderCollection(t *testing.T) {
	d := gputest.Device(t)
	old := debug.SetGCPercent(1)
	defer debug.SetGCPercent(old)
	stop, done := make(chan bool), make(chan int)
	go func() {
		kept := 0
		for {
			select {
			case <-stop:
				done <- kept
				return
			default:
				kept += len(make([]byte, 64)) + len(fmt.Sprint(kept))
			}
		}
	}()
	x, y := tensor(t, d, "x", gpu.F32, 256), tensor(t, d, "y", gpu.F32, 256)
	p := d.NewProgram("loop")
	scaled(p, y, x, 2)
	if err := p.Build(); err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	values := make([]float32, 256)
	for i := range 300 {
		values[i%256] = float32(i)
		upload(t, d, x, values...)
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		for j, v := range read(t, d, y) {
			if v != 2*values[j] {
				t.Fatalf("turn %d: y[%d] = %v, want %v", i, j, v, 2*values[j])
			}
		}
	}
	if got := debug.SetGCPercent(1); got != 1 {
		t.Errorf("reading left the collector at %d%%, want 1", got)
	}
	close(stop)
	<-done
}

// TestWaits: a read counts as busy where work was submitted behind it; with it or without, the values are those from
// before.
func TestWaits(t *testing.T) {
	d := gputest.Device(t)
	x, y := tensor(t, d, "x", gpu.F32, 64), tensor(t, d, "y", gpu.F32, 64)
	upload(t, d, x, slices.Repeat([]float32{1}, 64)...)
	p := d.NewProgram("double")
	scaled(p, y, x, 2)
	p.Copy(x, y)
	run(t, p)
	for i, behind := range []bool{false, true, false} {
		idle, busy := d.Waits()
		read, err := d.StartRead(x)
		if err != nil {
			t.Fatal(err)
		}
		if behind {
			if err := p.Run(); err != nil {
				t.Fatal(err)
			}
		}
		out := make([]float32, 64)
		if err := read.Wait(); err != nil {
			t.Fatal(err)
		}
		if err := read.Take(out); err != nil {
			t.Fatal(err)
		}
		if want := []float32{2, 2, 4}[i]; out[0] != want || out[63] != want {
			t.Errorf("read %d: %v, want %v", i, out, want)
		}
		nowIdle, nowBusy := d.Waits()
		if (nowBusy-busy == 1) != behind || nowIdle-idle+nowBusy-busy != 1 {
			t.Errorf("read %d: %d idle waits and %d busy", i, nowIdle-idle, nowBusy-busy)
		}
	}
}

// TestFirstUses: each kernel is recorded once, by the first program that has it.
func TestFirstUses(t *testing.T) {
	d := gputest.Device(t)
	x, y := tensor(t, d, "x", gpu.F32, 64), tensor(t, d, "y", gpu.F32, 64)
	upload(t, d, x, make([]float32, 64)...)
	p := d.NewProgram("first")
	doubled := func() { // a text of its own: no other test has used it
		p.Add(gpu.Dispatch{
			Source: kernel("doubled", `
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) i: vec3<u32>) { y[i.x] = 2.0 * x[i.x]; }`),
			Bind: map[string]gpu.Tensor{"y": y, "x": x}, Groups: [3]uint32{1, 1, 1},
		})
	}
	doubled()
	p.Clear(y)
	doubled()
	if err := p.Build(); err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	var got, again []gpu.Timing
	p.RecordFirstUses(&got)
	if err := p.Run(); err != nil || len(got) != 1 || got[0].Label != "doubled" || got[0].Duration <= 0 ||
		got[0].Duration > time.Minute {
		t.Errorf("first uses: %+v, %v", got, err)
	}
	p.RecordFirstUses(&again)
	if err := p.Run(); err != nil || len(again) != 0 {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	p.RecordFirstUses(nil)
	if err := p.Run(); err != nil {
		t.Error(err)
	}
}

// BenchmarkEncode: what the host spends on encoding the 506 dispatches of a micro-step of 124M.
func BenchmarkEncode(b *testing.B) {
	d := gputest.Device(b)
	x, y := tensor(b, d, "x", gpu.F32, 64), tensor(b, d, "y", gpu.F32, 64)
	p := d.NewProgram("step")
	other := kernel("other", scale.WGSL+"// another pipeline\n")
	for range 253 {
		scaled(p, y, x, 1)
		p.Add(gpu.Dispatch{Source: other, Bind: map[string]gpu.Tensor{"out": x, "x": y}, Params: scaleParams{64, 1},
			Groups: [3]uint32{1, 1, 1}})
	}
	if err := p.Build(); err != nil {
		b.Fatal(err)
	}
	defer p.Release()
	for b.Loop() {
		if err := p.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
