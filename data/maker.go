package data

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
)

// tokenizerFolder ends the name of the folder beside shards that holds the files of the tokenizer that made them.
const tokenizerFolder = ".tokenizer"

// maker is the tokenizer that made a shard, as the manifest beside it says.
type maker struct {
	spec        string // what NewTokenizer takes
	fingerprint string // empty for gpt2 and bytes
	source      string // who says so, for messages
}

// makerOf returns the maker of a shard; nil if nothing says it.
func makerOf(path string) *maker {
	dir := filepath.Dir(path)
	manifests, _ := filepath.Glob(filepath.Join(globLiteral(dir), "*.tokenize.json"))
	for _, file := range manifests {
		raw, err := os.ReadFile(file)
		var m manifest
		if err != nil || exactjson.Unmarshal(raw, &m) != nil {
			continue
		}
		for _, s := range m.Shards {
			if s.File != filepath.Base(path) || m.Settings.Tokenizer == "" {
				continue
			}
			by := &maker{spec: m.Settings.Tokenizer, fingerprint: m.Settings.Fingerprint, source: filepath.Base(file)}
			if by.fingerprint != "" {
				by.spec = filepath.Join(dir, by.spec)
			}
			return by
		}
	}
	return nil
}

// globLiteral is a directory's name as a pattern that only it matches.
func globLiteral(dir string) string {
	if filepath.Separator == '\\' { // a backslash is not an escape there
		return dir
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// is reports whether tok gives the maker's ids.
func (m *maker) is(tok Tokenizer) bool {
	if m.fingerprint == "" {
		return tok.Name() == m.spec
	}
	return fingerprint(tok) == m.fingerprint
}

// check refuses shards of another tokenizer than tok. One that is not known takes any. settled: tok cannot be another.
func (m *maker) check(path string, tok Tokenizer, settled bool) error {
	if tok == nil || tok.Name() == "ids" || m.is(tok) {
		return nil
	}
	hint := remakeHint(tok)
	if !settled {
		hint = fmt.Sprintf("--tokenizer %s, or %s", m.spec, hint)
	}
	return fmt.Errorf("%s: made with the tokenizer %s, as %s says, not with %s; hint: %s", path, m.spec, m.source,
		tok.Name(), hint)
}

// remakeHint says how shards of tok's ids are made.
func remakeHint(tok Tokenizer) string {
	if TextError(tok) != nil {
		return fmt.Sprintf("make .npy shards of uint16 ids with the library of the tokenizer %s", tok.Name())
	}
	return fmt.Sprintf("make shards of the text with gpt2wgpu data tokenize --tokenizer %s", tok.Name())
}

// TokenizerOf returns the tokenizer that made the shards that spec names, for --tokenizer: as their manifest says, or
// gpt2 where the ids can only be its (the largest is 256 to 50256). It is empty for texts and where nothing is known.
// Errors: shards of several tokenizers. What is wrong with spec itself [Open] reports.
func TokenizerOf(spec string) (string, error) {
	if spec == "fineweb-edu" || spec == "tinystories" {
		return "gpt2", nil
	}
	if spec == "sample" {
		return "", nil
	}
	p, err := find(spec)
	if err != nil {
		return "", nil
	}
	said, by := "", ""
	for _, path := range append(append([]string(nil), p.Train...), p.Val...) {
		if !isShard(filepath.Base(path)) {
			return "", nil
		}
		m := makerOf(path)
		switch {
		case m == nil:
		case said == "":
			said, by = m.spec, path
		case said != m.spec && !sameSpec(said, m.spec):
			return "", fmt.Errorf("--data %s: %s was made with the tokenizer %s, and %s with %s; hint: name shards "+
				"of one tokenizer", spec, by, said, path, m.spec)
		}
	}
	if said != "" || len(p.Train) == 0 {
		return said, nil
	}
	s, err := openShard(p.Train[0])
	if err != nil {
		return "", nil
	}
	defer s.close()
	err = guard(s.name, func() {
		n := min(s.len(), 1<<20)
		if s.firstOutside(0, n, 256) >= 0 && s.firstOutside(0, n, gpt2Vocab) < 0 {
			said = "gpt2"
		}
	})
	return said, err
}

func sameSpec(a, b string) bool {
	x, err := NewTokenizer(a)
	if err != nil {
		return false
	}
	y, err := NewTokenizer(b)
	return err == nil && SameTokenizer(x, y)
}

// checkMaker refuses shards that tok has not made, as far as their manifests or ids show. settled: tok cannot be
// another.
func (c *Corpus) checkMaker(paths []string, tok Tokenizer, settled bool) error {
	if tok == nil {
		return nil
	}
	said := false
	for _, p := range paths {
		if m := makerOf(p); m != nil {
			said = true
			if err := m.check(p, tok, settled); err != nil {
				return err
			}
		}
	}
	if said || len(c.shards) == 0 {
		return nil
	}
	for _, s := range c.shards {
		wide := int64(-1)
		n := min(s.len(), checkBudget/int64(len(c.shards)))
		if err := guard(s.name, func() { wide = s.firstOutside(0, n, 256) }); err != nil {
			return err
		}
		switch {
		case wide < 0 && tok.Name() == "gpt2" && n > 256:
			c.log.Warn("every id is below 256, as the tokenizer bytes makes them; hint: --tokenizer bytes, if they "+
				"are bytes", "file", s.name, "tokenizer", "gpt2")
			return nil
		case wide >= 0 && tok.Name() == "bytes":
			hint := "--tokenizer gpt2, if GPT-2's tokenizer made it, else --tokenizer DIR with the tokenizer's files"
			if settled {
				hint = remakeHint(tok)
			} else if int(s.token(wide)) >= gpt2Vocab {
				hint = "--tokenizer DIR with the tokenizer's files, or --tokenizer ids and --vocab-size"
			}
			return fmt.Errorf("%s: token %d has id %d, and the tokenizer bytes has ids below 256; hint: %s", s.name,
				wide, s.token(wide), hint)
		}
	}
	return nil
}

// writeTokenizer puts the files of a tokenizer that has some beside the shards that it makes.
func (t *tokenizing) writeTokenizer() error {
	if t.m.Settings.Fingerprint == "" {
		return nil
	}
	dir := filepath.Join(t.o.Out, t.m.Settings.Tokenizer)
	if err := os.MkdirAll(dir, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%w; hint: check the permissions of --out", err)
	}
	return WriteTokenizerFiles(dir, t.o.Tokenizer, 0)
}
