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
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// tokenizerFiles are a tokenizer's files by name, as Hugging Face's directories have them.
type tokenizerFiles map[string][]byte

// vocabularyFiles hold a vocabulary; otherTokenizerFiles describe how to use it.
var (
	vocabularyFiles = []string{"tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model",
		"spiece.model", "sentencepiece.bpe.model"}
	otherTokenizerFiles = []string{tokenizerConfigFile, "special_tokens_map.json", "added_tokens.json",
		"chat_template.jinja"}
)

const (
	tokenizerConfigFile = "tokenizer_config.json"
	maxTokenizerFile    = 40 << 20 // bytes; Gemma's, of 256,000 ids, has 34 million
	maxVocab            = 1 << 16  // ids are stored in two bytes
)

// readTokenizerFiles returns the tokenizer's files in a directory; none if no file there holds a vocabulary.
func readTokenizerFiles(dir string) (tokenizerFiles, error) {
	files := tokenizerFiles{}
	for _, list := range [][]string{vocabularyFiles, otherTokenizerFiles} {
		for _, name := range list {
			raw, err := readTokenizerFile(filepath.Join(dir, name))
			if err == nil {
				files[name] = raw
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		if len(files) == 0 {
			return nil, nil
		}
	}
	return files, nil
}

func readTokenizerFile(path string) ([]byte, error) {
	raw, err := plainfile.Read(path, maxTokenizerFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%w; hint: is this a tokenizer's file? check its permissions", err)
	}
	if bytes.HasPrefix(raw, []byte("version https://git-lfs")) {
		return nil, fmt.Errorf("%s: a Git LFS pointer, not the file itself; hint: git lfs pull in its directory", path)
	}
	return bytes.TrimPrefix(raw, []byte(byteOrderMark)), nil
}

// TokenizerOfFiles returns the tokenizer of these files: gpt2 or bytes where it is one of these, a byte-level BPE of
// its own, or one that only counts ids and reports the reason.
func TokenizerOfFiles(name string, files map[string][]byte) Tokenizer {
	t, err := newForeign(name, files)
	if err != nil {
		return &idsOnly{name: name, reason: err.Error(), files: files, eot: -1}
	}
	switch t.VocabSize() {
	case gpt2Vocab:
		if gpt2, err := loadGPT2(); err == nil && SameTokenizer(t, gpt2) {
			return gpt2
		}
	case 256:
		if SameTokenizer(t, byteTokenizer{}) {
			return byteTokenizer{}
		}
	}
	return t
}

// newForeign builds the byte-level BPE of these files. The error is why this program cannot encode text with them.
func newForeign(name string, files tokenizerFiles) (*bpe, error) {
	f := hfTokenizer{files: files, vocab: map[string]int{}, addedAt: map[string]int{}}
	if err := f.readConfig(); err != nil {
		return nil, err
	}
	var err error
	switch {
	case files["tokenizer.json"] != nil:
		err = f.readTokenizerJSON()
	case files["vocab.json"] != nil && files["merges.txt"] != nil:
		err = f.readVocabAndMerges()
	case files["vocab.json"] != nil:
		err = errors.New("vocab.json has no merges.txt beside it")
	case files["merges.txt"] != nil:
		err = errors.New("merges.txt has no vocab.json beside it")
	case files["vocab.txt"] != nil:
		err = errors.New("vocab.txt is a WordPiece vocabulary, want a byte-level BPE")
	default:
		err = errors.New("it is a SentencePiece model, want a byte-level BPE")
	}
	if err == nil {
		err = f.readAdded()
	}
	if err != nil {
		return nil, err
	}
	return f.build(name)
}

// hfTokenizer is a tokenizer being read.
type hfTokenizer struct {
	files       tokenizerFiles
	config      tokenizerConfig
	roles       map[string]json.RawMessage // of tokenizer_config.json, with what special_tokens_map.json adds
	gpt2Class   bool                       // GPT2Tokenizer is the class, or none is named
	model       bpeModel
	vocab       map[string]int
	merges      [][2]string
	prefixSpace bool
	unsplit     bool
	added       []addedToken
	addedAt     map[string]int // of a content in added
	eos         string
}

// tokenizerConfig is what this program reads of tokenizer_config.json, beside the special tokens by their roles.
type tokenizerConfig struct {
	Class       string                `json:"tokenizer_class"`
	AddBOS      bool                  `json:"add_bos_token"`
	AddEOS      bool                  `json:"add_eos_token"`
	PrefixSpace *bool                 `json:"add_prefix_space"`
	Added       map[string]addedToken `json:"added_tokens_decoder"` // by id
	Special     []json.RawMessage     `json:"additional_special_tokens"`
}

// tokenizerJSON is tokenizer.json, as Hugging Face's tokenizers save it.
type tokenizerJSON struct {
	Model         bpeModel     `json:"model"`
	Normalizer    *stage       `json:"normalizer"`
	PreTokenizer  stage        `json:"pre_tokenizer"`
	PostProcessor *stage       `json:"post_processor"`
	Added         []addedToken `json:"added_tokens"`
}

type bpeModel struct {
	Type         string          `json:"type"`
	Vocab        json.RawMessage `json:"vocab"`
	Merges       json.RawMessage `json:"merges"`
	Dropout      float64         `json:"dropout"`
	Prefix       string          `json:"continuing_subword_prefix"`
	Suffix       string          `json:"end_of_word_suffix"`
	Unknown      string          `json:"unk_token"`     // the token of a byte without one; "": it is left out
	FuseUnknown  bool            `json:"fuse_unk"`      // neighbours without a token become one unknown
	ByteFallback bool            `json:"byte_fallback"` // bytes without a token become <0x..>
	IgnoreMerges bool            `json:"ignore_merges"` // a piece that is a token is not merged
}

// stage is a normalizer, a pre_tokenizer or a post_processor. One of the type Sequence has others in it.
type stage struct {
	Type          string  `json:"type"`
	Normalizers   []stage `json:"normalizers"`
	PreTokenizers []stage `json:"pretokenizers"`
	Processors    []stage `json:"processors"`
	PrefixSpace   *bool   `json:"add_prefix_space"` // default true
	UseRegex      *bool   `json:"use_regex"`        // default true
	Pattern       struct {
		Regex string
	} `json:"pattern"`
	Behavior string `json:"behavior"`
	Invert   bool   `json:"invert"`
	Single   []struct {
		Sequence struct {
			ID string `json:"id"`
		}
	} `json:"single"`
}

// addsTokens reports whether a post_processor may put tokens around a text. transformers 5 saves GPT-2's tokenizer with
// a template that is the text and nothing else.
func (s stage) addsTokens() bool {
	switch s.Type {
	case "ByteLevel":
		return false
	case "TemplateProcessing":
		return len(s.Single) != 1 || s.Single[0].Sequence.ID != "A"
	case "Sequence":
		return slices.ContainsFunc(s.Processors, stage.addsTokens)
	}
	return true
}

// read decodes one of the files into v.
func (f *hfTokenizer) read(file string, v any) error {
	if err := exactjson.Unmarshal(f.files[file], v); err != nil {
		return fmt.Errorf("%s: bad JSON (%w)", file, err)
	}
	return nil
}

func (f *hfTokenizer) readConfig() error {
	f.roles = map[string]json.RawMessage{}
	for _, file := range []string{"special_tokens_map.json", tokenizerConfigFile} {
		if f.files[file] == nil {
			continue
		}
		var roles map[string]json.RawMessage
		if err := cmp.Or(f.read(file, &roles), f.read(file, &f.config)); err != nil {
			return err
		}
		maps.Copy(f.roles, roles)
	}
	if f.config.AddBOS || f.config.AddEOS {
		return errors.New("tokenizer_config.json: add_bos_token or add_eos_token, which adds a token to a text, is " +
			"not supported")
	}
	class := strings.TrimSuffix(f.config.Class, "Fast")
	f.gpt2Class = class == "" || class == "GPT2Tokenizer"
	return nil
}

func (f *hfTokenizer) readTokenizerJSON() error {
	const file = "tokenizer.json"
	var top tokenizerJSON
	if err := f.read(file, &top); err != nil {
		return err
	}
	unsupported := func(format string, args ...any) error {
		return fmt.Errorf(file+": "+format+" is not supported, only byte-level BPE is", args...)
	}
	m := top.Model
	f.model = m
	switch n, p := top.Normalizer, top.PostProcessor; {
	case m.Type != "BPE" && (m.Type != "" || m.Merges == nil):
		return unsupported("the model %q", m.Type)
	case m.Dropout != 0:
		return unsupported("a model with dropout, which makes ids random,")
	case m.Prefix != "" || m.Suffix != "":
		return unsupported("a model with continuing_subword_prefix or end_of_word_suffix")
	case n != nil && !(n.Type == "Sequence" && len(n.Normalizers) == 0):
		return unsupported("the normalizer %q", n.Type)
	case p != nil && p.addsTokens():
		return unsupported("the post_processor %q, which adds tokens around a text,", p.Type)
	}
	if err := f.readSplit(top.PreTokenizer); err != nil {
		return unsupported("%w", err)
	}
	if err := f.readVocab(file, m.Vocab); err != nil {
		return err
	}
	var merges []json.RawMessage
	if err := exactjson.Unmarshal(m.Merges, &merges); err != nil {
		return fmt.Errorf("%s: bad merges (%w)", file, err)
	}
	for i, raw := range merges {
		var pair []string
		var line string
		if json.Unmarshal(raw, &line) == nil {
			pair = strings.Split(line, " ")
		} else {
			json.Unmarshal(raw, &pair) // else it has no two tokens
		}
		if len(pair) != 2 {
			return fmt.Errorf("%s: merge %d is %.80s, want two tokens", file, i, exactjson.OneLine(raw))
		}
		f.merges = append(f.merges, [2]string(pair))
	}
	for _, t := range top.Added {
		if t.ID == nil {
			return fmt.Errorf("%s: the added token %.40q has no id", file, t.Content)
		}
		if err := f.addAt(file, t, *t.ID); err != nil {
			return err
		}
	}
	return nil
}

// gpt2Patterns are GPT-2's pattern and its spelling in Hugging Face's tokenizers, whose matches are the same.
var gpt2Patterns = []string{gpt2Pattern, `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`}

// readSplit reads how a text falls into pieces: by ByteLevel, or by a Split with GPT-2's pattern before it. The error
// is what it has instead.
func (f *hfTokenizer) readSplit(p stage) error {
	stages := []stage{p}
	if p.Type == "Sequence" {
		stages = p.PreTokenizers
	}
	split := len(stages) == 2 && stages[0].Type == "Split"
	if split {
		s := stages[0]
		if !slices.Contains(gpt2Patterns, s.Pattern.Regex) || strings.ToLower(s.Behavior) != "isolated" || s.Invert {
			return errors.New("a pattern that is not GPT-2's")
		}
		stages = stages[1:]
	}
	if len(stages) == 0 || stages[0].Type == "" {
		return errors.New("a file without pre_tokenizer")
	}
	for _, s := range stages {
		if s.Type != "ByteLevel" || len(stages) > 1 {
			return fmt.Errorf("the pre_tokenizer %q", s.Type)
		}
	}
	useRegex := stages[0].UseRegex == nil || *stages[0].UseRegex
	f.prefixSpace = stages[0].PrefixSpace == nil || *stages[0].PrefixSpace
	f.unsplit = !useRegex && !split
	if split && (f.prefixSpace || useRegex) {
		return errors.New("a Split before a ByteLevel with use_regex or add_prefix_space")
	}
	return nil
}

func (f *hfTokenizer) readVocab(file string, raw []byte) error {
	err := exactjson.Unmarshal(raw, &f.vocab)
	if err == nil && len(f.vocab) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return fmt.Errorf("%s: no vocabulary of tokens and their ids (%w)", file, err)
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
		return fmt.Errorf("%s: %.40q has the id %d, want 0 to %d: tokens are stored in two bytes", file, token, id,
			maxVocab-1)
	}
	return nil
}

// readVocabAndMerges reads the two files of GPT2Tokenizer.
func (f *hfTokenizer) readVocabAndMerges() error {
	if !f.gpt2Class {
		return fmt.Errorf("tokenizer_config.json: tokenizer_class %q, want GPT2Tokenizer beside a vocab.json",
			f.config.Class)
	}
	if err := f.readVocab("vocab.json", f.files["vocab.json"]); err != nil {
		return err
	}
	for i, line := range strings.Split(string(f.files["merges.txt"]), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if line == "" || strings.HasPrefix(line, "#version") {
			continue
		}
		pair := strings.Split(line, " ")
		if len(pair) != 2 {
			return fmt.Errorf("merges.txt: line %d is %.80q, want two tokens", i+1, line)
		}
		f.merges = append(f.merges, [2]string(pair))
	}
	return nil
}

// roles are the special tokens that a tokenizer_config.json names, in the order in which transformers adds them.
var roles = []string{"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}

// readAdded completes the added tokens as transformers does: from tokenizer_config.json, added_tokens.json and the
// special tokens by their roles.
func (f *hfTokenizer) readAdded() error {
	if asked := f.config.PrefixSpace; asked != nil {
		if *asked != f.prefixSpace && !f.gpt2Class { // transformers 4 and 5 differ
			return fmt.Errorf("tokenizer_config.json: add_prefix_space is %v, tokenizer.json has %v", *asked,
				f.prefixSpace)
		}
		f.prefixSpace = *asked
	}
	file, byID := tokenizerConfigFile, map[int]addedToken{}
	for key, t := range f.config.Added {
		id, err := strconv.Atoi(key)
		if err != nil {
			return fmt.Errorf("%s: %.40q is not the id of an added token", file, key)
		}
		byID[id] = t
	}
	if f.config.Added == nil && f.files["added_tokens.json"] != nil {
		file = "added_tokens.json"
		var ids map[string]int
		if err := f.read(file, &ids); err != nil {
			return err
		}
		for s, id := range ids {
			byID[id] = addedToken{Content: s}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		if err := f.addAt(file, byID[id], id); err != nil {
			return err
		}
	}
	for _, role := range roles {
		if err := f.addRole(role, f.roles[role]); err != nil {
			return err
		}
	}
	for _, raw := range f.config.Special {
		if err := f.addRole("additional_special_tokens", raw); err != nil {
			return err
		}
	}
	return nil
}

// addRole adds the special token of a role: a text, or an object with the token's flags.
func (f *hfTokenizer) addRole(role string, raw json.RawMessage) error {
	t := addedToken{}
	var err error
	switch exactjson.Kind(raw) {
	case "nothing": // GPT2Tokenizer's default for the first three
		_, has := f.vocab[endOfText]
		if (has || f.find(endOfText) != nil) && f.gpt2Class && slices.Contains(roles[:3], role) {
			t.Content = endOfText
		}
	case "a string":
		err = exactjson.Unmarshal(raw, &t.Content)
	case "an object":
		err = exactjson.Unmarshal(raw, &t)
	case "null":
	default:
		err = errors.New("want a token")
	}
	if err != nil {
		return fmt.Errorf("tokenizer_config.json: %s is %.80s: %w", role, exactjson.OneLine(raw), err)
	}
	if t.Content == "" {
		return nil
	}
	if role == "eos_token" {
		f.eos = t.Content
	}
	if old := f.find(t.Content); old != nil {
		old.Special = true
		return nil
	}
	t.Special = true
	return f.addAt(tokenizerConfigFile, t, f.nextID(t.Content))
}

func (f *hfTokenizer) find(content string) *addedToken {
	if i, ok := f.addedAt[content]; ok {
		return &f.added[i]
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
		next = max(next, *t.ID+1)
	}
	return next
}

// addAt adds a token under an id. A token that exists already keeps its flags.
func (f *hfTokenizer) addAt(file string, t addedToken, id int) error {
	if t.Content == "" {
		return fmt.Errorf("%s: the added token %d has no content", file, id)
	}
	if err := checkID(file, t.Content, id); err != nil {
		return err
	}
	has, ok := f.vocab[t.Content]
	old := f.find(t.Content)
	if old != nil {
		has, ok = *old.ID, true
	}
	if ok && has != id {
		return fmt.Errorf("%s: the added token %.40q has the id %d here and %d elsewhere", file, t.Content, id, has)
	}
	if old == nil {
		if t.ID = &id; t.Normalized == nil {
			normalized := !t.Special
			t.Normalized = &normalized
		}
		f.addedAt[t.Content] = len(f.added)
		f.added = append(f.added, t)
	}
	return nil
}

// build makes the encoding of what was read.
func (f *hfTokenizer) build(name string) (*bpe, error) {
	size := 0
	for _, id := range f.vocab {
		size = max(size, id+1)
	}
	for _, t := range f.added {
		size = max(size, *t.ID+1)
	}
	tokens := make([]string, size)
	printed := make(map[string]int, len(f.vocab)) // tokens of bytes: bytes to id
	for s, id := range f.vocab {
		tokens[id] = s // of one that isn't printed bytes the text itself, as in Hugging Face's library
		if raw, ok := unprintable(s); ok {
			tokens[id], printed[raw] = raw, id
		}
	}
	m := f.model
	unknown, known := f.vocab[m.Unknown]
	if m.Unknown == "" || !known {
		unknown = -1
	}
	missing := false
	t := newBPE(name, tokens, func(b byte) int {
		if id, ok := printed[string([]byte{b})]; ok {
			return id
		}
		missing = true
		return unknown
	})
	switch {
	case !missing:
	case m.ByteFallback:
		return nil, errors.New("tokenizer.json: byte_fallback is not supported")
	case m.FuseUnknown && m.Unknown != "":
		return nil, errors.New("tokenizer.json: fuse_unk is not supported")
	case m.Unknown != "" && !known:
		return nil, fmt.Errorf("tokenizer.json: the vocabulary has no unk_token %.40q", m.Unknown)
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
	var scratch merger
	for s, id := range printed {
		if m.IgnoreMerges {
			t.addWhole(s, id)
		} else if !t.gaps {
			if parts := t.mergeBytes(nil, s, &scratch); len(parts) == 1 && int(parts[0]) == id {
				t.addWhole(s, id)
			}
		}
	}
	for _, a := range f.added {
		tokens[*a.ID] = a.Content
	}
	t.added = newAddedTokens(f.added)
	t.special = t.added
	t.prefixSpace, t.unsplit, t.files = f.prefixSpace, f.unsplit, f.files
	eos := cmp.Or(f.eos, endOfText)
	if a := f.find(eos); a != nil {
		t.eot = *a.ID
	} else if id, ok := f.vocab[eos]; ok {
		t.eot = id
	}
	return t, nil
}

// unprintable is the inverse of printable; ok is false if a character of s does not stand for a byte.
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

// fingerprint identifies an encoding: two tokenizers with the same fingerprint give the same ids.
func (t *bpe) fingerprint() string {
	h := sha256.New()
	write := func(format string, args ...any) { fmt.Fprintf(h, format, args...) }
	for id, s := range t.tokens {
		write("%d %q\n", id, s)
	}
	for _, k := range t.mergesByRank() { // ranks may have gaps, their order is what counts
		binary.Write(h, binary.LittleEndian, [2]uint32{k, uint32(t.merges[k].id)})
	}
	byID := func(a, b addedToken) int { return cmp.Compare(*a.ID, *b.ID) }
	for _, a := range slices.SortedFunc(slices.Values(t.special.all), byID) {
		// normalized and special change no id of a tokenizer without normalizer
		write("{content:%s id:%d singleWord:%v lstrip:%v rstrip:%v normalized:false special:false}\n", a.Content,
			*a.ID, a.SingleWord, a.LStrip, a.RStrip)
	}
	write("%v %v %v", t.prefixSpace, t.unsplit, t.ofByte)
	return fmt.Sprintf("%x", h.Sum(nil))
}

var (
	gpt2Fingerprint = sync.OnceValue(func() string {
		t, err := loadGPT2()
		if err != nil {
			return ""
		}
		return t.fingerprint()
	})
	// of the tokenizer bytes, as the files that it writes describe it
	bytesFingerprint = sync.OnceValue(func() string {
		return newBPE("bytes", byteTokens, func(b byte) int { return int(b) }).fingerprint()
	})
)

func fingerprint(tok Tokenizer) string {
	switch t := tok.(type) {
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
	return bytesFingerprint()
}

// SameTokenizer reports whether two tokenizers give the same ids.
func SameTokenizer(a, b Tokenizer) bool { return fingerprint(a) == fingerprint(b) }

// idsOnly is a tokenizer that this program cannot encode text with: its ids are used as they are.
type idsOnly struct {
	name, reason string
	eot          int
	files        tokenizerFiles
}

func (t *idsOnly) Name() string           { return t.name }
func (t *idsOnly) VocabSize() int         { return 0 }
func (t *idsOnly) Encode(string) []int    { return nil }
func (t *idsOnly) EOT() (id int, ok bool) { return t.eot, t.eot >= 0 }

func (t *idsOnly) appendPart(dst []uint16, _ string, _ bool) []uint16 { return dst }

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
