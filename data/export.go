package data

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
)

// WriteTokenizerFiles writes a tokenizer's files for Hugging Face's transformers into dir: vocab.json, merges.txt and
// tokenizer_config.json. Those of gpt2 are the published ones, byte for byte. bytes is a GPT2Tokenizer too, one without
// merges, in which a byte's id is the byte. A tokenizer that was read from files has these, unchanged; an unknown one
// has none. context is the model's, in tokens. Errors: those of the operating system.
func WriteTokenizerFiles(dir string, tok Tokenizer, context int) error {
	files, err := filesOf(tok, context)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := atomicfile.Write(filepath.Join(dir, name), content); err != nil {
			return fmt.Errorf("tokenizer files: %w; hint: check the disk's free space and the directory's permissions",
				err)
		}
	}
	return nil
}

func filesOf(tok Tokenizer, context int) (tokenizerFiles, error) {
	if own := TokenizerFiles(tok); own != nil || TextError(tok) != nil {
		return own, nil
	}
	files := tokenizerFiles{"vocab.json": vocabJSON(byteTokens), "merges.txt": []byte(mergesHead)}
	special := "null"
	if tok.Name() == "gpt2" {
		own, err := gpt2Files()
		if err != nil {
			return nil, err
		}
		maps.Copy(files, own)
		special = `"<|endoftext|>"`
	}
	files[tokenizerConfigFile] = fmt.Appendf(nil, `{
  "add_prefix_space": false,
  "bos_token": %s,
  "clean_up_tokenization_spaces": false,
  "eos_token": %s,
  "model_max_length": %d,
  "tokenizer_class": "GPT2Tokenizer",
  "unk_token": %s
}
`, special, special, context, special)
	return files, nil
}

const mergesHead = "#version: 0.2\n"

// gpt2Files are vocab.json and merges.txt as OpenAI published them.
var gpt2Files = sync.OnceValues(func() (tokenizerFiles, error) {
	t, err := loadGPT2()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(mergesHead)
	for _, p := range t.mergesByRank() {
		b.WriteString(printable(t.tokens[p>>16]) + " " + printable(t.tokens[p&0xffff]) + "\n")
	}
	return tokenizerFiles{"vocab.json": vocabJSON(t.tokens), "merges.txt": b.Bytes()}, nil
})

// byteTokens are the tokens of the tokenizer bytes.
var byteTokens = func() (tokens []string) {
	for b := range 256 {
		tokens = append(tokens, string([]byte{byte(b)}))
	}
	return tokens
}()

// vocabJSON is a token's text to its id, in the order of ids, as Python's json.dump writes it. Printable texts have no
// control characters, so Go quotes them as JSON does. <|endoftext|> is printed as it is, since it has no blanks.
func vocabJSON(tokens []string) []byte {
	entries := make([]string, len(tokens))
	for id, s := range tokens {
		entries[id] = strconv.QuoteToASCII(printable(s)) + ": " + strconv.Itoa(id)
	}
	return []byte("{" + strings.Join(entries, ", ") + "}")
}

// printable writes bytes as GPT-2's files do: a byte that Latin-1 prints is that character, the n-th other one is
// U+0100+n.
func printable(s string) string {
	out := make([]rune, len(s))
	for i := range len(s) {
		out[i] = printableByte[s[i]]
	}
	return string(out)
}

// printableByte and byteOfPrintable are that character of a byte, and the byte of a character.
var printableByte, byteOfPrintable = func() (t [256]rune, back map[rune]byte) {
	back = map[rune]byte{}
	others := rune(0)
	for b := range t {
		t[b] = rune(b)
		if b < '!' || b > '~' && b < 0xa1 || b == 0xad {
			t[b] = 0x100 + others
			others++
		}
		back[t[b]] = byte(b)
	}
	return t, back
}()
