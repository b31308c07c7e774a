package data

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"unicode/utf16"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
)

// WriteTokenizerFiles writes a tokenizer's files for Hugging Face's transformers into dir: vocab.json, merges.txt and
// tokenizer_config.json. Those of gpt2 are the published ones, byte for byte. bytes is a GPT2Tokenizer too, one without
// merges, in which a byte's id is the byte. context is the model's, in tokens. Errors: another tokenizer, and those of
// the operating system.
func WriteTokenizerFiles(dir string, tok Tokenizer, context int) error {
	var vocab, merges []byte
	special := "null"
	switch t := tok.(type) {
	case *gpt2Tokenizer:
		var err error
		if vocab, merges, err = t.files(); err != nil {
			return err
		}
		special = `"<|endoftext|>"`
	case byteTokenizer:
		ids := make([]string, 256)
		for b := range ids {
			ids[b] = string([]byte{byte(b)})
		}
		vocab, merges = vocabJSON(ids), []byte(mergesHead)
	default:
		return fmt.Errorf("tokenizer %s: no files for it; hint: gpt2 or bytes", tok.Name())
	}
	config := fmt.Sprintf(`{
  "add_prefix_space": false,
  "bos_token": %s,
  "clean_up_tokenization_spaces": false,
  "eos_token": %s,
  "model_max_length": %d,
  "tokenizer_class": "GPT2Tokenizer",
  "unk_token": %s
}
`, special, special, context, special)
	for name, content := range map[string][]byte{"vocab.json": vocab, "merges.txt": merges, "tokenizer_config.json": []byte(config)} {
		if err := atomicfile.Write(filepath.Join(dir, name), content); err != nil {
			return fmt.Errorf("tokenizer files: %w; hint: check the disk's free space and the directory's permissions", err)
		}
	}
	return nil
}

const mergesHead = "#version: 0.2\n"

// files returns vocab.json and merges.txt. A token's merge is that of the two parts which the merges before it leave of its
// bytes: ids are in the order of the merges.
func (t *gpt2Tokenizer) files() (vocab, merges []byte, err error) {
	tokens := make([]string, gpt2Vocab)
	for s, id := range t.ranks {
		tokens[id] = s
	}
	var b bytes.Buffer
	b.WriteString(mergesHead)
	for id, s := range tokens[:gpt2EOT] {
		if len(s) == 1 {
			continue
		}
		parts := t.partsBefore(s, id)
		if len(parts) != 2 {
			return nil, nil, fmt.Errorf("tokenizer gpt2: embedded ranks: token %d falls into %d parts, want 2; hint: this build is damaged, build it again", id, len(parts))
		}
		b.WriteString(printable(parts[0]) + " " + printable(parts[1]) + "\n")
	}
	return vocabJSON(tokens), b.Bytes(), nil
}

// partsBefore merges the bytes of s as encoding does, with the merges of ranks below rank alone.
func (t *gpt2Tokenizer) partsBefore(s string, rank int) []string {
	parts := make([]string, len(s))
	for i := range parts {
		parts[i] = s[i : i+1]
	}
	for {
		best, least := -1, rank
		for i := 0; i+1 < len(parts); i++ {
			if r, ok := t.ranks[parts[i]+parts[i+1]]; ok && r < least {
				best, least = i, r
			}
		}
		if best < 0 {
			return parts
		}
		parts = append(parts[:best], append([]string{parts[best] + parts[best+1]}, parts[best+2:]...)...)
	}
}

// vocabJSON is a token's text to its id, in the order of ids, as Python's json.dump writes it. The empty last token is
// <|endoftext|>.
func vocabJSON(tokens []string) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for id, s := range tokens {
		if id > 0 {
			b.WriteString(", ")
		}
		text := printable(s)
		if id == gpt2EOT {
			text = "<|endoftext|>"
		}
		b.WriteByte('"')
		for _, u := range utf16.Encode([]rune(text)) {
			switch {
			case u == '"' || u == '\\':
				b.WriteByte('\\')
				b.WriteByte(byte(u))
			case u < 0x7f:
				b.WriteByte(byte(u))
			default:
				fmt.Fprintf(&b, `\u%04x`, u)
			}
		}
		b.WriteString(`": ` + strconv.Itoa(id))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// printable writes bytes as GPT-2's files do: a byte that Latin-1 prints is that character, the n-th other one is U+0100+n.
func printable(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = printableByte[s[i]]
	}
	return string(out)
}

var printableByte = func() (t [256]rune) {
	others := rune(0)
	for b := range t {
		if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae {
			t[b] = rune(b)
			continue
		}
		t[b] = 0x100 + others
		others++
	}
	return
}()
