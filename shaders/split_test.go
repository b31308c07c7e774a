package shaders

import (
	"go/constant"
	"regexp"
	"strings"
	"testing"
)

var splitValues = map[string]constant.Value{
	"NONE": constant.MakeInt64(0), "ONE": constant.MakeInt64(1), "TWO": constant.MakeInt64(2),
}

// TestSplit: an array becomes variables where its first index is always a constant, and stays otherwise.
func TestSplit(t *testing.T) {
	for _, c := range []struct{ why, in, want string }{
		{"a function's array", "fn f() {\nvar a: array<vec4<f32>, TWO>;\na[0u] = a[ONE * 1u].xyzw;\n}",
			"fn f() {\nvar a_0: vec4<f32>; var a_1: vec4<f32>;\na_0 = a_1.xyzw;\n}"},
		{"zeroed", "fn f() { var a = array<f32, TWO>(); a[1u] = a[0u]; }",
			"fn f() { var a_0: f32 = f32(); var a_1: f32 = f32(); a_1 = a_0; }"},
		{"a workgroup's array, declared behind its use",
			"fn f(i: u32) { t[1u][i] = t[0u][i]; }\nvar<workgroup> t: array<array<f32, 8>, TWO>; // (2,8)",
			"fn f(i: u32) { t_1[i] = t_0[i]; }\n" +
				"var<workgroup> t_0: array<f32, 8>; var<workgroup> t_1: array<f32, 8>; // (2,8)"},
		{"a private array", "var<private> t: array<f32, ONE>;\nfn f() { t[0] += 1.0; }",
			"var<private> t_0: f32;\nfn f() { t_0 += 1.0; }"},
		{"two levels", "fn f() { var a: array<array<f32, TWO>, ONE>; a[0u][1u] = a[0u][0u]; }",
			"fn f() { var a_0_0: f32; var a_0_1: f32; a_0_1 = a_0_0; }"},
		{"the index of another array",
			"fn f(i: u32) { var a: array<u32, ONE>; var b: array<f32, 4>; a[0u] = i; b[a[0u]] = 1.0; }",
			"fn f(i: u32) { var a_0: u32; var b: array<f32, 4>; a_0 = i; b[a_0] = 1.0; }"},
		{"blocks side by side",
			"fn f() { { var n: array<f32, ONE>; n[0u] = 1.0; } { var n: array<f32, TWO>; n[1u] = 1.0; } }",
			"fn f() { { var n_0: f32; n_0 = 1.0; } { var n_0: f32; var n_1: f32; n_1 = 1.0; } }"},
		{"another function's parameter",
			"fn f(a: u32) -> u32 { return a; }\nfn g() { var a: array<f32, ONE>; a[0u] = 1.0; }",
			"fn f(a: u32) -> u32 { return a; }\nfn g() { var a_0: f32; a_0 = 1.0; }"},
		{"a member of the name", "fn f() { var x: array<f32, ONE>; x[0u] = v.x; }",
			"fn f() { var x_0: f32; x_0 = v.x; }"},
	} {
		got, err := split(c.in, splitValues)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v\nwant %q", c.why, got, err, c.want)
		}
	}
	const two = "fn f(i: u32) { var a: array<f32, TWO>; "
	for why, text := range map[string]string{
		"an index that changes":         two + "a[0u] = a[i]; }",
		"a pointer":                     two + "g(&a); a[0u] = 1.0; }",
		"a copy":                        two + "let b = a; a[0u] = 1.0; }",
		"a name declared again within":  two + "a[0u] = 1.0; { let a = 1.0; } }",
		"a loop that is not unrolled":   two + "for (var j = 0u; j < TWO; j++) { a[j] = 1.0; } }",
		"a comment":                     two + "// a[0u]\n a[i] = 1.0; }",
		"values":                        "fn f() { var a = array<f32, TWO>(1.0, 2.0); a[0u] = 1.0; }",
		"a length that is not a number": "fn f() { var a: array<f32, N>; a[0u] = 1.0; }",
		"a name that a parameter hides": "var<workgroup> a: array<f32, TWO>;\nfn f(a: u32) {}\nfn g() { a[0u] = 1.0; }",
		"a buffer":                      "@binding(1) var<storage> a: array<f32>;\nfn f() { let b = a[0u]; }",
		"a uniform buffer":              "@binding(1) var<uniform> a: array<vec4<f32>, 4>;\nfn f() { let b = a[0u]; }",
	} {
		if got, err := split(text, splitValues); err != nil || got != text {
			t.Errorf("%s: got %q, %v, want the text as it was", why, got, err)
		}
	}
	for _, c := range []struct{ why, in, want string }{
		{"past the end", "fn f() { var a: array<f32, TWO>; a[2u] = 1.0; }",
			"a[2u]: the index is 2, and the array has 2 elements"},
		{"no elements", "fn f() { var a: array<f32, NONE>; }", "a is an array of 0 elements"},
		{"a name that is taken", "fn f() { let a_1 = 0u; var a: array<f32, TWO>; a[0u] = 1.0; }",
			"a_1: a[1] would have this name"},
		{"no end", "fn f() {\nvar a: array<f32, TWO>; a[0u = 1.0; }",
			`line 2: "[" is not closed`},
	} {
		if got, err := split(c.in, splitValues); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v, want error %q", c.why, got, err, c.want)
		}
	}
}

// TestMaskThreads: the masks are those of the workgroup's sizes, where they are powers of two.
func TestMaskThreads(t *testing.T) {
	const memory = "var<workgroup> t: array<f32, 8>;\n"
	const lid, li = "@builtin(local_invocation_id) lid", "@builtin(local_invocation_index) li"
	for _, c := range []struct{ why, in, want string }{
		{"one size",
			"@workgroup_size(64)\nfn main(" + li + ": u32) {\n}",
			"@workgroup_size(64)\nfn main(" + li + "_in: u32) { let li = li_in & 63u;\n}"},
		{"two sizes, both indices",
			"@workgroup_size(TWO, 8)\nfn main(" + lid + ": vec3<u32>,\n    " + li + ": u32) {\n    x();\n}",
			"@workgroup_size(TWO, 8)\nfn main(" + lid + "_in: vec3<u32>,\n    " + li + "_in: u32) {" +
				" let lid = lid_in & vec3<u32>(1u, 7u, 0u); let li = li_in & 15u;\n    x();\n}"},
		{"a size that is not a power of two",
			"@workgroup_size(12, 8)\nfn main(" + lid + ": vec3<u32>) {}",
			"@workgroup_size(12, 8)\nfn main(" + lid + "_in: vec3<u32>) {" +
				" let lid = lid_in & vec3<u32>(0xffffffffu, 7u, 0u);}"},
		{"no index of a thread",
			"@workgroup_size(64)\nfn main(@builtin(workgroup_id) wid: vec3<u32>) {}",
			"@workgroup_size(64)\nfn main(@builtin(workgroup_id) wid: vec3<u32>) {}"},
	} {
		got, err := maskThreads(memory+c.in, splitValues)
		if err != nil || got != memory+c.want {
			t.Errorf("%s: got %q, %v\nwant %q", c.why, got, err, memory+c.want)
		}
		if got, err := maskThreads(c.in, splitValues); err != nil || got != c.in {
			t.Errorf("%s, without workgroup memory: got %q, %v", c.why, got, err)
		}
	}
	if got, err := maskThreads(memory+"@compute @workgroup_size(WX)\nfn main() {}", splitValues); err == nil {
		t.Errorf("a size that is not a constant: got %q", got)
	}
}

// TestProductsHaveNoArrays: sums and operands of a product are variables, which every compiler keeps in registers.
func TestProductsHaveNoArrays(t *testing.T) {
	local := regexp.MustCompile(`[^>] var \w+(?:: | = )array<`)
	for _, name := range []string{"matmul_direct", "matmul_tiled", "matmul_split"} {
		for _, c := range choices(t, name) {
			text, err := Source(name, c, nil)
			if err != nil {
				t.Fatal(err)
			}
			if found := local.FindString(lineComment.ReplaceAllString(text.WGSL, "")); found != "" {
				t.Errorf("%s: %q", text.Label, found)
			}
		}
	}
}
