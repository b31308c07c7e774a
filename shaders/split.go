package shaders

import (
	"fmt"
	"go/constant"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// span is a word or a sign of a text, by its place.
type span struct{ start, end int }

// scan returns the tokens of a text without its comments.
func scan(text string) (tokens []span) {
	for i := 0; i < len(text); {
		end := i + 1
		switch c := text[i]; {
		case c == ' ' || c == '\n' || c == '\t':
			i++
			continue
		case strings.HasPrefix(text[i:], "//"):
			if end = strings.IndexByte(text[i:], '\n'); end < 0 {
				return tokens
			}
			i += end
			continue
		case isWord(c):
			for end < len(text) && isWord(text[end]) {
				end++
			}
		}
		tokens = append(tokens, span{i, end})
		i = end
	}
	return tokens
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// edit replaces a part of a text.
type edit struct {
	span
	by string
}

func apply(text string, edits []edit) string {
	sort.Slice(edits, func(i, j int) bool { return edits[i].start < edits[j].start })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(text[at:e.start] + e.by)
		at = e.end
	}
	return b.String() + text[at:]
}

// split makes an array into as many variables where its first index is a constant wherever it is used: acc[2u * TN4]
// is then acc_2. It does so for arrays of functions, private ones and those of a workgroup, and for the arrays that
// this leaves. An array that is used as a whole, or with an index that changes, stays.
func split(text string, values map[string]constant.Value) (string, error) {
	for {
		s := splitter{text: text, tokens: scan(text), values: values, known: map[string]constant.Value{}}
		edits, err := s.edits()
		if err != nil || len(edits) == 0 {
			return text, err
		}
		text = apply(text, edits)
	}
}

// splitter finds the arrays of a text and their uses.
type splitter struct {
	text   string
	tokens []span
	values map[string]constant.Value
	known  map[string]constant.Value // indices that have been evaluated; nil: not a constant
	arrays []*array
	scopes []map[string]*array // the names of each open block, from the module's on; nil: not an array
}

// array is the declaration of a variable and what becomes of its uses.
type array struct {
	name, address, element, zero string // address: "", <workgroup> or <private>; zero: " = T()" or nothing
	n                            int64
	decl                         span // without its semicolon
	uses                         []edit
	whole                        bool // it stays
}

func (s *splitter) word(i int) string {
	if i < 0 || i >= len(s.tokens) {
		return ""
	}
	return s.text[s.tokens[i].start:s.tokens[i].end]
}

// closing returns the token that closes the bracket at i.
func (s *splitter) closing(i int) (int, error) {
	open, depth := s.word(i), 0
	shut := map[string]string{"(": ")", "[": "]", "<": ">"}[open]
	for j := i; j < len(s.tokens); j++ {
		switch s.word(j) {
		case open:
			depth++
		case shut:
			if depth--; depth == 0 {
				return j, nil
			}
		}
	}
	line := strings.Count(s.text[:s.tokens[i].start], "\n") + 1
	return 0, fmt.Errorf("line %d: %q is not closed, want %q", line, open, shut)
}

func (s *splitter) edits() ([]edit, error) {
	if err := s.find(); err != nil {
		return nil, err
	}
	words := map[string]bool{}
	for i := range s.tokens {
		words[s.word(i)] = true
	}
	var edits []edit
	for _, a := range s.arrays {
		if a.whole {
			continue
		}
		var vars []string
		for k := range a.n {
			name := fmt.Sprintf("%s_%d", a.name, k)
			if words[name] {
				return nil, fmt.Errorf("%s: %s[%d] would have this name; hint: rename one", name, a.name, k)
			}
			vars = append(vars, fmt.Sprintf("var%s %s: %s%s", a.address, name, a.element, a.zero))
		}
		edits = append(append(edits, a.uses...), edit{a.decl, strings.Join(vars, "; ")})
	}
	return edits, nil
}

// find walks the text: module scope first, since functions may use what is declared behind them.
func (s *splitter) find() error {
	s.scopes = []map[string]*array{{}}
	depth := 0
	for i := range s.tokens {
		switch s.word(i) {
		case "{":
			depth++
		case "}":
			depth--
		case "var":
			if depth == 0 {
				if err := s.declare(i); err != nil {
					return err
				}
			}
		}
	}
	var params []string
	for i := 0; i < len(s.tokens); i++ {
		inside := len(s.scopes) > 1
		switch w := s.word(i); {
		case w == "{":
			names := map[string]*array{}
			for _, p := range params {
				s.shadow(p)
				names[p] = nil
			}
			s.scopes, params = append(s.scopes, names), nil
		case w == "}" && inside:
			s.scopes = s.scopes[:len(s.scopes)-1]
		case w == "fn":
			end, err := s.closing(i + 2)
			if err != nil {
				return err
			}
			for j := i + 3; j < end; j++ {
				if s.word(j) == ":" {
					params = append(params, s.word(j-1))
				}
			}
			i = end
		case w == "var" && inside:
			if err := s.declare(i); err != nil {
				return err
			}
			i++ // its name
		case (w == "let" || w == "const") && inside:
			i++
			s.shadow(s.word(i))
			s.scopes[len(s.scopes)-1][s.word(i)] = nil
		case w == "var":
			for s.word(i) != ";" && i < len(s.tokens) {
				i++
			}
		case s.word(i-1) != "." && isWord(w[0]):
			if a := s.lookUp(w); a != nil {
				if err := s.use(a, i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *splitter) lookUp(name string) *array {
	for i := len(s.scopes) - 1; i >= 0; i-- {
		if a, ok := s.scopes[i][name]; ok {
			return a
		}
	}
	return nil
}

// shadow leaves an array whose name is declared again within its scope as it is.
func (s *splitter) shadow(name string) {
	if a := s.lookUp(name); a != nil {
		a.whole = true
	}
}

// declare takes up the variable whose `var` is at i: `name: array<T, N>` or `name = array<T, N>()`.
func (s *splitter) declare(i int) error {
	first, a := i, &array{}
	if s.word(i+1) == "<" {
		end, err := s.closing(i + 1)
		if err != nil {
			return err
		}
		a.address = s.text[s.tokens[i+1].start:s.tokens[end].end]
		i = end
	}
	a.name = s.word(i + 1)
	s.shadow(a.name)
	s.scopes[len(s.scopes)-1][a.name] = nil
	typed := s.word(i+2) == ":"
	isArray := s.word(i+3) == "array" && s.word(i+4) == "<"
	if !isArray || a.address != "" && a.address != "<workgroup>" && a.address != "<private>" {
		return nil
	}
	end, err := s.closing(i + 4)
	if err != nil {
		return err
	}
	comma, depth := 0, 0
	for j := i + 5; j < end; j++ {
		switch w := s.word(j); {
		case w == "<" || w == "(":
			depth++
		case w == ">" || w == ")":
			depth--
		case w == "," && depth == 0:
			comma = j
		}
	}
	if comma == 0 {
		return nil // as long as its buffer
	}
	a.element = strings.TrimSpace(s.text[s.tokens[i+5].start:s.tokens[comma].start])
	last := end
	if !typed {
		if s.word(end+1) != "(" || s.word(end+2) != ")" {
			return nil
		}
		a.zero, last = " = "+a.element+"()", end+2
	}
	if s.word(last+1) != ";" {
		return nil
	}
	n, err := evaluate(s.text[s.tokens[comma].end:s.tokens[end].start], s.values)
	if err != nil {
		return nil
	}
	if a.n, _ = constant.Int64Val(n); a.n < 1 {
		return fmt.Errorf("%s is an array of %d elements, want one or more", a.name, a.n)
	}
	a.decl = span{s.tokens[first].start, s.tokens[last].end}
	s.arrays = append(s.arrays, a)
	s.scopes[len(s.scopes)-1][a.name] = a
	return nil
}

// use records the use of a at token i.
func (s *splitter) use(a *array, i int) error {
	if s.word(i+1) != "[" {
		a.whole = true
	}
	if a.whole {
		return nil
	}
	end, err := s.closing(i + 1)
	if err != nil {
		return err
	}
	expr := s.text[s.tokens[i+1].end:s.tokens[end].start]
	index, ok := s.known[expr]
	if !ok {
		if v, err := evaluate(expr, s.values); err == nil {
			index = v
		}
		s.known[expr] = index
	}
	if index == nil {
		a.whole = true
		return nil
	}
	k, exact := constant.Int64Val(index)
	if !exact || k < 0 || k >= a.n {
		return fmt.Errorf("%s[%s]: the index is %v, and the array has %d elements", a.name, expr, index, a.n)
	}
	a.uses = append(a.uses, edit{span{s.tokens[i].start, s.tokens[end].end}, fmt.Sprintf("%s_%d", a.name, k)})
	return nil
}

var threadIndex = regexp.MustCompile(`@builtin\(local_invocation_(id|index)\) (\w+)`)

// maskThreads masks a thread's indices with the sizes of its workgroup, where they are powers of two, in a text that
// has workgroup memory. That changes no value: it shows a compiler that an index stays below an array's length.
func maskThreads(text string, values map[string]constant.Value) (string, error) {
	entry := strings.Index(text, "fn main(")
	if entry < 0 || !strings.Contains(text, "var<workgroup>") {
		return text, nil
	}
	group, err := workgroup(text, values)
	if err != nil || group == nil {
		return text, err
	}
	sizes, all := []string{"0u", "0u", "0u"}, int64(1)
	for i, n := range group {
		sizes[i], all = mask(n), all*n
	}
	open := entry + strings.IndexByte(text[entry:], '{')
	var edits []edit
	masks := ""
	for _, m := range threadIndex.FindAllStringSubmatchIndex(text[entry:open], -1) {
		name := span{entry + m[4], entry + m[5]}
		by := mask(all)
		if text[entry+m[2]:entry+m[3]] == "id" {
			by = "vec3<u32>(" + strings.Join(sizes, ", ") + ")"
		}
		masks += fmt.Sprintf(" let %[1]s = %[1]s_in & %[2]s;", text[name.start:name.end], by)
		edits = append(edits, edit{name, text[name.start:name.end] + "_in"})
	}
	return apply(text, append(edits, edit{span{open, open + 1}, "{" + masks})), nil
}

// mask returns n - 1 where n is a power of two, and all bits elsewhere.
func mask(n int64) string {
	if n > 0 && n&(n-1) == 0 {
		return strconv.FormatInt(n-1, 10) + "u"
	}
	return "0xffffffffu"
}
