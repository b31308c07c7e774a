package shaders

import (
	"fmt"
	"go/constant"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Text is a kernel ready to compile, and what it declares.
type Text struct {
	Label    string // name, fragments and numbers: "matmul_direct/a_rows/b_rows/epilogue_bias/store_f32/TM=8"
	WGSL     string
	Bindings []Binding // in the order of their numbers
	Params   []Param   // the fields of struct Params, in order
	Threads  int       // of a workgroup
}

// Binding is one `@group(0) @binding(Index) var<…> Name: …` of a kernel.
type Binding struct {
	Index   uint32
	Name    string
	Access  string // uniform | read | read_write
	Storage string // of a value in memory: f32 | u32 | bf16; Params for the numbers
}

// Param is a field of a kernel's struct Params.
type Param struct {
	Name string
	Type string // u32 | f32
}

var (
	bindingDecl = regexp.MustCompile(`@group\(0\)\s*@binding\((\d+)\)\s*` +
		`var<(uniform|storage)(?:,\s*(read|read_write))?>\s*(\w+)\s*:\s*([^;]+);`)
	paramsDecl    = regexp.MustCompile(`(?s)struct Params\s*\{(.*?)\}`)
	fieldDecl     = regexp.MustCompile(`(\w+)\s*:\s*(\w+)`)
	storageAlias  = regexp.MustCompile(`(?m)^alias (\w+) = [^;]+; // storage: (\w+)$`)
	workgroupSize = regexp.MustCompile(`@workgroup_size\(([^)]*)\)`)
	typeName      = regexp.MustCompile(`\w+`)
	lineComment   = regexp.MustCompile(`(?m)//.*$`)
)

// Read returns a kernel's text with what it declares.
// Errors: two bindings of one number; a binding whose type says no storage; a workgroup size that is not a constant.
func Read(label, wgsl string) (Text, error) {
	values := map[string]constant.Value{}
	if _, err := setConsts(wgsl, nil, nil, values); err != nil {
		return Text{}, fmt.Errorf("%s: %w", label, err)
	}
	return read(label, wgsl, values)
}

// read is Read where the values of the text's constants are known.
func read(label, wgsl string, values map[string]constant.Value) (Text, error) {
	text := Text{Label: label, WGSL: wgsl, Threads: 1}
	storages := map[string]string{"f32": "f32", "u32": "u32", "Params": "Params"}
	for _, m := range storageAlias.FindAllStringSubmatch(wgsl, -1) {
		storages[m[1]] = m[2]
	}
	code := lineComment.ReplaceAllString(wgsl, "")
	for _, m := range bindingDecl.FindAllStringSubmatch(code, -1) {
		index, err := strconv.ParseUint(m[1], 10, 32)
		if err != nil {
			return Text{}, fmt.Errorf("%s: %s: @binding: %w", label, m[4], err)
		}
		b := Binding{Index: uint32(index), Name: m[4], Access: m[3]}
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
			return Text{}, fmt.Errorf("%s: %s: the type %s says no storage; hint: `alias T = …; // storage: NAME`",
				label, b.Name, m[5])
		}
		text.Bindings = append(text.Bindings, b)
	}
	slices.SortFunc(text.Bindings, func(a, b Binding) int { return int(a.Index) - int(b.Index) })
	for i, b := range text.Bindings {
		if i > 0 && b.Index == text.Bindings[i-1].Index {
			return Text{}, fmt.Errorf("%s: %s and %s are both @binding(%d)",
				label, text.Bindings[i-1].Name, b.Name, b.Index)
		}
	}
	if m := paramsDecl.FindStringSubmatch(code); m != nil {
		for _, f := range fieldDecl.FindAllStringSubmatch(m[1], -1) {
			text.Params = append(text.Params, Param{f[1], f[2]})
		}
	}
	if m := workgroupSize.FindStringSubmatch(code); m != nil {
		for _, size := range strings.Split(m[1], ",") {
			v, err := evaluate(strings.TrimSpace(size), values)
			if err != nil {
				return Text{}, fmt.Errorf("%s: @workgroup_size(%s): %w", label, m[1], err)
			}
			n, _ := constant.Int64Val(v)
			text.Threads *= int(n)
		}
	}
	return text, nil
}
