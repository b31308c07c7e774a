package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
)

// TestNamesOfOthers: a name of a file or a directory neither reaches the terminal as a command nor forges a line, in
// messages, errors and lists of every command that takes one. JSON has it as it is.
func TestNamesOfOthers(t *testing.T) {
	gputest.Available(t)
	t.Chdir(t.TempDir())
	const name = "x\x1b[2J\u009b\u202e\r\n12:00:00 WARN forged"
	if err := os.Mkdir(name, 0o777); err != nil {
		t.Skip(err) // Windows
	}
	at := func(elements ...string) string { return filepath.Join(append([]string{name}, elements...)...) }
	text := writeFile(t, at("text.txt"), strings.Repeat("a text that is long enough to be divided. ", 100))
	a, b := madeRun(t, at("a-1"), 10, 1e-3), madeRun(t, at(name), 10, 2e-3)
	writeFile(t, at("empty-1", "metrics.jsonl"), "garbage\n") // without settings, with a damaged line
	writeFile(t, at("config.json"), `{"`+"\x1b[2J"+`": 1}`)
	writeFile(t, at("bad.jsonl"), "{\n")
	writeFile(t, at("bad.npy"), "")
	forged := regexp.MustCompile(`(?m)^12:00:00`)
	for _, args := range [][]string{
		{name}, {"runs", "--" + name}, {"train", "--preset", name}, {"train", "--config", at("config.json")},
		{"train", "--config", at("none.json")}, {"train", "--data", at("none.txt"), "--out", at("r")},
		{"train", "--resume", "--out", at("none")}, {"train", "--resume", "--out", a}, {"train", "--device", name},
		smallRun("--data", text, "--steps", "2", "--out", at("done")),
		smallRun("--data", text, "--steps", "2", "--out", at("plan"), "--dry-run"),
		smallRun("--init", at("none")), smallRun("--data", text, "--val-data", at("bad.npy")),
		{"sample", "--model", a}, {"sample", "--model", at("none")}, {"sample", "--model", at("done"), "--greedy"},
		{"eval", "--model", a, "--data", text}, {"eval", "--model", at("done"), "--data", text},
		{"eval", "--model", at("done"), "--hellaswag", at("bad.jsonl")},
		{"export", "--model", at("done"), "--out", at("hf")}, {"export", "--model", at("done"), "--out", name},
		{"runs", name}, {"runs", at("none")}, {"runs", text}, {"runs", "compare", a, b}, {"runs", "plot", a, b},
		{"runs", "plot", at("empty-1"), a}, {"runs", "plot", a, "--out", at("none", "x.svg")},
		{"dashboard", at("none")}, {"dashboard", name, "--listen", name},
		{"data", "fetch", name}, {"data", "info", text}, {"data", "info", at("bad.npy")}, {"data", "info", name},
		{"data", "tokenize", text, "--out", at("shards"), "--tokenizer", "bytes"},
		{"data", "tokenize", at("bad.jsonl"), "--out", at("other"), "--tokenizer", "bytes"},
		{"data", "tokenize", text, "--out", text}, {"data", "tokenize", text, "--out", at("o"), "--tokenizer", name},
	} {
		_, stdout, stderr := cli(t, args...)
		printed := map[string]string{"standard error": stderr}
		switch {
		case len(args) > 1 && args[1] == "tokenize": // names for other programs, one a line
		case args[0] == "runs", args[0] == "data", slices.Contains(args, "--dry-run"):
			printed["standard output"] = stdout
		}
		for stream, said := range printed {
			for _, r := range said {
				if r != '\n' && !unicode.IsGraphic(r) {
					t.Errorf("%q: %U on %s: %q", args, r, stream, said)
					break
				}
			}
			if forged.MatchString(said) {
				t.Errorf("%q: a forged line on %s: %q", args, stream, said)
			}
		}
	}
	if _, stdout, _ := cli(t, "runs", "--json", name); !strings.Contains(stdout, `x\u001b[2J`) {
		t.Errorf("JSON: %s", stdout)
	}
}
