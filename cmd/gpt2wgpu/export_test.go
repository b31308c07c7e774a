package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

func TestExportUsage(t *testing.T) {
	wantFlags(t, "export", "model tokenizer format out")
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "note"), "mine")
	file := writeFile(t, filepath.Join(dir, "used.bin"), "mine")
	for _, x := range []struct {
		args  []string
		words []string
	}{
		{[]string{"--out", "x"}, []string{"--model is missing"}},
		{[]string{"--model", greedyModel}, []string{"--out is missing"}},
		{[]string{"--model", greedyModel, "--out", "x", "--format", "onnx"}, []string{`"onnx"`, "hf, llmc"}},
		{[]string{"--model", greedyModel, "--out", "x", "--format", "llmc"}, []string{".bin", "--out x.bin"}},
		{[]string{"--model", greedyModel, "--out", "x", "--tokenizer", "words"}, []string{"--tokenizer"}},
	} {
		wantFailure(t, exitUsage, append([]string{"export"}, x.args...), x.words...)
	}
	for _, x := range []struct {
		args  []string
		words []string
	}{
		{[]string{"--model", "no/such", "--out", filepath.Join(dir, "new")}, []string{"--model no/such"}},
		{[]string{"--model", greedyModel, "--out", dir}, []string{"not empty"}},
		{[]string{"--model", greedyModel, "--out", file}, []string{"isn't a directory"}},
		{[]string{"--model", greedyModel, "--out", file, "--format", "llmc"}, []string{"not empty"}},
	} {
		wantFailure(t, exitFailed, append([]string{"export"}, x.args...), x.words...)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("the file in the way is now %q, %v", text, err)
	}
}

func export(t *testing.T, args ...string) (stderr string) {
	t.Helper()
	code, stdout, stderr := cli(t, append([]string{"export"}, args...)...)
	if code != 0 || stdout != args[slices.Index(args, "--out")+1]+"\n" {
		t.Fatalf("%q: code %d, %q: %s", args, code, stdout, stderr)
	}
	return stderr
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestExport goes from a Hugging Face directory to llm.c's format and back: the same weights, bit for bit.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	bin, hf := filepath.Join(dir, "model.bin"), filepath.Join(dir, "hf")
	export(t, "--model", greedyModel, "--format", "llmc", "--out", bin)
	export(t, "--model", bin, "--out", hf)
	want, err := gpt2.ReadDir(greedyModel)
	if err != nil {
		t.Fatal(err)
	}
	got, err := gpt2.ReadDir(hf)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("the weights differ after the round trip: %v", err)
	}
	if all := names(t, hf); !slices.Equal(all, []string{"config.json", "generation_config.json", "merges.txt",
		"model.safetensors", "tokenizer_config.json", "vocab.json"}) {
		t.Errorf("files %v", all)
	}
}

// TestExportVocabulary: 50304 rows become GPT-2's 50257, other sizes stay, and only a known tokenizer's files are
// written.
func TestExportVocabulary(t *testing.T) {
	for _, x := range []struct {
		rows, want int
		files      bool
	}{{50304, 50257, true}, {50257, 50257, true}, {300, 300, false}, {256, 256, true}} {
		dir := t.TempDir()
		in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
		w := gpt2.Init(gpt2.Config{NLayer: 1, NHead: 1, NEmbd: 4, BlockSize: 8, VocabSize: x.rows}, 3)
		if err := gpt2.WriteDir(in, w.Config, w.Tensor, nil); err != nil {
			t.Fatal(err)
		}
		stderr := export(t, "--model", in, "--out", out)
		got, err := gpt2.ReadDir(out)
		if err != nil || got.Config.VocabSize != x.want || !cmp.Equal(got.Tensors[0], w.Tensors[0][:x.want*4]) ||
			!cmp.Equal(got.Tensors[1:], w.Tensors[1:]) {
			t.Errorf("%d rows: %+v, %v", x.rows, got.Config, err)
		}
		_, err = os.Stat(filepath.Join(out, "vocab.json"))
		if (err == nil) != x.files || strings.Contains(stderr, "no tokenizer files") == x.files {
			t.Errorf("%d rows: vocab.json %v, %s", x.rows, err, stderr)
		}
		raw, err := os.ReadFile(filepath.Join(out, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		var config struct {
			VocabSize int  `json:"vocab_size"`
			EOS       *int `json:"eos_token_id"`
		}
		if err := json.Unmarshal(raw, &config); err != nil || config.VocabSize != x.want ||
			(config.EOS != nil) != (x.want == 50257) {
			t.Errorf("%d rows: config.json %+v, %v", x.rows, config, err)
		}
	}
}

// TestExportedLoss: a model gives the same loss from every format it is kept in.
func TestExportedLoss(t *testing.T) {
	gputest.Available(t)
	dir := t.TempDir()
	args := []string{"--data", "sample", "--tokenizer", "bytes", "--batch-size", "2", "--val-steps", "1"}
	want := evalLoss(t, append(args, "--model", greedyModel)...)
	for format, out := range map[string]string{"hf": "hf", "llmc": "x.bin"} {
		out = filepath.Join(dir, out)
		export(t, "--model", greedyModel, "--format", format, "--out", out)
		if got := evalLoss(t, append(args, "--model", out)...); got != want {
			t.Errorf("%s: %+v, want %+v", format, got, want)
		}
	}
}
