package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data"
)

func TestDataUsage(t *testing.T) {
	wantFlags(t, "data", "shards out format shard-tokens val-tokens tokenizer separator json")
	for _, x := range []struct {
		args  []string
		words []string
	}{
		{[]string{"data"}, []string{"fetch, tokenize or info"}},
		{[]string{"data", "tokenise"}, []string{`"tokenise"`, "did you mean tokenize?"}},
		{[]string{"data", "fetch"}, []string{"one name", "shakespeare"}},
		{[]string{"data", "fetch", "imagenet"}, []string{`"imagenet"`, "shakespeare"}},
		{[]string{"data", "fetch", "shakespeare", "--shards", "3"}, []string{"--shards", "fineweb-edu"}},
		{[]string{"data", "fetch", "shakespeare", "--out", "x"}, []string{"--out is not a flag of data fetch",
			"data tokenize"}},
		{[]string{"data", "tokenize", "x.txt"}, []string{"--out is missing"}},
		{[]string{"data", "tokenize", "--out", "x"}, []string{"got none"}},
		{[]string{"data", "tokenize", "x.txt", "--out", "x", "--format", "csv"}, []string{"--format", "npy, bin"}},
		{[]string{"data", "tokenize", "x.txt", "--out", "x", "--shard-tokens", "0"}, []string{"--shard-tokens is 0"}},
		{[]string{"data", "tokenize", "x.txt", "--out", "x", "--tokenizer", "words"}, []string{"--tokenizer"}},
		{[]string{"data", "info"}, []string{"got none"}},
	} {
		wantFailure(t, exitUsage, x.args, x.words...)
	}
	wantFailure(t, exitFailed, []string{"data", "tokenize", "no/such.txt", "--out", t.TempDir()}, "no/such.txt")
	wantFailure(t, exitFailed, []string{"data", "info", "no/such.npy"}, "no/such.npy")
}

// TestDataSession makes shards in both formats and looks at them.
func TestDataSession(t *testing.T) {
	dir := t.TempDir()
	in := writeFile(t, filepath.Join(dir, "two.jsonl"), `{"text": "Hello, I'm a language model,"}`+"\n"+
		`{"text": "and so am I."}`+"\n")
	for format, kind := range map[string]string{"npy": "npy", "bin": "llm.c"} {
		out := filepath.Join(dir, format)
		code, stdout, stderr := cli(t, "data", "tokenize", in, "--out", out, "--format", format, "--shard-tokens", "9",
			"--val-tokens", "4")
		shards := strings.Fields(stdout)
		if code != 0 || len(shards) != 3 || !strings.Contains(stderr, "15 tokens, 4 of them for validation, of 2 "+
			"documents in 3 shards") {
			t.Fatalf("code %d, %q, %s", code, stdout, stderr)
		}
		if _, again, stderr := cli(t, "data", "tokenize", in, "--out", out, "--format", format, "--shard-tokens", "9",
			"--val-tokens", "4"); again != stdout || !strings.Contains(stderr, "3 of which were there") {
			t.Errorf("the same again: %q, %s", again, stderr)
		}
		code, stdout, stderr = cli(t, append([]string{"data", "info", "--json"}, shards...)...)
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		if code != 0 || len(lines) != 3 {
			t.Fatalf("code %d, %q, %s", code, stdout, stderr)
		}
		var first data.ShardInfo
		if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first.Format != kind || first.Tokens != 4 ||
			first.Text != "<|endoftext|>Hello, I" {
			t.Errorf("%+v, %v", first, err)
		}
		if _, stdout, _ = cli(t, "data", "info", shards[0], shards[1]); !strings.Contains(stdout,
			`"<|endoftext|>Hello, I"`) || !strings.Contains(stdout, "50256 15496 11 314\n") {
			t.Errorf("%s", stdout)
		}
	}
}

// TestDataFetch takes weights from a local hub: the path is the result, and then no network is needed.
func TestDataFetch(t *testing.T) {
	asked := hub(t)
	code, first, stderr := cli(t, "data", "fetch", "gpt2")
	if code != 0 || !strings.HasSuffix(first, filepath.Join("gpt2wgpu", "gpt2")+"\n") {
		t.Fatalf("code %d, %q, %s", code, first, stderr)
	}
	before := *asked
	if code, again, _ := cli(t, "data", "fetch", "gpt2"); code != 0 || again != first || *asked != before {
		t.Errorf("again: code %d, %q, %d requests more", code, again, *asked-before)
	}
}
