package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// words returns about n bytes of text, in lines of different words.
func words(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d says %d\n", i, i*i%977)
	}
	return b.String()
}

// quickRun are the arguments of a run that takes a moment.
func quickRun(args ...string) []string {
	all := strings.Fields("train --n-layer 1 --n-head 2 --n-embd 16 --block-size 16 --seq-len 16 --batch-size 2 " +
		"--total-batch-size 32 --steps 2 --warmup-steps 1 --sample-every 0")
	if device := os.Getenv("GPT2WGPU_DEVICE"); device != "" {
		all = append(all, "--device", device)
	}
	return append(all, args...)
}

// TestValidation: what a run validates on, by what is given to it.
func TestValidation(t *testing.T) {
	gputest.Available(t)
	dir := t.TempDir()
	mine := writeFile(t, filepath.Join(dir, "mine.txt"), words(30_000))
	md := writeFile(t, filepath.Join(dir, "mine.md"), words(30_000))
	short := writeFile(t, filepath.Join(dir, "short.txt"), words(250))
	sub := func(name string, files ...string) string {
		d := filepath.Join(dir, name)
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			writeFile(t, filepath.Join(d, f), words(9000))
		}
		return d
	}
	notes, splits := sub("notes", "a.md", "b.txt"), sub("splits", "train.txt", "valid.txt", "test.txt")
	fifth := writeFile(t, filepath.Join(dir, "fifth.json"), `{"val_fraction": 0.2}`)
	equal := sub("equal", "train.txt", "test.txt")
	raw := sub("raw", "a.txt")
	shards := filepath.Join(dir, "shards") // a validation and a training shard of as many tokens, as fineweb-edu's
	if code, _, stderr := cli(t, "data", "tokenize", writeFile(t, filepath.Join(raw, "x.txt"), words(8000)),
		"--tokenizer", "bytes", "--out", shards,
		"--val-tokens", "2000", "--shard-tokens", "2000"); code != 0 {
		t.Fatal(stderr)
	}
	trainOnly := filepath.Join(dir, "train-only")
	if code, _, stderr := cli(t, "data", "tokenize", mine, "--tokenizer", "bytes", "--out", trainOnly, "--val-tokens",
		"-1"); code != 0 {
		t.Fatal(stderr)
	}
	for i, c := range []struct {
		args     []string
		fraction float64
		vals     int // lines of validation: before step 0 and at the end, if any
		says     []string
	}{
		{[]string{"--data", mine}, 0.1, 2, []string{"validation: 3001 of 30008 tokens, in 1 block spread",
			"--val-fraction 0.1"}},
		{[]string{"--data", md}, 0.1, 2, nil},
		{[]string{"--data", notes}, 0.1, 2, nil},
		{[]string{"--data", filepath.Join(notes, "*")}, 0.1, 2, nil},
		{[]string{"--data", mine, "--val-fraction", "0"}, 0, 0, nil},
		{[]string{"--data", mine, "--val-fraction", "0.3"}, 0.3, 2, []string{"in 4 blocks"}},
		{[]string{"--data", mine, "--val-every", "0"}, 0, 0, nil},
		{[]string{"--data", mine, "--val-data", md}, 0, 2, nil},
		{[]string{"--data", splits}, 0, 2, []string{"to train on: train.txt; to validate on: valid.txt; left out: " +
			"test.txt"}},
		{[]string{"--data", splits, "--val-data", md}, 0, 2, []string{"to train on: train.txt; left out: valid.txt, " +
			"test.txt"}},
		// a run's file for other data
		{[]string{"--data", splits, "--config", fifth}, 0, 2, []string{"to validate on: valid.txt"}},
		{[]string{"--data", mine, "--config", fifth, "--val-data", md}, 0, 2, nil},
		{[]string{"--data", mine, "--config", fifth}, 0.2, 2, nil},
		{[]string{"--data", equal}, 0, 2, []string{"to validate on: test.txt"}},
		{[]string{"--data", shards}, 0, 2, nil},
		{[]string{"--data", short}, 0, 0, []string{"no validation: 0.1 of ", "fewer than one batch"}},
		{[]string{"--data", "sample"}, 0, 0, nil},
		{[]string{"--data", "sample", "--val-fraction", "0.1"}, 0.1, 2, []string{"in 3 blocks"}},
		{[]string{"--data", trainOnly}, 0, 0, []string{"no validation", "--val-data"}},
		{[]string{"--data", trainOnly, "--val-fraction", "0.2"}, 0.2, 2, nil},
		{[]string{"--preset", "first-steps", "--data", mine, "--tokenizer", "bytes", "--vocab-size", "256",
			"--val-every", "1"}, -1, 0, []string{"--val-every", "no validation part"}},
	} {
		out := filepath.Join(dir, fmt.Sprint("run", i))
		args := quickRun(append(c.args, "--out", out)...)
		code, _, stderr := cli(t, args...)
		for _, s := range c.says {
			if !strings.Contains(stderr, s) {
				t.Errorf("%v: %s, want %q", c.args, stderr, s)
			}
		}
		if c.fraction < 0 { // refused
			if code != exitUsage {
				t.Errorf("%v: code %d", c.args, code)
			}
			continue
		}
		if code != 0 {
			t.Errorf("%v: code %d: %s", c.args, code, stderr)
			continue
		}
		var cfg train.Config
		if _, err := train.ReadConfig(filepath.Join(out, "config.json"), &cfg); err != nil ||
			cfg.ValFraction != c.fraction {
			t.Errorf("%v: val_fraction %v, %v, want %v", c.args, cfg.ValFraction, err, c.fraction)
		}
		lines, err := metrics.Read(filepath.Join(out, "metrics.jsonl"))
		vals := 0
		for _, l := range lines {
			if l.Kind == "val" {
				vals++
				if cfg.Tokenizer == "bytes" && math.Abs(float64(l.BitsPerByte-l.Loss/math.Ln2)) > 1e-9 {
					t.Errorf("%v: a loss of %v is %v bits per byte", c.args, l.Loss, l.BitsPerByte)
				}
			}
		}
		if err != nil || vals != c.vals {
			t.Errorf("%v: %d validations, %v, want %d", c.args, vals, err, c.vals)
		}
	}

	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"--data", "sample", "--val-every", "1"}, []string{"--val-every", "no validation part", "--val-data"}},
		{[]string{"--data", "sample", "--val-steps", "5"}, []string{"--val-steps", "no validation part"}},
		{[]string{"--data", trainOnly, "--val-every", "1"}, []string{"no validation part"}},
		{[]string{"--data", short, "--val-fraction", "0.1"}, []string{"--val-fraction 0.1", "fewer than one batch",
			"--val-fraction 0"}},
		{[]string{"--data", mine, "--val-fraction", "0.999999"}, []string{"left to train on", "a smaller fraction"}},
		{[]string{"--data", short, "--val-every", "1"}, []string{"--val-every", "fewer than one batch",
			"a longer text"}},
		{[]string{"--data", mine, "--config", writeFile(t, filepath.Join(dir, "minus.json"), `{"val_fraction": -1}`)},
			[]string{"val_fraction: got -1"}},
		{[]string{"--data", mine, "--val-fraction", "0.2", "--val-data", md}, []string{"contradict"}},
		{[]string{"--data", splits, "--val-fraction", "0.2"}, []string{"valid.txt", "leave --val-fraction out"}},
		{[]string{"--data", mine, "--val-fraction", "0.2", "--val-every", "0"}, []string{"no effect", "--val-every"}},
		{[]string{"--data", mine, "--val-data", md, "--val-every", "0"}, []string{"no effect"}},
		{[]string{"--data", mine, "--val-steps", "3", "--val-every", "0"}, []string{"no effect"}},
	} {
		wantFailure(t, exitUsage, quickRun(append(c.args, "--out", "", "-q")...), c.says...)
	}
	for _, f := range []string{"1", "-0.1", "-1", "NaN", "x", "2"} {
		wantFailure(t, exitUsage, quickRun("--data", mine, "--val-fraction", f), "--val-fraction",
			"want a number, 0 or more and below 1", "0.1")
	}
}

// TestValidationResumes: a run goes on with its own split, also in other batches, and without the flag that made it.
func TestValidationResumes(t *testing.T) {
	gputest.Available(t)
	dir := t.TempDir()
	mine := writeFile(t, filepath.Join(dir, "mine.txt"), words(30_000))
	losses := func(out string) (vals []string) {
		lines, err := metrics.Read(filepath.Join(out, "metrics.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			vals = append(vals, fmt.Sprint(l.Kind, l.Step, l.Loss))
		}
		return vals
	}
	whole, parts := filepath.Join(dir, "whole"), filepath.Join(dir, "parts")
	args := []string{"--data", mine, "--val-every", "2", "--val-steps", "4", "--val-fraction", "0.2", "--steps", "5",
		"--save-minutes", "0"}
	if code, _, stderr := cli(t, quickRun(append(args, "--out", whole)...)...); code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := cli(t, quickRun(append(args, "--out", parts, "--stop-after",
		"3")...)...); code != exitInterrupted {
		t.Fatal(stderr)
	}
	wantFailure(t, exitFailed, []string{"train", "--resume", "--out", parts, "-q", "--val-fraction", "0.1"},
		"--val-fraction is 0.1", "0.2")
	if code, _, stderr := cli(t, "train", "--resume", "--out", parts); code != 0 {
		t.Fatal(stderr)
	}
	if a, b := losses(whole), losses(parts); strings.Join(a, " ") != strings.Join(b, " ") {
		t.Errorf("losses\n%v, resumed\n%v", a, b)
	}
	if code, _, stderr := cli(t, "eval", "--model", parts, "--data", mine); code != 0 || !strings.Contains(stderr,
		"the 80% that the run trained on too") {
		t.Errorf("eval: code %d, %s", code, stderr)
	}
	code, _, stderr := cli(t, "train", "--resume", "--out", parts, "--steps", "7", "--batch-size", "1",
		"--total-batch-size", "16")
	if code != 0 || !strings.Contains(stderr, "validation: 6002 of 30008 tokens") {
		t.Errorf("with other batches: code %d, %s", code, stderr)
	}
}
