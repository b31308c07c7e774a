package data

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestGPT2TokenizerFiles holds the SHA-256 of the published files, which tiktoken pins as well.
func TestGPT2TokenizerFiles(t *testing.T) {
	tok, err := NewTokenizer("gpt2")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := WriteTokenizerFiles(dir, tok, 1024); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"vocab.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
		"merges.txt": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
	} {
		// of small files, the SHA-256
		if got, err := Identify(filepath.Join(dir, name)); err != nil || got.Digest != want {
			t.Errorf("%s: SHA-256 %s, %v, want %s", name, got.Digest, err, want)
		}
	}
	checkTokenizerConfig(t, dir, "<|endoftext|>", 1024)
}

func TestByteTokenizerFiles(t *testing.T) {
	tok, err := NewTokenizer("bytes")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := WriteTokenizerFiles(dir, tok, 24); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "vocab.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vocab map[string]int
	if err := json.Unmarshal(raw, &vocab); err != nil || len(vocab) != 256 {
		t.Fatalf("%d tokens, %v", len(vocab), err)
	}
	for text, id := range map[string]int{"a": 'a', "Ġ": ' ', "Ċ": '\n', `"`: '"', `\`: '\\', "ÿ": 255, "ł": 160,
		"Ń": 173} {
		if vocab[text] != id {
			t.Errorf("%q is %d, want %d", text, vocab[text], id)
		}
	}
	if merges, err := os.ReadFile(filepath.Join(dir, "merges.txt")); err != nil || string(merges) != "#version: 0.2\n" {
		t.Errorf("merges %q, %v", merges, err)
	}
	checkTokenizerConfig(t, dir, "", 24)

}

func checkTokenizerConfig(t *testing.T, dir, special string, context int) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Class string `json:"tokenizer_class"`
		EOS   string `json:"eos_token"`
		Max   int    `json:"model_max_length"`
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.Class != "GPT2Tokenizer" || c.EOS != special ||
		c.Max != context {
		t.Errorf("tokenizer_config.json: %+v, %v", c, err)
	}
}
