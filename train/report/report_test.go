package report

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func readPage(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, PageFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestPage: the page has all that the directory holds, escaped, and needs nothing else.
func TestPage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "<i>'s run")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	const evil = `</pre><script>alert(1)</script>`
	write(t, filepath.Join(dir, "config.json"), `{"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 16,
"vocab_size": 256, "tokenizer": "bytes", "total_batch_size": 64, "steps": 2, "data": "`+evil+`", "version": "v1",
"device_name": "`+evil+`", "memory": [{"role": "inputs", "bytes": 1048576}, {"role": "gradients", "bytes": 3145728}]}`)
	write(t, filepath.Join(dir, "metrics.jsonl"), `{"kind":"val","step":0,"loss":5.5,"bits_per_byte":7.9}
{"kind":"train","step":0,"loss":5.4,"lr":1e-3,"grad_norm":1,"tokens":64,"ms":500,"tokens_per_s":128}
{"kind":"train","step":1,"loss":5.2,"lr":1e-3,"grad_norm":1,"tokens":128,"ms":500,"tokens_per_s":128}
garbage
{"kind":"sample","step":2,"text":"A text.`+evil+`"}
`)
	if err := WriteProfile(dir, Profile{Step: "B=1", Kernels: []Kernel{{Name: "matmul" + evil, Count: 3, MS: 9},
		{Name: "adamw", MS: 1}}}); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, "./gpt2wgpu"); err != nil {
		t.Fatal(err)
	}
	page := readPage(t, dir)
	for _, want := range []string{"finished", "2 of 2", "5.4000 → 5.2000", "A text.", "7.9000 bits per byte",
		"line 4 of",
		"4.0 MiB", "75.00%", "90.0%", "train --out", "--resume --steps 4", "Learning rate", "Gradient norm",
		"parameters: 2 layers"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "<i>") ||
		regexp.MustCompile(`(src|href)="[^#]|url\(|@import|https?://`).MatchString(page) {
		t.Error("the page runs a script, has what the run wrote unescaped, or needs the network")
	}
	if n := strings.Count(page, "<svg "); n != 4 || strings.Count(page, "aria-label") != n {
		t.Errorf("%d pictures, want loss, learning rate, norm and speed", n)
	}
	svg, err := os.ReadFile(filepath.Join(dir, LossFile))
	if err != nil || !strings.Contains(string(svg), "validation") {
		t.Errorf("%v: %.80s", err, svg)
	}
}

// TestSmallPages: a run without steps or with a damaged profile has a page, what is not a run has an error.
func TestSmallPages(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "metrics.jsonl"), "")
	write(t, filepath.Join(dir, "profile.json"), "{")
	if err := Write(dir, "gpt2wgpu"); err != nil {
		t.Fatal(err)
	}
	if page := readPage(t, dir); !strings.Contains(page, "no steps") || !strings.Contains(page, "profile.json is not") {
		t.Error(page)
	}
	if err := Write(t.TempDir(), "gpt2wgpu"); err == nil || !strings.Contains(err.Error(), "; hint: ") {
		t.Error(err)
	}
}
