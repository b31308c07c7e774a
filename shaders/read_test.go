package shaders

import (
	"reflect"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

const copied = `
const WG: u32 = 16u; // spec: threads
alias Quad = vec2<u32>; // storage: f16
alias Pair = vec2<f32>;
struct Params {
    COUNT: u32, // values
    FACTOR: f32,
}
@group(0) @binding(2) var<storage> x: array<Quad>;
@group(0) @binding(0) var<uniform> p: Params;
// @group(0) @binding(7) var<storage> gone: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> table: array<vec4<u32>, 4>;
@group(0) @binding(3) var<storage, read> w: array<Quad>;
var<workgroup> last: f32;
var<workgroup> tile: array<array<vec4<f32>, WG>, 2u * 3u>; var<workgroup> pairs: array<Pair, 5>;
@compute @workgroup_size(WG, 2)
fn main() {}
`

func TestRead(t *testing.T) {
	got, err := Read("copied", copied)
	want := wgsl.Text{
		Label: "copied", WGSL: copied, Threads: 32, Bytes: 4 + 6*16*16 + 5*8,
		Params: []wgsl.Param{{Name: "COUNT", Type: "u32"}, {Name: "FACTOR", Type: "f32"}},
		Bindings: []wgsl.Binding{
			{Index: 0, Name: "p", Access: "uniform", Storage: "Params"},
			{Index: 1, Name: "out", Access: "read_write", Storage: "f32"},
			{Index: 2, Name: "x", Access: "read", Storage: "f16"},
			{Index: 3, Name: "w", Access: "read", Storage: "f16"},
			{Index: 4, Name: "table", Access: "uniform", Storage: "u32"},
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	text, err := Source("matmul_direct", Choice{"store": "store_bf16", "a": "a_rows", "b": "b_rows",
		"epilogue": "epilogue_bias_gelu"}, Spec{"WX": 8, "WY": 4})
	if err != nil || text.Threads != 32 {
		t.Errorf("a workgroup of the constants WX and WY: %d threads, %v, want 32", text.Threads, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ why, from, to, want string }{
		{"two bindings of one number", "@binding(3)", "@binding(2)", "copied: x and w are both @binding(2)"},
		{"a storage that nothing names", " // storage: f16", "", "copied: x: the type array<Quad> says no storage"},
		{"a workgroup of no constant", "@workgroup_size(WG, 2)", "@workgroup_size(WX)",
			"copied: @workgroup_size(WX): unknown constant WX"},
		{"memory of no constant", "2u * 3u", "2u * N", "copied: tile: unknown constant N"},
		{"memory of another type", "last: f32", "last: i32", "copied: last: workgroup memory of type i32"},
	} {
		if _, err := Read("copied", strings.Replace(copied, c.from, c.to, 1)); err == nil ||
			!strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.why, err, c.want)
		}
	}
}
