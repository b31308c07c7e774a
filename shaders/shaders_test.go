package shaders

import (
	"go/constant"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// source returns a kernel's file as it stands.
func source(t *testing.T, name string) string {
	t.Helper()
	text, err := files.ReadFile(name + ".wgsl")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// choices returns every way to choose the fragments of a kernel: a word of its `uses:` line that is not one itself,
// like store, stands for each fragment whose name starts with it, like store_f32.
func choices(t *testing.T, name string) []Choice {
	t.Helper()
	body := source(t, name)
	out := []Choice{{}}
	m := usesLine.FindStringSubmatch(body)
	if m == nil {
		return out
	}
	for _, word := range strings.Fields(m[1]) {
		if _, err := fs.Stat(files, "lib/"+word+".wgsl"); err == nil {
			continue
		}
		found, err := fs.Glob(files, "lib/"+word+"_*.wgsl")
		if err != nil || len(found) == 0 {
			t.Errorf("%s uses %s: no fragment lib/%s.wgsl nor lib/%s_*.wgsl", name, word, word, word)
			continue
		}
		var more []Choice
		for _, c := range out {
			for _, f := range found {
				with := Choice{word: strings.TrimSuffix(strings.TrimPrefix(f, "lib/"), ".wgsl")}
				for k, v := range c {
					with[k] = v
				}
				more = append(more, with)
			}
		}
		out = more
	}
	return out
}

func TestEveryKernelAssembles(t *testing.T) {
	for _, name := range Names() {
		for _, c := range choices(t, name) {
			text, err := Source(name, c, nil)
			if err != nil {
				t.Errorf("%s %v: %v", name, c, err)
				continue
			}
			if strings.Contains(text.WGSL, "// unroll") {
				t.Errorf("%s: an unroll mark is left", text.Label)
			}
			code := regexp.MustCompile(`(?m)//.*$`).ReplaceAllString(text.WGSL, "")
			for _, pair := range []string{"{}", "()", "[]"} {
				if n := strings.Count(code, pair[:1]) - strings.Count(code, pair[1:]); n != 0 {
					t.Errorf("%s: %d more %q than %q", text.Label, n, pair[:1], pair[1:])
				}
			}
		}
	}
}

// masked is what maskThreads adds to a line.
var masked = regexp.MustCompile(`_in\b|(?: let \w+ = \w+_in & [^;]+;)+$`)

// TestLineNumbersKept: what a compiler says about a line of the text is true of the file.
func TestLineNumbersKept(t *testing.T) {
	for _, name := range Names() {
		raw := source(t, name)
		text, err := Source(name, choices(t, name)[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		got, kept := strings.Split(text.WGSL, "\n"), 0
		for i, line := range strings.Split(raw, "\n") {
			fixed := strings.HasPrefix(line, "//") || strings.HasPrefix(line, "@") || strings.HasPrefix(line,
				"const") ||
				strings.HasPrefix(line, "fn ") || strings.HasPrefix(line, "struct")
			if !fixed {
				continue // in an unrolled loop, perhaps
			}
			kept++
			if masked.ReplaceAllString(got[i], "") != line {
				t.Errorf("%s line %d: %q became %q", name, i+1, line, got[i])
			}
		}
		if kept < 8 {
			t.Errorf("%s: only %d lines compared", name, kept)
		}
	}
}

func TestSourceSets(t *testing.T) {
	choice := Choice{"store": "store_f32", "a": "a_rows", "b": "b_columns", "epilogue": "epilogue_bias_gelu"}
	text, err := Source("matmul_direct", choice, Spec{"TM": 8, "WX": 32})
	if err != nil {
		t.Fatal(err)
	}
	if want := "matmul_direct/a_rows/b_columns/epilogue_bias_gelu/store_f32/TM=8/WX=32"; text.Label != want {
		t.Errorf("label %q, want %q", text.Label, want)
	}
	for line, times := range map[string]int{
		"const TM: u32 = 8u; // spec: rows a thread,":         1,
		"const TN4: u32 = 1u; // spec: quads of columns":      1, // the default
		"const WX: u32 = 32u; // spec: threads along columns": 1,
		"rows_7 = ":         1,
		"rows_8":            0,
		"fn gelu_tanh":      1, // a fragment of the fragment
		"alias Quad":        1,
		"@binding(4) var<s": 1,
	} {
		if n := strings.Count(text.WGSL, line); n != times {
			t.Errorf("%q stands there %d times, want %d", line, n, times)
		}
	}
	again, err := Source("matmul_direct", choice, Spec{"WX": 32, "TM": 8})
	if err != nil || again.WGSL != text.WGSL {
		t.Errorf("the same choice gives another text (error %v)", err)
	}
}

func TestSourceRefuses(t *testing.T) {
	full := Choice{"store": "store_f32", "a": "a_rows", "b": "b_rows", "epilogue": "epilogue_store"}
	for _, c := range []struct {
		why    string
		kernel string
		choice Choice
		spec   Spec
		want   string
	}{
		{"unknown kernel", "matmul", full, nil, `no kernel "matmul"`},
		{"no choice", "peak_copy", nil, nil, `no fragment "store"`},
		{"unknown fragment", "peak_copy", Choice{"store": "store_f8"}, nil, `no fragment "store" (lib/store_f8.wgsl)`},
		{"unused choice", "peak_copy", Choice{"store": "store_f32", "epilogue": "epilogue_store"}, nil,
			`peak_copy: it does not use "epilogue"`},
		{"unknown constant", "peak_copy", Choice{"store": "store_f32"}, Spec{"TM": 8}, "no `const TM"},
		{"derived constant", "matmul_direct", full, Spec{"SUMS": 8}, "no `const SUMS"},
		{"a float for u32", "matmul_direct", full, Spec{"TM": 2.5}, "const TM: value 2.5 (float64) does not fit " +
			"type u32"},
		{"negative", "matmul_direct", full, Spec{"TM": -1}, "const TM: value -1 (int) does not fit type u32"},
		{"a bool for u32", "matmul_direct", full, Spec{"TM": true}, "does not fit type u32"},
		{"an int for bool", "cross_entropy", Choice{"store": "store_f32"}, Spec{"BACKWARD": 1}, "does not fit type " +
			"bool"},
		{"a string", "peak_copy", Choice{"store": "store_f32"}, Spec{"WG": "64"}, "does not fit type u32"},
	} {
		_, err := Source(c.kernel, c.choice, c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.why, err, c.want)
		}
	}
}

func TestLiteral(t *testing.T) {
	for _, c := range []struct {
		kind  string
		value any
		want  string
	}{
		{"u32", 0, "0u"}, {"u32", 1 << 20, "1048576u"}, {"bool", false, "false"}, {"bool", true, "true"},
	} {
		if got, err := literal(c.kind, c.value); err != nil || got != c.want {
			t.Errorf("literal(%s, %v) = %q, %v, want %q", c.kind, c.value, got, err, c.want)
		}
	}
}

func TestEvaluate(t *testing.T) {
	values := map[string]constant.Value{"TM": constant.MakeInt64(8), "TN4": constant.MakeInt64(2)}
	for expr, want := range map[string]int64{"4u": 4, "TM * TN4": 16, "(TM + 2u) / 4u * TN4": 4, "TM - 1u": 7} {
		v, err := evaluate(expr, values)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got, _ := constant.Int64Val(v); got != want {
			t.Errorf("%s = %d, want %d", expr, got, want)
		}
	}
	for _, expr := range []string{"TK * 2u", "1.5", "TM / 0u", "TM +"} {
		if v, err := evaluate(expr, values); err == nil {
			t.Errorf("%s = %v, want an error", expr, v)
		}
	}
}

func TestUnroll(t *testing.T) {
	values := map[string]constant.Value{"TWO": constant.MakeInt64(2), "ONE": constant.MakeInt64(1)}
	for _, c := range []struct{ why, in, want string }{
		{"plain", "a\nfor (var i = 0u; i < TWO; i++) { // unroll\n  x[i] = i; // note\n}\nb",
			"a\n{ x[0u] = 0u; } { x[1u] = 1u; }\n\n\nb"},
		{"only whole words", "for (var i = 0u; i < ONE; i++) { // unroll\n  hi = i;\n}", "{ hi = 0u; }\n\n"},
		{"nested", "for (var i = 0u; i < TWO; i++) { // unroll\nfor (var j = 0u; j < TWO; j++) { // unroll\ns += " +
			"a[i * 2u + j];\n}\nt[i] = s;\n}\nend",
			"{ { s += a[0u * 2u + 0u]; } { s += a[0u * 2u + 1u]; } t[0u] = s; } { { s += a[1u * 2u + 0u]; } { s += " +
				"a[1u * 2u + 1u]; } t[1u] = s; }\n\n\n\n\n\nend"},
		{"a block inside", "for (var i = 0u; i < ONE; i++) { // unroll\nif x {\ny = i; // }\n}\n}",
			"{ if x { y = 0u; } }\n\n\n\n"},
		{"unmarked loops stay", "for (var i = 0u; i < TWO; i++) {\n}", "for (var i = 0u; i < TWO; i++) {\n}"},
	} {
		got, err := unroll(c.in, values)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v\nwant %q", c.why, got, err, c.want)
		}
	}
	for _, c := range []struct{ why, in, want string }{
		{"from one", "\nfor (var i = 1u; i < TWO; i++) { // unroll\n}", "line 2: an unroll mark on something else"},
		{"on a statement", "x = 1; // unroll", "line 1: an unroll mark on something else"},
		{"two variables", "for (var i = 0u; j < TWO; i++) { // unroll\n}", "line 1: loop variables differ"},
		{"unknown bound", "for (var i = 0u; i < p; i++) { // unroll\n}", "line 1: "},
		{"unknown constant", "for (var i = 0u; i < TK; i++) { // unroll\n}", "line 1: unknown constant TK"},
		{"no end", "for (var i = 0u; i < TWO; i++) { // unroll\nx = i;", "line 1: no closing brace"},
		{"end on a line with more", "for (var i = 0u; i < TWO; i++) { // unroll\nx = i; }", "line 1: no closing brace"},
		{"nested", "a\nfor (var i = 0u; i < TWO; i++) { // unroll\nb\nfor (var j = 0u; j < TK; j++) { // unroll\n}\n}",
			"line 4: unknown constant TK"},
	} {
		if got, err := unroll(c.in, values); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v, want error %q", c.why, got, err, c.want)
		}
	}
}

// TestHouseRules holds the portability habits that a text can show; the reasons stand in the design.
func TestHouseRules(t *testing.T) {
	note := regexp.MustCompile(`(?m)//.*$`)
	for _, name := range Names() {
		raw := source(t, name)
		if !strings.HasPrefix(raw, "// "+name+": ") {
			t.Errorf("%s: the first line must be `// %s: what it computes`", name, name)
		}
		for _, word := range []string{"dispatch:", "out", "uses:"} {
			header, _, _ := strings.Cut(raw, "\n\n")
			if !strings.Contains(header, word) {
				t.Errorf("%s: the header does not say %q", name, word)
			}
		}
		for _, c := range choices(t, name) {
			text, err := Source(name, c, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			code := note.ReplaceAllString(text.WGSL, "")
			buffers := slices.DeleteFunc(slices.Clone(text.Bindings),
				func(b wgsl.Binding) bool { return b.Access == "uniform" })
			if n := len(buffers); n > 7 {
				t.Errorf("%s: %d storage buffers, want at most 7", text.Label, n)
			}
			if n := len(regexp.MustCompile(`@binding\(`).FindAllString(code, -1)); n != len(text.Bindings) {
				t.Errorf("%s: %d bindings stand there, %d were read", text.Label, n, len(text.Bindings))
			}
			numbers := slices.DeleteFunc(slices.Clone(text.Bindings),
				func(b wgsl.Binding) bool { return b.Storage != "Params" })
			want := []wgsl.Binding{{Index: 0, Name: "p", Access: "uniform", Storage: "Params"}}
			if !slices.Equal(numbers, want) || len(text.Params) == 0 {
				t.Errorf("%s: want one uniform, `@group(0) @binding(0) var<uniform> p: Params`", text.Label)
			}
			for _, bad := range []struct{ pattern, why string }{
				{`\boverride\b`, "naga 0.19 has none: use a // spec constant"},
				{`\bconst_assert\b`, "naga 0.19 has none"},
				{`\benable\b`, "naga 0.19 has no extensions"},
				{`\bsubgroup`, "naga 0.19 has none"},
				{`atomic<`, "sums in any order differ from run to run"},
				{`0x1\.fffffep\+?127f|0x7f800000`, "no infinities"},
				{`\bdx\b`, "a namespace in DXC's HLSL"},
				{`\bvk\b`, "a namespace in DXC's HLSL"},
				{`\) -> array<`, "FXC refuses functions that return arrays"},
				{`\(&\w+\[`, "a pointer to an element aborts at pipeline creation"},
			} {
				if found := regexp.MustCompile(bad.pattern).FindString(code); found != "" {
					t.Errorf("%s: %q: %s", text.Label, found, bad.why)
				}
			}
		}
	}
	fragments, err := fs.Glob(files, "lib/*.wgsl")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fragments {
		raw, err := files.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if name := strings.TrimSuffix(strings.TrimPrefix(f, "lib/"), ".wgsl"); !strings.HasPrefix(string(raw),
			"// "+name+": ") {
			t.Errorf("%s: the first line must be `// %s: what it is`", f, name)
		}
	}
}
