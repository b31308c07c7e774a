package shaders

import (
	"cmp"
	"fmt"
	"go/constant"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

var (
	bindingDecl = regexp.MustCompile(`@group\(0\)\s*@binding\((\d+)\)\s*` +
		`var<(uniform|storage)(?:,\s*(read|read_write))?>\s*(\w+)\s*:\s*([^;]+);`)
	paramsDecl    = regexp.MustCompile(`(?s)struct Params\s*\{(.*?)\}`)
	fieldDecl     = regexp.MustCompile(`(\w+)\s*:\s*(\w+)`)
	storageAlias  = regexp.MustCompile(`(?m)^alias (\w+) = [^;]+; // storage: (\w+)$`)
	workgroupSize = regexp.MustCompile(`@workgroup_size\(([^)]*)\)`)
	typeName      = regexp.MustCompile(`\w+`)
	groupMemory   = regexp.MustCompile(`var<workgroup>\s*(\w+)\s*:\s*([^;]+);`)
	alias         = regexp.MustCompile(`(?m)^alias (\w+) = ([^;]+);`)
	arrayType     = regexp.MustCompile(`(?s)^array<(.*),([^,]+)>$`)
	lineComment   = regexp.MustCompile(`(?m)//.*$`)
)

// Read returns a kernel's text with what it declares.
// Errors: two bindings of one number; a binding whose type says no storage; a workgroup size that is not a constant.
func Read(label, text string) (wgsl.Text, error) {
	values := map[string]constant.Value{}
	_, err := setConsts(text, nil, nil, values)
	if err != nil {
		return wgsl.Text{}, fmt.Errorf("%s: %w", label, err)
	}
	t, err := read(text, values)
	if err != nil {
		return t, fmt.Errorf("%s: %w", label, err)
	}
	t.Label = label
	return t, nil
}

// read is Read, without the label, where the values of the text's constants are known.
func read(text string, values map[string]constant.Value) (t wgsl.Text, err error) {
	t = wgsl.Text{WGSL: text, Threads: 1}
	storages := map[string]string{"f32": "f32", "u32": "u32", "Params": "Params"}
	for _, m := range storageAlias.FindAllStringSubmatch(text, -1) {
		storages[m[1]] = m[2]
	}
	code := lineComment.ReplaceAllString(text, "")
	for _, m := range bindingDecl.FindAllStringSubmatch(code, -1) {
		index, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return t, fmt.Errorf("%s: @binding: %w", m[4], err)
		}
		b := wgsl.Binding{Index: uint32(index), Name: m[4], Access: m[3]}
		switch {
		case m[2] == "uniform":
			b.Access = "uniform"
		case b.Access == "":
			b.Access = "read"
		}
		for _, name := range typeName.FindAllString(m[5], -1) {
			if b.Storage = storages[name]; b.Storage != "" {
				break
			}
		}
		if b.Storage == "" {
			return t, fmt.Errorf("%s: the type %s says no storage; hint: `alias T = …; // storage: NAME`", b.Name, m[5])
		}
		t.Bindings = append(t.Bindings, b)
	}
	slices.SortFunc(t.Bindings, func(a, b wgsl.Binding) int { return int(a.Index) - int(b.Index) })
	for i, b := range t.Bindings {
		if i > 0 && b.Index == t.Bindings[i-1].Index {
			return t, fmt.Errorf("%s and %s are both @binding(%d)", t.Bindings[i-1].Name, b.Name, b.Index)
		}
	}
	if m := paramsDecl.FindStringSubmatch(code); m != nil {
		for _, f := range fieldDecl.FindAllStringSubmatch(m[1], -1) {
			t.Params = append(t.Params, wgsl.Param{Name: f[1], Type: f[2]})
		}
	}
	sizes, err := workgroup(code, values)
	for _, n := range sizes {
		t.Threads *= int(n)
	}
	aliases := map[string]string{}
	for _, m := range alias.FindAllStringSubmatch(code, -1) {
		aliases[m[1]] = m[2]
	}
	for _, m := range groupMemory.FindAllStringSubmatch(code, -1) {
		n, failed := bytesOf(m[2], aliases, values)
		if failed != nil && err == nil {
			err = fmt.Errorf("%s: %w", m[1], failed)
		}
		t.Bytes += int(n)
	}
	return t, err
}

// bytesOf returns the size of a type that workgroup memory holds here.
func bytesOf(name string, aliases map[string]string, values map[string]constant.Value) (int64, error) {
	name = strings.TrimSpace(name)
	name = cmp.Or(aliases[name], name)
	if m := arrayType.FindStringSubmatch(name); m != nil {
		element, err := bytesOf(m[1], aliases, values)
		if err != nil {
			return 0, err
		}
		v, err := evaluate(strings.TrimSpace(m[2]), values)
		if err != nil {
			return 0, err
		}
		n, _ := constant.Int64Val(v)
		return n * element, nil
	}
	bytes := map[string]int64{"f32": 4, "u32": 4, "vec2<f32>": 8, "vec4<f32>": 16}[name]
	if bytes == 0 {
		return 0, fmt.Errorf("workgroup memory of type %s, want f32, u32, vec2<f32>, vec4<f32>, or arrays", name)
	}
	return bytes, nil
}

// workgroup returns the sizes that @workgroup_size gives, none where a text has no entry point.
func workgroup(text string, values map[string]constant.Value) (sizes []int64, err error) {
	m := workgroupSize.FindStringSubmatch(text)
	if m == nil {
		return nil, nil
	}
	for _, size := range strings.Split(m[1], ",") {
		v, err := evaluate(strings.TrimSpace(size), values)
		if err != nil {
			return nil, fmt.Errorf("@workgroup_size(%s): %w", m[1], err)
		}
		n, _ := constant.Int64Val(v)
		sizes = append(sizes, n)
	}
	return sizes, nil
}
