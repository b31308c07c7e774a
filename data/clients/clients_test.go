// Package clients_test holds our files against the libraries that others use: what we write they read, and what they
// write we read, token for token. `make test-clients` brings those libraries and runs it.
package clients_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// texts are awkward for tokenizers.
var texts = []string{
	"", " ", "Hello, I'm a language model,", "  two  blanks  ", "don't they'll we've I'd it's 'tis", "\n\n\n x\n",
	"12345 678 9.10",
	"naïve café — 你好 😀👩‍👩‍👧 ﷽",
	"a\tb\r\nc", strings.Repeat("a", 300), "MARROW:\nHere is the soup.\n\nKING:\nMore.",
	"\u3000\u00a0x",
	"one<|endoftext|>two <|endoftext|>",
}

// client runs an action of client.py and decodes what it prints.
func client(t *testing.T, stdin any, result any, args ...string) {
	t.Helper()
	in, err := json.Marshal(stdin)
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(python(t), append([]string{"client.py"}, args...)...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	cmd.Env = append(os.Environ(), "TRANSFORMERS_VERBOSITY=error", "HF_HUB_OFFLINE=1", "PYTHONUTF8=1")
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, result)
	}
	if err != nil {
		t.Fatalf("client.py %q: %v\n%s", args, err, &stderr)
	}
}

func python(t *testing.T) string {
	t.Helper()
	p := os.Getenv("GPT2WGPU_CLIENTS")
	if p == "" {
		t.Skip("GPT2WGPU_CLIENTS names no Python with the libraries of requirements.txt; hint: make test-clients")
	}
	return p
}

var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// build returns the program, built once.
func build(t *testing.T) string {
	t.Helper()
	needs.Programs(t, "go")
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "gpt2wgpu-clients"); built.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-o", built.dir, "../../cmd/gpt2wgpu").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "gpt2wgpu")
}

// program runs ours and returns what it prints.
func program(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(build(t), args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("gpt2wgpu %q: %v\n%s", args, err, &stderr)
	}
	return stdout.String()
}

// trained returns the run directory of one step of a small model.
func trained(t *testing.T, args ...string) string {
	t.Helper()
	gputest.Available(t)
	out := filepath.Join(t.TempDir(), "run")
	all := strings.Fields("train --steps 1 --warmup-steps 0 --batch-size 1 --seq-len 16 --sample-every 0 -q")
	if d := os.Getenv("GPT2WGPU_DEVICE"); d != "" {
		all = append(all, "--device", d)
	}
	program(t, append(append(all, "--out", out), args...)...)
	return out
}

// view is what transformers makes of a directory.
type view struct {
	IDs      [][]int
	Texts    []string
	Size     int
	BOS, EOS []any // of config.json and generation_config.json
	Vocab    int   `json:"vocab_size"`
	EOT      *int  `json:"tokenizer_eos"`
}

// sameIDs compares transformers' view of a directory with ours.
func sameIDs(t *testing.T, theirs view, tok data.Tokenizer, exactDecode bool) {
	t.Helper()
	for i, text := range texts {
		ours, err := data.EncodePrompt(tok, text)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(ours, theirs.IDs[i]) {
			t.Errorf("%q: our ids %v, theirs %v", text, ours, theirs.IDs[i])
		}
		if exactDecode && theirs.Texts[i] != text {
			t.Errorf("%q: their text of it is %q", text, theirs.Texts[i])
		}
	}
	if theirs.Size > theirs.Vocab {
		t.Errorf("their tokenizer has %d ids, the model %d", theirs.Size, theirs.Vocab)
	}
	id, has := tok.EOT()
	switch {
	case has && (theirs.EOT == nil || *theirs.EOT != id):
		t.Errorf("their end of text is %v, ours %d", theirs.EOT, id)
	case !has && theirs.EOT != nil:
		t.Errorf("their end of text is %d, we have none", *theirs.EOT)
	}
	for _, e := range append(theirs.BOS, theirs.EOS...) {
		if number, ok := e.(float64); has && (!ok || int(number) != id) || !has && e != nil {
			t.Errorf("bos and eos of config.json and generation_config.json are %v and %v, want %d", theirs.BOS,
				theirs.EOS, id)
		}
	}
}

// TestClientTokenizers: AutoTokenizer gives our ids for a checkpoint and for an export, of our own tokenizers and of
// another's.
func TestClientTokenizers(t *testing.T) {
	python(t)
	small := strings.Fields("--n-layer 1 --n-head 2 --n-embd 16 --block-size 16")
	foreign := filepath.Join(t.TempDir(), "foreign")
	if err := os.CopyFS(foreign, os.DirFS("../testdata/tokenizers/added")); err != nil {
		t.Fatal(err)
	}
	tok := tokenizer(t, foreign)
	weights := gpt2.Init(gpt2.Config{NLayer: 1, NHead: 2, NEmbd: 16, BlockSize: 16, VocabSize: tok.VocabSize()}, 1)
	eot, _ := tok.EOT()
	ids := map[string]any{"bos_token_id": eot, "eos_token_id": eot}
	if err := gpt2.WriteDir(foreign, weights.Config, weights.Tensor, ids); err != nil {
		t.Fatal(err)
	}
	tokenizers := map[string]string{} // by directory
	for name, args := range map[string][]string{
		"gpt2":  append(small, "--tokenizer", "gpt2"),
		"bytes": append(small, "--tokenizer", "bytes"),
		foreign: {"--init", foreign},
	} {
		run := trained(t, args...)
		steps, err := filepath.Glob(filepath.Join(run, gpt2.CheckpointsDir, "step-*"))
		if err != nil || len(steps) != 1 {
			t.Fatalf("checkpoints %v, %v", steps, err)
		}
		hf := filepath.Join(t.TempDir(), "hf")
		program(t, "export", "--model", run, "--format", "hf", "--out", hf)
		tokenizers[steps[0]], tokenizers[hf] = name, name
	}
	theirs := map[string]view{}
	client(t, texts, &theirs, append([]string{"ids"}, slices.Sorted(maps.Keys(tokenizers))...)...)
	for dir, name := range tokenizers {
		t.Run(filepath.Base(name)+" "+filepath.Base(dir), func(t *testing.T) {
			sameIDs(t, theirs[dir], tokenizer(t, name), name != foreign)
			// And what they write of it.
			saved := tokenizer(t, dir+".saved")
			for i, text := range texts {
				if got, err := data.EncodePrompt(saved, text); err != nil || !slices.Equal(got, theirs[dir].IDs[i]) {
					t.Errorf("%q: by the tokenizer that they have saved %v, %v; want %v", text, got, err,
						theirs[dir].IDs[i])
				}
			}
			want, _, err := gpt2.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := gpt2.Load(dir + ".saved")
			if err != nil {
				t.Fatal(err)
			}
			if got.Config != want.Config || !slices.EqualFunc(got.Tensors, want.Tensors, slices.Equal) {
				t.Errorf("by the config.json that they have saved: %+v, want %+v", got.Config, want.Config)
			}
		})
	}
}

func tokenizer(t *testing.T, spec string) data.Tokenizer {
	t.Helper()
	tok, err := data.NewTokenizer(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestClientWeights: the safetensors library reads our weights, and we read what it writes of them, in each type, in
// one file and in several.
func TestClientWeights(t *testing.T) {
	python(t)
	c := gpt2.Config{NLayer: 2, NHead: 2, NEmbd: 16, BlockSize: 12, VocabSize: 300}
	want := gpt2.Init(c, 3)
	dir := t.TempDir()
	if err := gpt2.WriteDir(filepath.Join(dir, "ours"), want.Config, want.Tensor, nil); err != nil {
		t.Fatal(err)
	}
	for dtype, digits := range map[string]int{"F32": 24, "F16": 11, "BF16": 8} { // of the significand
		for _, parts := range []string{"1", "3"} {
			out := filepath.Join(dir, dtype+parts)
			var shapes map[string][]int
			client(t, nil, &shapes, "resave", filepath.Join(dir, "ours"), out, dtype, parts)
			if got := shapes["transformer.h.1.attn.c_attn.weight"]; !slices.Equal(got, []int{16, 48}) &&
				!slices.Equal(shapes["h.1.attn.c_attn.weight"], []int{16, 48}) {
				t.Fatalf("the attention's weight is %v in %v, want Conv1D's [16 48]", got, shapes)
			}
			got, err := gpt2.ReadDir(out)
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range gpt2.Table(c) {
				for j, w := range want.Tensors[i] {
					// and half of float16's smallest step
					limit := math.Abs(float64(w))*math.Pow(2, -float64(digits)) + 3.1e-8
					if dtype == "F32" {
						limit = 0
					}
					if d := math.Abs(float64(got.Tensors[i][j] - w)); d > limit {
						t.Fatalf("%s in %s files: tensor %s, element %d: %v, want %v", dtype, parts, p.Name, j,
							got.Tensors[i][j], w)
					}
				}
			}
		}
	}
}

// TestClientShards: numpy reads our shards as the ids that transformers gives the documents, and we read the shards
// that it writes.
func TestClientShards(t *testing.T) {
	python(t)
	dir := t.TempDir()
	var lines strings.Builder
	var want []int
	tok := tokenizer(t, "gpt2")
	eot, _ := tok.EOT()
	for _, text := range texts {
		if strings.Contains(text, "<|endoftext|>") {
			continue // TestClientTokenizers has it
		}
		raw, _ := json.Marshal(map[string]string{"text": text})
		fmt.Fprintf(&lines, "%s\n", raw)
		want = append(append(want, eot), tok.Encode(text)...)
	}
	in := filepath.Join(dir, "docs.jsonl")
	if err := os.WriteFile(in, []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"npy", "bin"} {
		shards := strings.Fields(program(t, "data", "tokenize", in, "--out", filepath.Join(dir, format), "--format",
			format, "--val-tokens", "40", "-q"))
		var got []int
		for _, s := range shards {
			again := filepath.Join(dir, "theirs-"+filepath.Base(s))
			var ids []int
			client(t, nil, &ids, "shard", s, again)
			got = append(got, ids...)
			theirs, err := data.Info(again)
			if err != nil {
				t.Fatal(err)
			}
			if int(theirs.Tokens) != len(ids) || !slices.Equal(theirs.First, ids[:len(theirs.First)]) {
				t.Errorf("%s: we read %d tokens %v of numpy's shard, want %d", again, theirs.Tokens, theirs.First,
					len(ids))
			}
		}
		if len(shards) != 2 || !slices.Equal(got, want) {
			t.Errorf("%s: numpy reads %d shards, %v\nwant %v", format, len(shards), got, want)
		}
	}
}

// TestClientParquet: every way in which pyarrow writes a column of texts gives the tokens of the same texts as .jsonl.
func TestClientParquet(t *testing.T) {
	python(t)
	dir := t.TempDir()
	column := []any{}
	var lines strings.Builder
	for i := range 40 {
		text := any(fmt.Sprintf("%s %d", texts[i%12], i/3))
		if i%7 == 3 {
			text = nil
		}
		column = append(column, text)
		raw, _ := json.Marshal(map[string]any{"text": text})
		fmt.Fprintf(&lines, "%s\n", raw)
	}
	in := filepath.Join(dir, "docs.jsonl")
	if err := os.WriteFile(in, []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	tokens := func(path string) string {
		t.Helper()
		out := filepath.Join(dir, "shards-"+filepath.Base(path))
		var all []byte
		for _, s := range strings.Fields(program(t, "data", "tokenize", path, "--out", out, "--format", "bin", "-q")) {
			raw, err := os.ReadFile(s)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, raw...)
		}
		return string(all)
	}
	want := tokens(in)
	var files []string
	client(t, column, &files, "parquet", filepath.Join(dir, "parquet"))
	for _, f := range files {
		if tokens(f) != want {
			t.Errorf("%s: other tokens than the same texts as .jsonl", filepath.Base(f))
		}
	}
	if len(files) < 20 {
		t.Errorf("only %d files", len(files))
	}
	refused, err := filepath.Glob(filepath.Join(dir, "parquet", "refused", "*.parquet"))
	if err != nil || len(refused) == 0 {
		t.Fatalf("%v, %v", refused, err)
	}
	for _, f := range refused {
		out, err := exec.Command(build(t), "data", "tokenize", f, "--out", filepath.Join(dir, "none"),
			"-q").CombinedOutput()
		if err == nil || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "; hint: ") ||
			strings.Contains(string(out), "[]") {
			t.Errorf("%s: %v, %q; want one line with a hint", filepath.Base(f), err, out)
		}
	}
}
