package data

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
)

// tokenizerFiles are a tokenizer's files by name, as Hugging Face's directories have them.
type tokenizerFiles map[string][]byte

// vocabularyFiles hold a vocabulary, otherTokenizerFiles what goes with one.
var (
	vocabularyFiles = []string{"tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model",
		"spiece.model", "sentencepiece.bpe.model"}
	otherTokenizerFiles = []string{tokenizerConfigFile, "special_tokens_map.json", "added_tokens.json",
		"chat_template.jinja"}
)

const (
	tokenizerConfigFile = "tokenizer_config.json"
	maxTokenizerFile    = 256 << 20 // bytes
	maxVocab            = 1 << 16   // ids are stored in two bytes
)

// readTokenizerFiles returns the tokenizer's files in a directory; none if no file there holds a vocabulary.
func readTokenizerFiles(dir string) (tokenizerFiles, error) {
	files := tokenizerFiles{}
	found := false
	for i, name := range slices.Concat(vocabularyFiles, otherTokenizerFiles) {
		raw, err := readTokenizerFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[name] = raw
		found = found || i < len(vocabularyFiles)
	}
	if !found {
		return nil, nil
	}
	return files, nil
}

func readTokenizerFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxTokenizerFile {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d; hint: is this a tokenizer's file?", path, info.Size(),
			maxTokenizerFile)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w; hint: check the file's permissions", err)
	}
	if bytes.HasPrefix(raw, []byte("version https://git-lfs")) {
		return nil, fmt.Errorf("%s: a Git LFS pointer, not the file itself; hint: git lfs pull in its directory", path)
	}
	return bytes.TrimPrefix(raw, []byte(byteOrderMark)), nil
}

// parseTokenizer returns the tokenizer of these files: gpt2 or bytes where it is one of these, a byte-level BPE of its
// own, or one that only counts ids and says why.
func parseTokenizer(name string, files tokenizerFiles) Tokenizer {
	t, err := newForeign(name, files)
	if err != nil {
		return &idsOnly{name: name, reason: err.Error(), files: files, eot: -1}
	}
	mark := t.fingerprint()
	for _, known := range []func() (Tokenizer, error){func() (Tokenizer, error) { return loadGPT2() },
		func() (Tokenizer, error) { return byteTokenizer{}, nil }} {
		if k, err := known(); err == nil && k.VocabSize() == t.VocabSize() && fingerprint(k) == mark {
			return k
		}
	}
	return t
}

// newForeign builds the byte-level BPE of these files. The error is why they describe none that this program encodes
// text with.
func newForeign(name string, files tokenizerFiles) (*bpe, error) {
	f := hfTokenizer{files: files, vocab: map[string]int{}}
	if err := f.readConfig(); err != nil {
		return nil, err
	}
	var err error
	switch {
	case files["tokenizer.json"] != nil:
		err = f.readTokenizerJSON(files["tokenizer.json"])
	case files["vocab.json"] != nil && files["merges.txt"] != nil:
		err = f.readVocabAndMerges()
	case files["vocab.json"] != nil:
		err = errors.New("vocab.json has no merges.txt beside it")
	case files["merges.txt"] != nil:
		err = errors.New("merges.txt has no vocab.json beside it")
	case files["vocab.txt"] != nil:
		err = errors.New("vocab.txt is a WordPiece vocabulary, and only byte-level BPE is read")
	default:
		err = errors.New("it is a SentencePiece model, and only byte-level BPE is read")
	}
	if err != nil {
		return nil, err
	}
	if err := f.readAdded(); err != nil {
		return nil, err
	}
	return f.build(name)
}

// hfTokenizer is a tokenizer being read.
type hfTokenizer struct {
	files        tokenizerFiles
	config       object // tokenizer_config.json, with what special_tokens_map.json adds
	class        string // tokenizer_class without "Fast"; "" if none is named
	vocab        map[string]int
	merges       [][2]string
	unknown      string // the token of a byte that has none; "": such bytes are left out
	fuse         bool   // neighbours without a token become one unknown
	fallback     bool   // bytes without a token become <0x..>
	ignoreMerges bool   // a piece that is a token is that, whatever the merges say
	prefixSpace  bool
	unsplit      bool
	added        []addedToken
	eos          string
}

// object is a JSON object; its keys match exactly, unlike those of a struct.
type object map[string]json.RawMessage

// null reports whether the field is missing or null.
func (o object) null(key string) bool { return o[key] == nil || string(o[key]) == "null" }

func (o object) text(key string) (s string) {
	if !o.null(key) && json.Unmarshal(o[key], &s) != nil {
		return "?"
	}
	return s
}

func (o object) is(key string, missing bool) (b bool) {
	if o.null(key) {
		return missing
	}
	return json.Unmarshal(o[key], &b) == nil && b
}

func (o object) object(key string) (inner object) {
	json.Unmarshal(o[key], &inner)
	return inner
}

// addsTokens reports whether a post_processor may put tokens around a text. transformers 5 saves GPT-2's tokenizer with
// a template that is the text and nothing else.
func addsTokens(p object) bool {
	switch p.text("type") {
	case "ByteLevel":
		return false
	case "TemplateProcessing":
		var single []object
		err := json.Unmarshal(p["single"], &single)
		return err != nil || len(single) != 1 || single[0].object("Sequence").text("id") != "A"
	case "Sequence":
		var steps []object
		err := json.Unmarshal(p["processors"], &steps)
		return err != nil || slices.ContainsFunc(steps, addsTokens)
	}
	return true
}

func parseObject(file string, raw []byte) (o object, err error) {
	if o, err = exactjson.Object(raw); err != nil {
		return nil, fmt.Errorf("%s: bad JSON (%w)", file, err)
	}
	return o, nil
}

func (f *hfTokenizer) readConfig() (err error) {
	f.config = object{}
	for _, file := range []string{"special_tokens_map.json", tokenizerConfigFile} {
		if f.files[file] == nil {
			continue
		}
		o, err := parseObject(file, f.files[file])
		if err != nil {
			return err
		}
		maps.Copy(f.config, o)
	}
	f.class = strings.TrimSuffix(f.config.text("tokenizer_class"), "Fast")
	for _, key := range []string{"add_bos_token", "add_eos_token"} {
		if f.config.is(key, false) {
			return fmt.Errorf("tokenizer_config.json: %s, which adds a token to a text, is not supported", key)
		}
	}
	return nil
}

// readTokenizerJSON reads what Hugging Face's tokenizers save.
func (f *hfTokenizer) readTokenizerJSON(raw []byte) error {
	const file = "tokenizer.json"
	top, err := parseObject(file, raw)
	if err != nil {
		return err
	}
	model := top.object("model")
	if kind := model.text("type"); kind != "BPE" && (kind != "" || model["merges"] == nil) {
		return fmt.Errorf("tokenizer.json: its model is %q, and only byte-level BPE is read", kind)
	}
	if !model.null("dropout") && string(model["dropout"]) != "0.0" && string(model["dropout"]) != "0" {
		return errors.New("tokenizer.json: its model has dropout, which makes ids random")
	}
	for _, key := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if model.text(key) != "" {
			return fmt.Errorf("tokenizer.json: its model has %s, which byte-level BPE has not", key)
		}
	}
	if n := top.object("normalizer"); n != nil && !(n.text("type") == "Sequence" && string(n["normalizers"]) == "[]") {
		return fmt.Errorf("tokenizer.json: the normalizer %q is not supported", n.text("type"))
	}
	if p := top.object("post_processor"); p != nil && addsTokens(p) {
		return fmt.Errorf("tokenizer.json: the post_processor %q, which adds tokens around a text, is not supported",
			p.text("type"))
	}
	if err := f.readSplit(top.object("pre_tokenizer")); err != nil {
		return err
	}
	if err := f.readVocab(file, model["vocab"]); err != nil {
		return err
	}
	var merges []json.RawMessage
	if err := json.Unmarshal(model["merges"], &merges); err != nil {
		return errors.New("tokenizer.json: its merges are no list")
	}
	for i, raw := range merges {
		var pair []string
		var line string
		if json.Unmarshal(raw, &line) == nil {
			pair = strings.Split(line, " ")
		} else if json.Unmarshal(raw, &pair) != nil {
			pair = nil
		}
		if len(pair) != 2 {
			return fmt.Errorf("tokenizer.json: merge %d is %.80s, want two tokens", i, raw)
		}
		f.merges = append(f.merges, [2]string(pair))
	}
	f.unknown, f.fuse = model.text("unk_token"), model.is("fuse_unk", false)
	f.fallback, f.ignoreMerges = model.is("byte_fallback", false), model.is("ignore_merges", false)
	if !top.null("added_tokens") {
		var list []object
		if err := json.Unmarshal(top["added_tokens"], &list); err != nil {
			return errors.New("tokenizer.json: its added_tokens are no list of objects")
		}
		for _, o := range list {
			var id int
			if err := json.Unmarshal(o["id"], &id); err != nil {
				return errors.New("tokenizer.json: an added token has no id")
			}
			if err := f.addAt(file, o, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// gpt2Patterns are GPT-2's pattern and its spelling in Hugging Face's tokenizers, whose matches are the same.
var gpt2Patterns = []string{gpt2Pattern, `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`}

// readSplit reads how a text falls into pieces: by ByteLevel, or by a Split with GPT-2's pattern before it.
func (f *hfTokenizer) readSplit(p object) error {
	if p == nil {
		return errors.New("tokenizer.json: it has no pre_tokenizer, and only ByteLevel is supported")
	}
	steps := []object{p}
	if p.text("type") == "Sequence" {
		if err := json.Unmarshal(p["pretokenizers"], &steps); err != nil {
			return errors.New("tokenizer.json: its pre_tokenizer is not a list of objects")
		}
	}
	split := false
	for i, s := range steps {
		last := i == len(steps)-1
		switch kind := s.text("type"); {
		case kind == "ByteLevel" && last:
			f.prefixSpace = s.is("add_prefix_space", true)
			f.unsplit = !s.is("use_regex", true) && !split
			if split && (f.prefixSpace || s.is("use_regex", true)) {
				return errors.New("tokenizer.json: a Split before a ByteLevel with use_regex or add_prefix_space is " +
					"not supported")
			}
		case kind == "Split" && i == 0 && !last:
			pattern := s.object("pattern").text("Regex")
			if !slices.Contains(gpt2Patterns, pattern) || s.text("behavior") != "Isolated" &&
				s.text("behavior") != "isolated" || s.is("invert", false) {
				return errors.New("tokenizer.json: it splits text by a pattern that is not GPT-2's")
			}
			split = true
		default:
			return fmt.Errorf("tokenizer.json: the pre_tokenizer %q is not supported, only ByteLevel is", kind)
		}
	}
	if len(steps) == 0 {
		return errors.New("tokenizer.json: it has no pre_tokenizer, and only ByteLevel is supported")
	}
	return nil
}

func (f *hfTokenizer) readVocab(file string, raw []byte) error {
	if err := exactjson.Unmarshal(raw, &f.vocab); err != nil {
		return fmt.Errorf("%s: no vocabulary of tokens and their ids (%w)", file, err)
	}
	if len(f.vocab) == 0 {
		return fmt.Errorf("%s: no vocabulary of tokens and their ids", file)
	}
	for s, id := range f.vocab {
		if err := checkID(file, s, id); err != nil {
			return err
		}
	}
	return nil
}

func checkID(file, token string, id int) error {
	if id < 0 || id >= maxVocab {
		return fmt.Errorf("%s: %.40q has the id %d, and ids must be below %d: tokens are stored in two bytes", file,
			token, id, maxVocab)
	}
	return nil
}

// readVocabAndMerges reads the two files of GPT2Tokenizer.
func (f *hfTokenizer) readVocabAndMerges() error {
	if f.class != "" && f.class != "GPT2Tokenizer" {
		return fmt.Errorf("tokenizer_config.json: tokenizer_class %q, and of those with vocab.json only "+
			"GPT2Tokenizer is read", f.config.text("tokenizer_class"))
	}
	if err := f.readVocab("vocab.json", f.files["vocab.json"]); err != nil {
		return err
	}
	for i, line := range strings.Split(string(f.files["merges.txt"]), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" || strings.HasPrefix(line, "#version") {
			continue
		}
		left, right, ok := strings.Cut(line, " ")
		if !ok || strings.Contains(right, " ") {
			return fmt.Errorf("merges.txt: line %d is %.80q, want two tokens", i+1, line)
		}
		f.merges = append(f.merges, [2]string{left, right})
	}
	return nil
}

// roles are the special tokens that a tokenizer_config.json names, in the order in which transformers adds them.
var roles = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// readAdded completes the added tokens as transformers does: from tokenizer_config.json, added_tokens.json and the
// special tokens by their roles.
func (f *hfTokenizer) readAdded() error {
	if !f.config.null("add_prefix_space") {
		asked := f.config.is("add_prefix_space", false)
		if asked != f.prefixSpace && f.class != "" && f.class != "GPT2Tokenizer" { // transformers 4 and 5 differ
			return fmt.Errorf("tokenizer_config.json: add_prefix_space is %v, tokenizer.json has %v", asked,
				f.prefixSpace)
		}
		f.prefixSpace = asked
	}
	extra, file := f.config.object("added_tokens_decoder"), tokenizerConfigFile
	if extra == nil && f.files["added_tokens.json"] != nil {
		file = "added_tokens.json"
		ids := map[string]int{}
		if err := json.Unmarshal(f.files[file], &ids); err != nil {
			return fmt.Errorf("%s: want an object of tokens and their ids", file)
		}
		extra = object{}
		for s, id := range ids {
			extra[fmt.Sprint(id)], _ = json.Marshal(map[string]any{"content": s, "normalized": true})
		}
	}
	type numbered struct {
		id    int
		token object
	}
	var list []numbered
	for key := range extra {
		var id int
		if _, err := fmt.Sscanf(key, "%d", &id); err != nil {
			return fmt.Errorf("%s: %.40q is not the id of an added token", file, key)
		}
		list = append(list, numbered{id, extra.object(key)})
	}
	slices.SortFunc(list, func(a, b numbered) int { return cmp.Compare(a.id, b.id) })
	for _, n := range list {
		if err := f.addAt(file, n.token, n.id); err != nil {
			return err
		}
	}
	for _, role := range roles {
		if err := f.addRole(role, f.config[role]); err != nil {
			return err
		}
	}
	var more []json.RawMessage
	if !f.config.null("additional_special_tokens") && json.Unmarshal(f.config["additional_special_tokens"],
		&more) != nil {
		return errors.New("tokenizer_config.json: additional_special_tokens is not a list")
	}
	for _, raw := range more {
		if err := f.addRole("additional_special_tokens", raw); err != nil {
			return err
		}
	}
	return nil
}

// addRole adds the special token of a role: a text, or an object with the token's flags.
func (f *hfTokenizer) addRole(role string, raw json.RawMessage) error {
	if raw == nil { // GPT2Tokenizer's default for the first three
		_, has := f.vocab[endOfText]
		if has = has || f.find(endOfText) != nil; !has || f.class != "" && f.class != "GPT2Tokenizer" ||
			!slices.Contains(roles[:3], role) {
			return nil
		}
		raw = []byte(`"` + endOfText + `"`)
	}
	if string(raw) == "null" {
		return nil
	}
	var s string
	o := object{}
	if json.Unmarshal(raw, &s) == nil {
		o["content"], _ = json.Marshal(s)
	} else if json.Unmarshal(raw, &o) != nil {
		return fmt.Errorf("tokenizer_config.json: %s is %.80s, want a token", role, raw)
	}
	s = o.text("content")
	if s == "" {
		return nil
	}
	if role == "eos_token" {
		f.eos = s
	}
	if t := f.find(s); t != nil {
		t.special = true
		return nil
	}
	o["special"] = json.RawMessage("true")
	return f.addAt(tokenizerConfigFile, o, f.nextID(s))
}

func (f *hfTokenizer) find(content string) *addedToken {
	for i := range f.added {
		if f.added[i].content == content {
			return &f.added[i]
		}
	}
	return nil
}

// nextID is the id that Hugging Face gives an added token: the vocabulary's, else the next one.
func (f *hfTokenizer) nextID(content string) int {
	if id, ok := f.vocab[content]; ok {
		return id
	}
	next := len(f.vocab)
	for _, t := range f.added {
		next = max(next, t.id+1)
	}
	return next
}

// addAt adds a token under an id. One that is there already keeps its flags.
func (f *hfTokenizer) addAt(file string, o object, id int) error {
	s := o.text("content")
	if s == "" {
		return fmt.Errorf("%s: the added token %d has no content", file, id)
	}
	if err := checkID(file, s, id); err != nil {
		return err
	}
	if t := f.find(s); t != nil {
		if t.id != id {
			return fmt.Errorf("%s: the added token %.40q has the id %d here and %d elsewhere", file, s, id, t.id)
		}
		return nil
	}
	if has, ok := f.vocab[s]; ok && has != id {
		return fmt.Errorf("%s: the added token %.40q has the id %d here and %d in the vocabulary", file, s, id, has)
	}
	special := o.is("special", false)
	f.added = append(f.added, addedToken{content: s, id: id, special: special, singleWord: o.is("single_word", false),
		lstrip: o.is("lstrip", false), rstrip: o.is("rstrip", false), normalized: o.is("normalized", !special)})
	return nil
}

// build makes the encoding of what was read.
func (f *hfTokenizer) build(name string) (*bpe, error) {
	size := 0
	for _, id := range f.vocab {
		size = max(size, id+1)
	}
	for _, t := range f.added {
		size = max(size, t.id+1)
	}
	tokens := make([]string, size)
	printed := make(map[string]int, len(f.vocab)) // tokens of bytes: bytes to id
	for s, id := range f.vocab {
		raw, ok := unprintable(s)
		if !ok { // Hugging Face decodes it to itself
			raw = s
		} else {
			printed[raw] = id
		}
		tokens[id] = raw
	}
	unknown := -1
	if id, ok := f.vocab[f.unknown]; ok && f.unknown != "" {
		unknown = id
	}
	missing := 0
	t := newBPE(name, tokens, func(b byte) int {
		if id, ok := printed[string([]byte{b})]; ok {
			return id
		}
		missing++
		return unknown
	})
	if missing > 0 {
		switch {
		case f.fallback:
			return nil, errors.New("tokenizer.json: byte_fallback is not supported")
		case f.fuse && f.unknown != "":
			return nil, errors.New("tokenizer.json: fuse_unk is not supported")
		case f.unknown != "" && unknown < 0:
			return nil, fmt.Errorf("tokenizer.json: the vocabulary has no unk_token %.40q", f.unknown)
		}
	}
	for rank, m := range f.merges {
		left, ok1 := f.vocab[m[0]]
		right, ok2 := f.vocab[m[1]]
		both, ok3 := f.vocab[m[0]+m[1]]
		if !ok1 || !ok2 || !ok3 {
			return nil, fmt.Errorf("merge %d, of %.40q and %.40q: the vocabulary lacks one of them or what they make",
				rank, m[0], m[1])
		}
		t.merges[pair(uint16(left), uint16(right))] = merged{int32(rank), uint16(both)}
	}
	var m merger
	var parts []uint16
	for s, id := range printed {
		if f.ignoreMerges {
			t.addWhole(s, id)
			continue
		}
		if t.gaps {
			continue
		}
		if parts = t.mergeBytes(parts[:0], s, &m); len(parts) == 1 && int(parts[0]) == id {
			t.addWhole(s, id)
		}
	}
	for _, a := range f.added {
		tokens[a.id] = a.content
	}
	t.added = newAddedTokens(f.added)
	t.special = t.added
	t.prefixSpace, t.unsplit, t.files = f.prefixSpace, f.unsplit, f.files
	if f.eos == "" {
		f.eos = endOfText
	}
	if a := f.find(f.eos); a != nil {
		t.eot = a.id
	} else if id, ok := f.vocab[f.eos]; ok {
		t.eot = id
	}
	return t, nil
}

// unprintable is the inverse of printable; ok is false if s has a character that stands for no byte.
func unprintable(s string) (raw string, ok bool) {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		c, ok := byteOfPrintable[r]
		if !ok {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), true
}

var byteOfPrintable = func() map[rune]byte {
	m := map[rune]byte{}
	for b, r := range printableByte {
		m[r] = byte(b)
	}
	return m
}()

// fingerprint says which ids texts get: two tokenizers with the same one encode alike.
func (t *bpe) fingerprint() string {
	h := sha256.New()
	write := func(format string, args ...any) { fmt.Fprintf(h, format, args...) }
	for id, s := range t.tokens {
		write("%d %q\n", id, s)
	}
	keys := slices.SortedFunc(maps.Keys(t.merges), func(a, b uint32) int {
		return cmp.Compare(t.merges[a].rank, t.merges[b].rank)
	})
	for _, k := range keys { // by rank: ranks may have gaps, their order is what counts
		binary.Write(h, binary.LittleEndian, [2]uint32{k, uint32(t.merges[k].id)})
	}
	for _, a := range slices.SortedFunc(slices.Values(t.special.all),
		func(a, b addedToken) int { return cmp.Compare(a.id, b.id) }) {
		flags := a
		flags.special, flags.normalized = false, false // which change no id of a tokenizer without normalizer
		write("%+v\n", flags)
	}
	write("%v %v %v", t.prefixSpace, t.unsplit, t.ofByte)
	return fmt.Sprintf("%x", h.Sum(nil))
}

var gpt2Fingerprint = sync.OnceValue(func() string {
	t, err := loadGPT2()
	if err != nil {
		return ""
	}
	return t.fingerprint()
})

// bytesAsBPE is the tokenizer bytes as the files that it writes describe it.
var bytesFingerprint = sync.OnceValue(func() string {
	tokens := make([]string, 256)
	for b := range tokens {
		tokens[b] = string([]byte{byte(b)})
	}
	return newBPE("bytes", tokens, func(b byte) int { return int(b) }).fingerprint()
})

func fingerprint(tok Tokenizer) string {
	switch t := tok.(type) {
	case byteTokenizer:
		return bytesFingerprint()
	case *idsOnly:
		h := sha256.New()
		for _, name := range slices.Sorted(maps.Keys(t.files)) {
			fmt.Fprintf(h, "%s %d\n%s", name, len(t.files[name]), t.files[name])
		}
		return fmt.Sprintf("%x", h.Sum(nil))
	case *bpe:
		if t.name == "gpt2" {
			return gpt2Fingerprint()
		}
		return t.fingerprint()
	}
	return tok.Name()
}

// SameTokenizer reports whether two tokenizers give the same ids.
func SameTokenizer(a, b Tokenizer) bool { return fingerprint(a) == fingerprint(b) }

// idsOnly is a tokenizer that this program cannot encode with: its ids are used as they are.
type idsOnly struct {
	name, reason string
	eot          int
	files        tokenizerFiles
}

func (t *idsOnly) Name() string           { return t.name }
func (t *idsOnly) VocabSize() int         { return 0 }
func (t *idsOnly) Encode(string) []int    { return nil }
func (t *idsOnly) EOT() (id int, ok bool) { return t.eot, t.eot >= 0 }

// Decode prints the ids themselves, each with a blank behind it.
func (t *idsOnly) Decode(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "%d ", id)
	}
	return b.String()
}

// TokenizerFiles returns the files that tok was read from, nil if it is known by its name.
func TokenizerFiles(tok Tokenizer) map[string][]byte {
	switch t := tok.(type) {
	case *bpe:
		return t.files
	case *idsOnly:
		return t.files
	}
	return nil
}

// TokenizerOfFiles returns the tokenizer of such files.
func TokenizerOfFiles(name string, files map[string][]byte) Tokenizer {
	return parseTokenizer(name, files)
}
