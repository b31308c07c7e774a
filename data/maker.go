package data

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// tokenizerFolder ends the name of the folder beside shards that holds the files of the tokenizer that made them.
const tokenizerFolder = ".tokenizer"

// maker is the tokenizer that made a shard, according to the manifest beside it.
type maker struct {
	spec        string // what NewTokenizer takes
	fingerprint string // empty for gpt2 and bytes
	source      string // the manifest's name, for messages
}

// makerOf returns the maker of a shard; nil if it is unknown.
func makerOf(path string) *maker {
	dir := filepath.Dir(path)
	manifests, _ := fs.Glob(os.DirFS(dir), "*.tokenize.json")
	for _, file := range manifests {
		raw, err := plainfile.Read(filepath.Join(dir, file), maxManifest)
		var m manifest
		if err != nil || exactjson.Unmarshal(raw, &m) != nil || m.check() != nil || m.Settings.Tokenizer == "" ||
			!slices.ContainsFunc(m.Shards, func(s doneShard) bool { return s.File == filepath.Base(path) }) {
			continue
		}
		by := &maker{m.Settings.Tokenizer, m.Settings.Fingerprint, file}
		if by.fingerprint != "" {
			by.spec = filepath.Join(dir, by.spec)
		}
		return by
	}
	return nil
}

// is reports whether tok gives the maker's ids.
func (m *maker) is(tok Tokenizer) bool {
	if m.fingerprint == "" {
		return tok.Name() == m.spec
	}
	return fingerprint(tok) == m.fingerprint
}

// remakeHint returns how to make shards of tok's ids.
func remakeHint(tok Tokenizer) string {
	if TextError(tok) != nil {
		return fmt.Sprintf("make .npy shards of uint16 ids with the library of the tokenizer %s", tok.Name())
	}
	return fmt.Sprintf("make shards of the text with gpt2wgpu data tokenize --tokenizer %s", tok.Name())
}

// TokenizerOf returns the tokenizer that made the shards that spec names, for --tokenizer: their manifest's, or gpt2
// where the ids can only be its (the largest is 256 to 50256). It is empty for texts and where nothing is known.
// Errors: shards of several tokenizers. What is wrong with spec itself [Open] reports.
func TokenizerOf(spec string) (string, error) {
	if spec == "fineweb-edu" || spec == "tinystories" {
		return "gpt2", nil
	}
	p, err := find(spec)
	if err != nil {
		return "", nil
	}
	said, by := "", ""
	for _, path := range slices.Concat(p.Train, p.Val) {
		if !isShard(path) {
			return "", nil
		}
		switch m := makerOf(path); {
		case m == nil:
		case said == "":
			said, by = m.spec, path
		case !sameSpec(said, m.spec):
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
	n := min(s.len(), 1<<20)
	wide, err := s.firstOutside(0, n, 256)
	if err != nil || wide < 0 {
		return "", err
	}
	if other, err := s.firstOutside(0, n, gpt2Vocab); err != nil || other >= 0 {
		return "", err
	}
	return "gpt2", nil
}

func sameSpec(a, b string) bool {
	x, err1 := NewTokenizer(a)
	y, err2 := NewTokenizer(b)
	return a == b || err1 == nil && err2 == nil && SameTokenizer(x, y)
}

// checkMaker refuses shards that tok has not made, as far as their manifests or ids show. A tokenizer that is not known
// takes any. settled: tok cannot be another.
func (c *Corpus) checkMaker(paths []string, tok Tokenizer, settled bool) error {
	if tok == nil {
		return nil
	}
	said := false
	for _, p := range paths {
		m := makerOf(p)
		said = said || m != nil
		if m == nil || tok.Name() == "ids" || m.is(tok) {
			continue
		}
		hint := remakeHint(tok)
		if !settled {
			hint = fmt.Sprintf("--tokenizer %s, or %s", m.spec, hint)
		}
		return fmt.Errorf("%s: made with the tokenizer %s, as %s says, not with %s; hint: %s", p, m.spec, m.source,
			tok.Name(), hint)
	}
	if said {
		return nil
	}
	for _, s := range c.shards {
		n := c.checked(s)
		wide, err := s.firstOutside(0, n, 256)
		if err != nil {
			return err
		}
		switch {
		case wide < 0 && tok.Name() == "gpt2" && n > 256:
			c.log.Warn("every id is below 256; hint: --tokenizer bytes, if they are bytes", "file", s.name)
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

// writeTokenizer writes the tokenizer's files, if it has any, beside the shards.
func (t *tokenizing) writeTokenizer() error {
	if t.m.Settings.Fingerprint == "" {
		return nil
	}
	dir := filepath.Join(t.o.Out, t.m.Settings.Tokenizer)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("%w; hint: check the permissions of --out", err)
	}
	return WriteTokenizerFiles(dir, t.o.Tokenizer, 0)
}
