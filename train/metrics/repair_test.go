package metrics

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRepair: what a resume at step 3 makes of a damaged file. Where no step is lost it is repaired, else it is left as
// it is, and the error says what to do; steps that are gone are reported.
func TestRepair(t *testing.T) {
	const s0, s1, s2, s3 = `{"kind":"train","step":0}` + "\n", `{"kind":"train","step":1}` + "\n",
		`{"kind":"train","step":2}` + "\n", `{"kind":"train","step":3}` + "\n"
	for name, x := range map[string]struct{ before, after, warns, fails string }{
		"whole":              {s0 + s1 + s2 + s3, s0 + s1 + s2, "", ""},
		"garbage in between": {s0 + "\x8f\x00garbage\n" + s1 + s2, s0 + s1 + s2, "line 2 is not a JSON object", ""},
		"an empty line":      {s0 + "\n" + s1 + s2, s0 + s1 + s2, "line 2", ""},
		"another value":      {s0 + "[1]\n" + s1 + s2, s0 + s1 + s2, "line 2", ""},
		"zeros":              {s0 + "\x00\x00\x00" + s1 + s2, s0 + s1 + s2, "", ""},
		"a torn line before": {s0 + s1 + `{"kind":"tra` + s2, s0 + s1 + s2, "", ""},
		"a lost step":        {s0 + s1[:9] + "\n" + s2, s0 + s1[:9] + "\n" + s2, "", "1 of the 3 steps"},
		"shorter":            {s0, s0, "2 of the 3 steps before the checkpoint have no line, the first is step 1", ""},
		"empty":              {"", "", "3 of the 3 steps", ""},
	} {
		path := filepath.Join(t.TempDir(), "metrics.jsonl")
		if err := os.WriteFile(path, []byte(x.before), 0o666); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		m, err := Open(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		err = m.TruncateFrom(3)
		if (err != nil) != (x.fails != "") || err != nil && (!strings.Contains(err.Error(), x.fails) ||
			!strings.Contains(err.Error(), "hint: restore the file")) {
			t.Errorf("%s: %v", name, err)
		}
		if (log.Len() > 0) != (x.warns != "") || !strings.Contains(log.String(), x.warns) {
			t.Errorf("%s: log %s, want %q", name, &log, x.warns)
		}
		must(t, m.Close())
		if got := readText(t, path); got != x.after {
			t.Errorf("%s: %q, want %q", name, got, x.after)
		}
	}
}

// TestRestore: lines of a file that was removed are written again.
func TestRestore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "metrics.jsonl")
	must(t, os.Mkdir(filepath.Dir(path), 0o777))
	m := openMetrics(t, path)
	must(t, m.Train(Step{Step: 0}), m.Train(Step{Step: 1}))
	if again, err := m.Restore(); again || err != nil {
		t.Errorf("nothing was removed: %v, %v", again, err)
	}
	want := readText(t, path)
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Skipf("an open file cannot be removed here: %v", err)
	}
	if again, err := m.Restore(); !again || err != nil {
		t.Errorf("removed: %v, %v", again, err)
	}
	if got := readText(t, path); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	must(t, m.Train(Step{Step: 2}), m.Flush())
	if lines, err := Read(path); err != nil || len(lines) != 3 {
		t.Errorf("%d lines, %v", len(lines), err)
	}
}
