package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// foreignModel writes a small model with a tokenizer of its own, one of Hugging Face's, and ids of its own.
func foreignModel(t *testing.T) (dir string, files map[string][]byte) {
	t.Helper()
	dir, files = filepath.Join(t.TempDir(), "own"), map[string][]byte{}
	w := gpt2.Init(gpt2.Config{NLayer: 1, NHead: 2, NEmbd: 8, BlockSize: 16, VocabSize: 508}, 3)
	ids := map[string]any{"bos_token_id": 3, "eos_token_id": []int{4, 507}, "pad_token_id": 507}
	if err := gpt2.WriteDir(dir, w.Config, w.Tensor, ids); err != nil {
		t.Fatal(err)
	}
	fixture := filepath.Join("..", "..", "data", "testdata", "tokenizers", "added")
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		raw, err := os.ReadFile(filepath.Join(fixture, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = raw
	}
	files[gpt2.GenerationFile] = []byte(`{"bos_token_id": 3, "eos_token_id": [4, 507], "temperature": 0.7}`)
	for name, raw := range files {
		writeFile(t, filepath.Join(dir, name), string(raw))
	}
	return dir, files
}

// wantForeign checks that a directory holds a model's files unchanged, and its ids.
func wantForeign(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s/%s is not the model's, %v", dir, name, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		BOS int   `json:"bos_token_id"`
		EOS []int `json:"eos_token_id"`
		Pad int   `json:"pad_token_id"`
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.BOS != 3 || !slices.Equal(c.EOS, []int{4, 507}) || c.Pad != 507 {
		t.Errorf("%s: ids %+v, %v", dir, c, err)
	}
}

// TestForeignModel: a model with a tokenizer of its own is sampled, evaluated, trained, resumed and exported with it.
func TestForeignModel(t *testing.T) {
	gputest.Available(t)
	own, files := foreignModel(t)
	dir := t.TempDir()

	code, stdout, stderr := cli(t, append([]string{"sample", "--model", own, "--prompt", "user <|user|> x<pad>", "-n",
		"1", "--max-tokens", "2", "--json"}, device()...)...)
	if code != 0 || !strings.HasPrefix(stdout, `{"prompt_ids":[502,221,503,221,88,507],`) {
		t.Errorf("sample: code %d, %s %s", code, stdout, stderr)
	}
	out := filepath.Join(dir, "out")
	export(t, "--model", own, "--out", out)
	wantForeign(t, out, files)

	run := filepath.Join(dir, "run")
	args := append([]string{"train", "-q", "--init", own, "--data", "sample", "--batch-size", "1", "--seq-len", "16",
		"--out", run, "--sample-every", "0", "--save-every", "1"}, device()...)
	wantFailure(t, exitFailed, append(args, "--steps", "1", "--tokenizer", "gpt2"), "--tokenizer is gpt2", own,
		"leave --tokenizer out")
	if code, _, stderr := cli(t, append(args, "--steps", "1")...); code != 0 {
		t.Fatalf("train: code %d: %s", code, stderr)
	}
	wantForeign(t, filepath.Join(run, "checkpoints", "step-000001"), files)
	if err := os.Rename(own, own+".moved"); err != nil {
		t.Fatal(err)
	}
	resume := append([]string{"train", "-q", "--out", run, "--resume", "--steps", "2"}, device()...)
	wantFailure(t, exitFailed, append(resume, "--tokenizer", "gpt2"), "--tokenizer is gpt2", "leave the flag out")
	if code, _, stderr := cli(t, append(resume, "--tokenizer", own+".moved")...); code != 0 {
		t.Fatalf("resume: code %d: %s", code, stderr)
	}
	wantForeign(t, filepath.Join(run, "checkpoints", "step-000002"), files)

	text := writeFile(t, filepath.Join(dir, "text.txt"), strings.Repeat("The king is here. ", 400))
	for tok, code := range map[string]int{run + "/checkpoints/step-000002": 0, "gpt2": exitFailed} {
		shards := filepath.Join(dir, "shards-"+filepath.Base(tok))
		if code, _, stderr := cli(t, "data", "tokenize", text, "--tokenizer", tok, "--out", shards); code != 0 {
			t.Fatalf("data tokenize --tokenizer %s: %s", tok, stderr)
		}
		got, _, stderr := cli(t, append([]string{"eval", "--model", run, "--data", shards, "--val-steps", "1",
			"--batch-size", "1"}, device()...)...)
		if got != code || code != 0 && !strings.Contains(stderr, "make shards of the text with gpt2wgpu data "+
			"tokenize --tokenizer "+run) {
			t.Errorf("eval on shards of %s: code %d: %s", tok, got, stderr)
		}
	}
}

// TestModelWithoutTokenizer: a vocabulary that nothing explains is used by ids; text is refused.
func TestModelWithoutTokenizer(t *testing.T) {
	gputest.Available(t)
	dir := t.TempDir()
	bare, out := filepath.Join(dir, "bare"), filepath.Join(dir, "out")
	w := gpt2.Init(gpt2.Config{NLayer: 1, NHead: 2, NEmbd: 8, BlockSize: 16, VocabSize: 3000}, 3)
	if err := gpt2.WriteDir(bare, w.Config, w.Tensor, nil); err != nil {
		t.Fatal(err)
	}
	sample := append([]string{"sample", "--model", bare, "-n", "1", "--max-tokens", "2", "--json"}, device()...)
	wantFailure(t, exitUsage, append(sample, "--prompt", "The king"), "no text can be encoded", "bare", "3000",
		"--prompt-ids")
	if code, stdout, stderr := cli(t, append(sample, "--prompt-ids", "5,6")...); code != 0 || !strings.HasPrefix(stdout,
		`{"prompt_ids":[5,6],`) {
		t.Errorf("--prompt-ids: code %d: %s %s", code, stdout, stderr)
	}
	wantFailure(t, exitFailed, []string{"eval", "--model", bare, "--data", "sample"}, "no text can be encoded")
	train := append([]string{"train", "-q", "--init", bare, "--steps", "1", "--batch-size", "1", "--seq-len", "16",
		"--out", filepath.Join(dir, "run"), "--sample-every", "0"}, device()...)
	wantFailure(t, exitFailed, append(train, "--data", "sample"), "no text can be encoded")
	if stderr := export(t, "--model", bare, "--out", out); !strings.Contains(stderr, "no tokenizer files") {
		t.Errorf("export says nothing of the tokenizer: %s", stderr)
	}
	if all := names(t, out); slices.Contains(all, "vocab.json") {
		t.Errorf("export invents a tokenizer: %v", all)
	}
	text := writeFile(t, filepath.Join(dir, "text.txt"), strings.Repeat("The king is here. ", 400))
	shards := filepath.Join(dir, "shards")
	if code, _, stderr := cli(t, "data", "tokenize", text, "--tokenizer", "bytes", "--out", shards); code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := cli(t, append(train, "--data", shards)...); code != 0 {
		t.Errorf("shards by ids: code %d: %s", code, stderr)
	}
}

// TestTokenizerOfShards: shards bring their tokenizer, and the vocabulary follows, unless flags say otherwise.
func TestTokenizerOfShards(t *testing.T) {
	dir := t.TempDir()
	text := writeFile(t, filepath.Join(dir, "text.txt"), strings.Repeat("The king is here. ", 400))
	added := filepath.Join("..", "..", "data", "testdata", "tokenizers", "added")
	for _, tok := range []string{"gpt2", "bytes", added} {
		if code, _, stderr := cli(t, "data", "tokenize", text, "--tokenizer", tok, "--out",
			filepath.Join(dir, filepath.Base(tok))); code != 0 {
			t.Fatal(stderr)
		}
	}
	of := func(tok string) string { return filepath.Join(dir, tok) }
	for _, x := range []struct {
		args  []string
		tok   string
		vocab int
	}{
		{[]string{"--data", of("gpt2")}, "gpt2", 50257},
		{[]string{"--data", of("bytes")}, "bytes", 256},
		{[]string{"--data", of("added")}, filepath.Join(of("added"), "text.tokenizer"), 508},
		{[]string{"--data", of("gpt2"), "--vocab-size", "50304"}, "gpt2", 50304},
		{[]string{"--data", of("gpt2"), "--tokenizer", "bytes"}, "bytes", 256},
		{[]string{"--data", of("bytes"), "--preset", "gpt2-124m"}, "bytes", 50304},
		{[]string{"--data", of("added"), "--preset", "gpt2-124m"}, filepath.Join(of("added"), "text.tokenizer"), 508},
		{[]string{"--tokenizer", added}, added, 508},
		{[]string{"--tokenizer", filepath.Join(added, "tokenizer.json")}, added, 508},
		{[]string{"--data", "fineweb-edu"}, "gpt2", 50257},
	} {
		if c := settle(t, x.args...); c.Tokenizer != x.tok || c.VocabSize != x.vocab {
			t.Errorf("%q: %s of %d ids, want %s of %d", x.args, c.Tokenizer, c.VocabSize, x.tok, x.vocab)
		}
	}
	tiny := []string{"train", "-q", "--steps", "1", "--out", filepath.Join(dir, "run")}
	wantFailure(t, exitFailed, append(tiny, "--data", of("gpt2"), "--tokenizer", "bytes"), "made with the tokenizer "+
		"gpt2", "text.tokenize.json", "hint: --tokenizer gpt2")
	wantFailure(t, exitFailed, append(tiny, "--data", of("bytes"), "--tokenizer", "gpt2"), "made with the tokenizer "+
		"bytes", "hint: --tokenizer bytes")
}
