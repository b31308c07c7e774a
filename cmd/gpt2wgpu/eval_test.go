package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

const (
	greedyModel = "../../model/testdata/greedy" // made by torch_gpt2.py --save-hf
	questions   = "../../train/eval/testdata/hellaswag/questions.jsonl"
)

func TestEvalUsage(t *testing.T) {
	wantFlags(t, "eval", "model tokenizer data seq-len val-steps hellaswag batch-size device json")
	for _, x := range []struct {
		args  []string
		words []string
	}{
		{[]string{"eval", "--data", "sample"}, []string{"--model is missing"}},
		{[]string{"eval", "--model", "x"}, []string{"--data and --hellaswag are both missing"}},
		{[]string{"eval", "--model", "x", "--data", "sample", "--hellaswag", "y"}, []string{"both given"}},
		{[]string{"eval", "--model", "x", "--hellaswag", "y", "--seq-len", "8"}, []string{"--seq-len has no effect"}},
		{[]string{"eval", "--model", "x", "--hellaswag", "y", "--val-steps", "8"}, []string{"--val-steps has no " +
			"effect"}},
		{[]string{"eval", "--model", "x", "--data", "sample", "--batch-size", "0"}, []string{"--batch-size is 0"}},
		{[]string{"eval", "--model", "x", "--data", "sample", "--seq-len", "-1"}, []string{"--seq-len is -1"}},
		{[]string{"eval", "--model", "x", "--data", "sample", "--val-steps", "-1"}, []string{"--val-steps is -1"}},
		{[]string{"eval", "--model", "x", "--data", "sample", "--tokenizer", "words"}, []string{"--tokenizer"}},
		{[]string{"eval", "--model", greedyModel, "--data", "sample", "--seq-len", "25"}, []string{"--seq-len is 25",
			"--seq-len 24"}},
		{[]string{"eval", "--model", greedyModel, "--data", "sample", "--batch-size", "100000000"},
			[]string{"--batch-size is 100000000"}},
	} {
		wantFailure(t, exitUsage, x.args, x.words...)
	}
	wantFailure(t, exitFailed, []string{"eval", "--model", "no/such", "--data", "sample"}, "--model no/such")
	wantFailure(t, exitFailed, []string{"eval", "--model", greedyModel, "--data", "no/such.txt"}, "--data",
		"no/such.txt")
	wantFailure(t, exitFailed, []string{"eval", "--model", greedyModel, "--hellaswag", "no/such.jsonl"}, "--hellaswag",
		"no/such.jsonl")
}

// device is the tests' device as flags.
func device() []string {
	if d := os.Getenv("GPT2WGPU_DEVICE"); d != "" {
		return []string{"--device", d}
	}
	return nil
}

type lossResult struct {
	Loss, Perplexity float64
	BitsPerByte      float64 `json:"bits_per_byte"`
	Tokens           int
}

func evalLoss(t *testing.T, args ...string) (r lossResult) {
	t.Helper()
	code, stdout, stderr := cli(t, append(append([]string{"eval", "--json", "-q"}, args...), device()...)...)
	if code != 0 || stderr != "" {
		t.Fatalf("%q: code %d: %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%q: %v", stdout, err)
	}
	return r
}

// TestEval compares with PyTorch on the same weights:
//
//	torch_gpt2.py --load-hf model/testdata/greedy --n-layer 2 --n-head 2 --n-embd 32 --block-size 24 \
//	    --vocab-size 256 --batch-size 2 --seq-len 24 \
//	    --text data/sample.txt --val-text data/sample.txt --val-steps 3 --steps 0
func TestEval(t *testing.T) {
	gputest.Available(t)
	const torch = 5.681800365447998
	r := evalLoss(t, "--model", greedyModel, "--data", "sample", "--batch-size", "2", "--seq-len", "24", "--val-steps",
		"3")
	if math.Abs(r.Loss-torch) > 1e-5 || r.Tokens != 3*2*24 ||
		math.Abs(r.Perplexity-math.Exp(r.Loss)) > 1e-9*r.Perplexity || math.Abs(r.BitsPerByte-r.Loss/math.Ln2) > 1e-9 {
		t.Errorf("%+v, PyTorch's loss %v", r, torch)
	}

	// The whole text once: 100 bytes are 4 rows of 24 and one of 3. Several batches of 3 rows, and one of all, give the
	// same.
	text, err := os.ReadFile("../../data/sample.txt")
	if err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, filepath.Join(t.TempDir(), "short.txt"), string(text[:100]))
	whole := evalLoss(t, "--model", greedyModel, "--data", file, "--batch-size", "8")
	parts := evalLoss(t, "--model", greedyModel, "--data", file, "--batch-size", "3")
	if whole.Tokens != 99 || parts.Tokens != 99 || math.Abs(whole.Loss-parts.Loss) > 1e-6 {
		t.Errorf("a text of 100 bytes: %+v in one batch, %+v in two", whole, parts)
	}
	// It is the mean over rows that were evaluated one by one.
	sum := 0.0
	for at := 0; at < 99; at += 24 {
		row := writeFile(t, filepath.Join(t.TempDir(), "row.txt"), string(text[at:min(at+25, 100)]))
		r := evalLoss(t, "--model", greedyModel, "--data", row)
		if want := min(24, 99-at); r.Tokens != want {
			t.Errorf("a row of %d: %+v", want, r)
		}
		sum += r.Loss * float64(r.Tokens)
	}
	if math.Abs(sum/99-whole.Loss) > 1e-5 {
		t.Errorf("loss %v, row by row %v", whole.Loss, sum/99)
	}
	if r := evalLoss(t, "--model", greedyModel, "--data", file, "--seq-len", "7"); r.Tokens != 99 ||
		r.Loss == whole.Loss {
		t.Errorf("rows of 7: %+v, of 24: %+v", r, whole)
	}
	// Of shards, every token but the first of each.
	shards := t.TempDir()
	for i, n := range []int{10, 60} {
		raw := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil,
			20240520), 1), uint32(n))
		raw = append(raw, make([]byte, 1024-len(raw))...)
		for _, b := range text[:n] {
			raw = binary.LittleEndian.AppendUint16(raw, uint16(b))
		}
		writeFile(t, filepath.Join(shards, fmt.Sprintf("x_val_%d.bin", i)), string(raw))
	}
	if r := evalLoss(t, "--model", greedyModel, "--data", shards); r.Tokens != 9+59 {
		t.Errorf("shards of 10 and 60 tokens: %+v", r)
	}
	one := writeFile(t, filepath.Join(t.TempDir(), "one.txt"), "x")
	wantFailure(t, exitFailed, append([]string{"eval", "--model", greedyModel, "--data", one, "-q"}, device()...),
		"1 tokens, want at least 2")
	wantFailure(t, exitFailed, append([]string{"eval", "--model", greedyModel, "--data", file, "--val-steps", "1",
		"--batch-size", "5", "-q"}, device()...), "want at least 121", "no --val-steps")

	args := append([]string{"eval", "--model", greedyModel, "--hellaswag", questions, "-q"}, device()...)
	if code, stdout, stderr := cli(t, append(args, "--json")...); code != 0 ||
		stdout != `{"n":9,"acc":0.2222222222222222,"acc_norm":0.3333333333333333,"acc_norm_chars":0.3333333333333333}`+
			"\n" {
		t.Errorf("code %d, %q, %s", code, stdout, stderr)
	}
	if code, stdout, _ := cli(t, args...); code != 0 || stdout != "acc 0.2222, acc_norm 0.3333, acc_norm_chars "+
		"0.3333, on 9 questions\n" {
		t.Errorf("code %d, %q", code, stdout)
	}
}

// hub serves the model of greedyModel as openai-community/gpt2, and counts what was asked for.
func hub(t *testing.T) (asked *int) {
	t.Helper()
	const commit = "0123456789012345678901234567890123456789"
	asked = new(int)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked++
		switch name := filepath.Base(r.URL.Path); r.URL.Path {
		case "/api/models/openai-community/gpt2/revision/main":
			io.WriteString(w, `{"sha":"`+commit+
				`","siblings":[{"rfilename":"config.json"},{"rfilename":"model.safetensors"},`+
				`{"rfilename":"README.md"}]}`)
		case "/openai-community/gpt2/resolve/" + commit + "/" + name:
			http.ServeFile(w, r, filepath.Join(greedyModel, name))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("HF_ENDPOINT", s.URL)
	for _, v := range []string{"HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_HOME"} {
		t.Setenv(v, "")
	}
	t.Cleanup(xdg.Reload) // after the variable is back: cleanups run last in, first out
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	xdg.Reload()
	return asked
}

// TestHub takes weights by name from a local hub: once, then from the cache, then without the hub.
func TestHub(t *testing.T) {
	asked := hub(t)
	e := &env{log: slog.New(slog.DiscardHandler)}
	load := func(name string) (loaded, error) {
		m := &modelFlags{model: name}
		return m.load(t.Context(), e)
	}
	w, err := load("gpt2")
	if err != nil || w.Config.NEmbd != 32 || *asked != 3 {
		t.Fatalf("%v after %d requests", err, *asked)
	}
	t.Setenv("HF_HUB_OFFLINE", "1")
	if _, err := load("gpt2"); err != nil || *asked != 3 {
		t.Errorf("from the cache: %v after %d requests", err, *asked)
	}
	if _, err := load("gpt2-xl"); err == nil || !strings.Contains(err.Error(), "HF_HUB_OFFLINE") {
		t.Errorf("offline: %v", err)
	}
	t.Setenv("HF_HUB_OFFLINE", "")
	wantFailure(t, exitFailed, []string{"sample", "--model", "gpt2-large", "-q"}, "--model", "404")

	gputest.Available(t)
	args := append(strings.Fields("train --init gpt2 --data sample --seq-len 8 --batch-size 1 --steps 1 "+
		"--sample-every 0 -q"), append(device(), "--out", "")...)
	if code, _, stderr := cli(t, args...); code != 0 {
		t.Errorf("train --init gpt2: code %d: %s", code, stderr)
	}
}

// TestHellaswagFetch takes the questions from the cache, as "fetch" has left them there.
func TestHellaswagFetch(t *testing.T) {
	gputest.Available(t)
	hub(t)
	text, err := os.ReadFile(questions)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache.Dir(), "hellaswag")
	writeFile(t, filepath.Join(dir, "hellaswag_val.jsonl"), string(text))
	writeFile(t, filepath.Join(dir, "complete.json"),
		fmt.Sprintf(`{"files":[{"name":"hellaswag_val.jsonl","bytes":%d}]}`, len(text)))
	args := append([]string{"eval", "--model", greedyModel, "--hellaswag", "fetch", "--json", "-q"}, device()...)
	if code, stdout, stderr := cli(t, args...); code != 0 || !strings.HasPrefix(stdout, `{"n":9,`) {
		t.Errorf("eval: code %d, %q, %s", code, stdout, stderr)
	}
	out := filepath.Join(t.TempDir(), "run")
	args = append(strings.Fields("train --init "+greedyModel+" --data sample --seq-len 24 --batch-size 1 --steps 2 "+
		"--sample-every 0 --hellaswag fetch --hellaswag-every 1 -q --out "+out), device()...)
	if code, _, stderr := cli(t, args...); code != 0 {
		t.Fatalf("train: code %d: %s", code, stderr)
	}
	lines, err := metrics.Read(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for _, l := range lines {
		if l.Kind == metrics.KindHellaswag && l.N == 9 {
			at = append(at, l.Step)
		}
	}
	if !slices.Equal(at, []int{0, 1, 2}) {
		t.Errorf("HellaSwag was measured at steps %v, want 0, 1 and at the end", at)
	}
}
