package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

func openMetrics(t *testing.T, path string) *Writer {
	t.Helper()
	m, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestMetricsLines holds the file's contract to the letter: names, order, full precision, null for what JSON lacks.
func TestMetricsLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	m := openMetrics(t, path)
	must(t,
		m.Train(Step{0, Float(float32(10.960028648376465)), 3e-4, 47.78, 128, 12.3, 10406, nil}),
		m.Val(Validation{250, 6.17, 2.71}),
		m.Hellaswag(Hellaswag{250, Score{10042, 0.25, 0.25, 0.5}}),
		m.Sample(Sample{250, "<|endoftext|>a\n\"b\" \xff"}),
		m.Train(Step{1, Float(math.NaN()), 1e-7, Float(math.Inf(1)), 1 << 60, 1, 2, nil}))
	want := `{"kind":"train","step":0,"loss":10.960028648376465,"lr":0.0003,"grad_norm":47.78,"tokens":128,` +
		`"ms":12.3,"tokens_per_s":10406}
{"kind":"val","step":250,"loss":6.17,"bits_per_byte":2.71}
{"kind":"hellaswag","step":250,"n":10042,"acc":0.25,"acc_norm":0.25,"acc_norm_chars":0.5}
{"kind":"sample","step":250,"text":"<|endoftext|>a\n\"b\" �"}
{"kind":"train","step":1,"loss":null,"lr":1e-7,"grad_norm":null,"tokens":1152921504606846976,"ms":1,"tokens_per_s":2}
`
	if diff := cmp.Diff(want, readText(t, path)); diff != "" { // m is still open: lines are there at once
		t.Error(diff)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	live := []Line{Step{0, Float(float32(10.960028648376465)), 3e-4, 47.78, 128, 12.3, 10406, nil}.Line(),
		Validation{250, 6.17, 2.71}.Line(), Hellaswag{250, Score{10042, 0.25, 0.25, 0.5}}.Line(),
		Sample{250, "<|endoftext|>a\n\"b\" \xff"}.Line()}
	if diff := cmp.Diff(live, got[:len(live)]); diff != "" { // who watches a run sees what the file has
		t.Error(diff)
	}
	for i, line := range strings.Split(strings.TrimSuffix(want, "\n"), "\n") { // and with the file's bytes
		if i < len(live) && string(live[i].JSON()) != line {
			t.Errorf("line %d: %s, the file has %s", i, live[i].JSON(), line)
		}
	}
	nan := cmp.Comparer(func(a, b Float) bool { return a == b || a != a && b != b })
	if diff := cmp.Diff([]Line{
		{Kind: KindTrain, Loss: 10.960028648376465, LR: 3e-4, GradNorm: 47.78, Tokens: 128, MS: 12.3,
			TokensPerS: 10406},
		{Kind: KindVal, Step: 250, Loss: 6.17, BitsPerByte: 2.71},
		{Kind: KindHellaswag, Step: 250, Score: Score{10042, 0.25, 0.25, 0.5}},
		{Kind: KindSample, Step: 250, Text: "<|endoftext|>a\n\"b\" �"},
		{Kind: KindTrain, Step: 1, Loss: Float(math.NaN()), LR: 1e-7, GradNorm: Float(math.NaN()), Tokens: 1 << 60,
			MS: 1, TokensPerS: 2},
	}, got, nan); diff != "" {
		t.Error(diff)
	}
}

func TestMetricsAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	first := `{"kind":"val","step":1,"loss":1}` + "\n"
	for _, torn := range []string{"", `{"kind":"tr`, strings.Repeat("x", 10000)} {
		must(t, os.WriteFile(path, []byte(first+torn), 0o666))
		if got, err := Read(path); err != nil || len(got) != 1 {
			t.Errorf("%d lines, %v, before a torn one, want 1", len(got), err)
		}
		m := openMetrics(t, path)
		must(t, m.Val(Validation{2, 2, 0}))
		if got, want := readText(t, path), first+`{"kind":"val","step":2,"loss":2}`+"\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTruncateFrom(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "metrics.jsonl")
	kept := `{"kind":"train","step":0,"loss":1.50}
{"kind":"note of a later version", "step":3}
{"kind":"val","step":4,"loss":1}
`
	must(t, os.WriteFile(path, []byte(`{"kind":"train","step":5,"loss":1}
`+kept+`{"kind":"sample","step":6,"text":"`+strings.Repeat("long ", 5000)+`"}
{"kind":"val","step":5,"loss":1}
{"kind":"tra`), 0o640))
	m := openMetrics(t, path)
	must(t, m.TruncateFrom(5), m.TruncateFrom(5), m.Val(Validation{5, 2, 0}))
	if diff := cmp.Diff(kept+`{"kind":"val","step":5,"loss":2}`+"\n", readText(t, path)); diff != "" {
		t.Error(diff)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the directory holds %v", entries)
	}
	t.Run("mode", func(t *testing.T) {
		needs.Modes(t)
		if info, _ := os.Stat(path); info.Mode().Perm()&0o077 != 0o040 {
			t.Errorf("mode %v, want that of the file before", info.Mode())
		}
	})
	// What is cut off at the end needs no second file, for which a full disk would have no room.
	before, err := os.Stat(path)
	must(t, err, m.TruncateFrom(4), m.Train(Step{Step: 4}))
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("lines at the end were cut off by writing another file")
	}
	if got := readText(t, path); !strings.HasPrefix(got, strings.Join(strings.SplitAfter(kept, "\n")[:2], "")+
		`{"kind":"train","step":4,`) {
		t.Errorf("cut off at the end: %s", got)
	}
	must(t, m.TruncateFrom(0))
	if got := readText(t, path); got != "" {
		t.Errorf("left %q", got)
	}
}

func TestMetricsErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "metrics.jsonl")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "hint: ") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "no", "metrics.jsonl"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	must(t, os.WriteFile(path, []byte("{\"step\":1}\nnot json\n"), 0o666))
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("broken line: %v", err)
	}
	m := openMetrics(t, path)
	if err := m.TruncateFrom(1); err == nil || readText(t, path) != "{\"step\":1}\nnot json\n" {
		t.Errorf("a file with a broken line was rewritten, error %v", err)
	}
}

// TestMetricsNil checks that a run without a directory needs no special case.
func TestMetricsNil(t *testing.T) {
	var m *Writer
	must(t, m.Train(Step{}), m.Val(Validation{}), m.Hellaswag(Hellaswag{}), m.Sample(Sample{}), m.TruncateFrom(0),
		m.Close())
}

// TestMetricsWait: lines that cannot be written wait, in order, and Flush says so until they are there.
func TestMetricsWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	m := openMetrics(t, path)
	must(t, m.Val(Validation{Step: 0, Loss: 1}))
	good := m.f
	broken, err := os.Open(path) // not for writing
	must(t, err)
	defer broken.Close()
	m.f = broken
	must(t, m.Val(Validation{Step: 1, Loss: 2}), m.Val(Validation{Step: 2, Loss: 3}))
	if err := m.Flush(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Flush of lines that wait: %v", err)
	}
	if lines, _ := Read(path); len(lines) != 1 {
		t.Errorf("%d lines", len(lines))
	}
	m.f = good
	must(t, m.Flush(), m.Val(Validation{Step: 3, Loss: 4}), m.Flush())
	lines, err := Read(path)
	must(t, err)
	for i, l := range lines {
		if l.Step != i || len(lines) != 4 {
			t.Errorf("line %d of %d is step %d", i, len(lines), l.Step)
		}
	}
}

// TestMetricsDamaged: the error of a line that is not a metric has words for people.
func TestMetricsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	for line, want := range map[string]string{
		`{"kind":"train","step":"x"}`: `"step" is a string, want a whole number`, `[1]`: "a list", `{"kind":`: "byte 8",
		"5": "a number",
	} {
		if err := os.WriteFile(path, []byte(`{"kind":"val","step":0,"loss":1}`+"\n"+line+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "line 2") ||
			strings.Contains(err.Error(), "Go ") {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// TestRestart: a resume at a step keeps the restarts there and drops the steps; Newest finds the newest step behind
// other lines, and none where there is none.
func TestRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	if step, ok := Newest(path); ok || step != -1 {
		t.Errorf("no file: %d, %v", step, ok)
	}
	w, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	write := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	write(w.Train(Step{Step: 4}), w.Train(Step{Step: 5}), w.Restart(Restart{5, "ended by SIGABRT"}),
		w.Train(Step{Step: 5}), w.Restart(Restart{7, "of a run that was taken back by hand"}))
	if step, ok := Newest(path); !ok || step != 5 {
		t.Errorf("newest step %d, %v, want 5", step, ok)
	}
	write(w.TruncateFrom(5), w.Restart(Restart{5, "again"}))
	lines, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range lines {
		got = append(got, fmt.Sprint(m.Kind, m.Step, m.Reason))
	}
	if want := "train4 restart5ended by SIGABRT restart5again"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
