package shaders

import (
	"crypto/sha256"
	"embed"
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

//go:embed *.wgsl lib/*.wgsl
var files embed.FS

// Spec gives values to a kernel's `// spec` constants: int for u32, bool for bool.
type Spec map[string]any

// Choice names the fragment that stands for a word of the kernel's `uses:` line, as in {"store": "store_f32"}.
type Choice map[string]string

// Names lists the kernels, sorted.
func Names() []string {
	found, err := fs.Glob(files, "*.wgsl")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for i, f := range found {
		found[i] = strings.TrimSuffix(f, ".wgsl")
	}
	return found
}

// Fingerprint is a hash of all files: it changes when any kernel or fragment does.
func Fingerprint() string {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		panic(err) // they are part of the program
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

var (
	usesLine   = regexp.MustCompile(`(?m)^// uses:(.*)$`)
	constLine  = regexp.MustCompile(`(?m)^const (\w+): (\w+) = (.+?);(.*)$`)
	unrollLine = regexp.MustCompile(`^(\s*)for \(var (\w+) = 0u; (\w+) < (\w+); (\w+)\+\+\) \{ // unroll\s*$`)
)

// Source returns the text of kernel name with its constants set and its fragments appended.
// Errors: an unknown kernel, fragment or constant; a value of another type; a choice that nothing uses; a bad unroll
// mark.
func Source(name string, choice Choice, spec Spec) (wgsl.Text, error) {
	key := fmt.Sprint(name, map[string]string(choice), map[string]any(spec)) // maps print in the order of their keys
	if text, ok := assembled.Load(key); ok {
		return text.(wgsl.Text), nil
	}
	text, err := assemble(name, choice, spec)
	if err != nil {
		return text, fmt.Errorf("shaders: %s: %w", name, err)
	}
	assembled.Store(key, text)
	return text, nil
}

// assembled keeps texts by what they were made of: a step has hundreds of dispatches and a few dozen texts, and GPT-2
// 1558M's took half a minute to write them all.
var assembled sync.Map

func assemble(name string, choice Choice, spec Spec) (t wgsl.Text, err error) {
	parts, chosen, err := gather(name, choice)
	if err != nil {
		return t, err
	}
	left := map[string]bool{}
	for k := range spec {
		left[k] = true
	}
	values := map[string]constant.Value{}
	for i := range parts {
		if parts[i], err = setConsts(parts[i], spec, left, values); err != nil {
			return t, err
		}
	}
	for k := range left {
		return t, fmt.Errorf("no `const %s … // spec` line", k)
	}
	for i := range parts {
		if parts[i], err = unroll(parts[i], values); err != nil {
			return t, err
		}
	}
	text, err := split(strings.Join(parts, "\n"), values)
	if err == nil {
		text, err = maskThreads(text, values)
	}
	if err == nil {
		t, err = read(text, values)
	}
	t.Label = label(name, chosen, spec)
	return t, err
}

// gather returns the kernel followed by the fragments it uses, each once, and the names that choice supplied.
func gather(name string, choice Choice) (parts, chosen []string, err error) {
	body, err := files.ReadFile(name + ".wgsl")
	if err != nil {
		return nil, nil, fmt.Errorf("no kernel %q", name)
	}
	parts = []string{string(body)}
	have, used := map[string]bool{}, map[string]bool{}
	for i := 0; i < len(parts); i++ {
		m := usesLine.FindStringSubmatch(parts[i])
		if m == nil {
			continue
		}
		for _, word := range strings.Fields(m[1]) {
			frag := word
			if c, ok := choice[word]; ok {
				frag, used[word] = c, true
				if !have[frag] {
					chosen = append(chosen, frag)
				}
			}
			if have[frag] {
				continue
			}
			have[frag] = true
			text, err := files.ReadFile("lib/" + frag + ".wgsl")
			if err != nil {
				return nil, nil, fmt.Errorf("no fragment %q (lib/%s.wgsl), and no choice for it", word, frag)
			}
			parts = append(parts, string(text))
		}
	}
	for word := range choice {
		if !used[word] {
			return nil, nil, fmt.Errorf("it does not use %q", word)
		}
	}
	slices.Sort(chosen)
	return parts, chosen, nil
}

// setConsts rewrites the spec lines of text and records the value of every u32 constant, derived ones included.
func setConsts(text string, spec Spec, left map[string]bool, values map[string]constant.Value) (string, error) {
	var failed error
	text = constLine.ReplaceAllStringFunc(text, func(line string) string {
		m := constLine.FindStringSubmatch(line)
		name, kind, value, tail := m[1], m[2], m[3], m[4]
		isSpec := strings.HasPrefix(strings.TrimSpace(tail), "// spec")
		if given, ok := spec[name]; ok && isSpec {
			lit, err := literal(kind, given)
			if err != nil && failed == nil {
				failed = fmt.Errorf("const %s: %w", name, err)
			}
			value = lit
			delete(left, name)
		}
		if kind == "u32" {
			if v, err := evaluate(value, values); err == nil {
				values[name] = v
			}
		}
		return fmt.Sprintf("const %s: %s = %s;%s", name, kind, value, tail)
	})
	return text, failed
}

// literal returns a value of Spec as WGSL has it.
func literal(kind string, value any) (string, error) {
	switch n, whole := value.(int); {
	case whole && n >= 0 && kind == "u32":
		return fmt.Sprintf("%du", n), nil
	case kind == "bool" && (value == true || value == false):
		return fmt.Sprint(value), nil
	}
	return "", fmt.Errorf("value %v (%T) does not fit type %s", value, value, kind)
}

var suffixed = regexp.MustCompile(`\b(\d+)u\b`)
var word = regexp.MustCompile(`\b[A-Z][A-Z0-9_]*\b`)

// evaluate computes a WGSL constant expression over u32: integers, names of values, parentheses, and the operators that
// Go has too, as + - * / % ^.
func evaluate(expr string, values map[string]constant.Value) (constant.Value, error) {
	expr = suffixed.ReplaceAllString(expr, "$1")
	missing := ""
	expr = word.ReplaceAllStringFunc(expr, func(w string) string {
		if v, ok := values[w]; ok {
			return v.ExactString()
		}
		missing = w
		return w
	})
	if missing != "" {
		return nil, fmt.Errorf("unknown constant %s", missing)
	}
	tv, err := types.Eval(token.NewFileSet(), nil, token.NoPos, expr)
	if err != nil {
		return nil, err
	}
	if tv.Value == nil || tv.Value.Kind() != constant.Int {
		return nil, fmt.Errorf("%s is not an integer constant", expr)
	}
	return tv.Value, nil
}

// unroll writes out the marked loops, innermost last, keeping the number of lines.
func unroll(text string, values map[string]constant.Value) (string, error) {
	out, err := unrollLines(strings.Split(text, "\n"), 1, values)
	return strings.Join(out, "\n"), err
}

// unrollLines does it for lines, the first of which has number first.
func unrollLines(lines []string, first int, values map[string]constant.Value) ([]string, error) {
	var out []string
	for i := 0; i < len(lines); i++ {
		m := unrollLine.FindStringSubmatch(lines[i])
		if m == nil {
			if strings.Contains(lines[i], "// unroll") {
				return nil, fmt.Errorf("line %d: an unroll mark on something else than `for (var i = 0u; i < N; "+
					"i++) {`", first+i)
			}
			out = append(out, lines[i])
			continue
		}
		if m[2] != m[3] || m[2] != m[5] {
			return nil, fmt.Errorf("line %d: loop variables differ", first+i)
		}
		trips, err := evaluate(m[4], values)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", first+i, err)
		}
		n, _ := constant.Int64Val(trips)
		end, depth := -1, 1
		for j := i + 1; j < len(lines) && end < 0; j++ {
			code := lineComment.ReplaceAllString(lines[j], "")
			depth += strings.Count(code, "{") - strings.Count(code, "}")
			if depth == 0 {
				end = j
			}
		}
		if end < 0 || strings.TrimSpace(lines[end]) != "}" {
			return nil, fmt.Errorf("line %d: no closing brace of the unrolled loop on a line of its own", first+i)
		}
		body, err := unrollLines(lines[i+1:end], first+i+1, values)
		if err != nil {
			return nil, err
		}
		for k, l := range body {
			body[k] = strings.TrimSpace(lineComment.ReplaceAllString(l, ""))
		}
		flat := strings.Join(strings.Fields(strings.Join(body, " ")), " ")
		name := regexp.MustCompile(`\b` + m[2] + `\b`)
		var b strings.Builder
		b.WriteString(m[1])
		for k := int64(0); k < n; k++ {
			fmt.Fprintf(&b, "{ %s } ", name.ReplaceAllString(flat, strconv.FormatInt(k, 10)+"u"))
		}
		out = append(out, strings.TrimRight(b.String(), " "))
		for j := i + 1; j <= end; j++ {
			out = append(out, "")
		}
		i = end
	}
	return out, nil
}

func label(name string, chosen []string, spec Spec) string {
	parts := append([]string{name}, chosen...)
	for _, k := range slices.Sorted(maps.Keys(spec)) {
		parts = append(parts, fmt.Sprintf("%s=%v", k, spec[k]))
	}
	return strings.Join(parts, "/")
}
