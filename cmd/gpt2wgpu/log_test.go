package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
)

func TestWrap(t *testing.T) {
	for _, x := range []struct {
		text          string
		width, indent int
		want          string
	}{
		{"short\n", 80, 2, "short\n"},
		{"one two three\nfour", 0, 2, "one two three\nfour"},
		{"one two three\nfour five six\n", 9, 2, "one two\n  three\nfour five\n  six\n"},
		{"hint: --val-data SPEC", 14, 2, "hint:\n  --val-data\n  SPEC"},
		{"see /a/path/longer/than/the/line b", 12, 2, "see\n  /a/path/longer/than/the/line\n  b"},
		{"  an indented line", 10, 2, "  an\n    indented\n    line"},
		{"\x1b[1mone\x1b[0m two three", 7, 1, "\x1b[1mone\x1b[0m two\n three"},
		{"ééé ééé", 7, 1, "ééé ééé"},
	} {
		if got := wrap(x.text, x.width, x.indent); got != x.want {
			t.Errorf("%q in %d columns: %q, want %q", x.text, x.width, got, x.want)
		}
	}
}

// TestLogFields: every line of the JSON log is an object with a time, a level and a message, and what happens has its
// numbers as fields, those of metrics.jsonl under the same names.
func TestLogFields(t *testing.T) {
	gputest.Available(t)
	text := writeFile(t, t.TempDir()+"/text.txt", strings.Repeat("a text that is long enough to be divided. ", 100))
	code, _, stderr := cli(t, smallRun("--data", text, "--steps", "4", "--val-every", "2", "--val-steps", "1",
		"--sample-every", "2",
		"--out", t.TempDir()+"/r", "--log-format", "json")...)
	if code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	seen := map[string]map[string]any{}
	for _, line := range strings.Split(strings.TrimSpace(stderr), "\n") {
		var fields map[string]any
		d := json.NewDecoder(bytes.NewReader([]byte(line)))
		if err := d.Decode(&fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		when, _ := fields["time"].(string)
		if _, err := time.Parse(time.RFC3339, when); err != nil || fields["level"] == nil || fields["msg"] == nil {
			t.Errorf("%s: %v", line, err)
		}
		seen[fields["msg"].(string)] = fields
	}
	for message, names := range map[string]string{
		"step":       "step steps loss lr grad_norm ms tokens_per_s tokens eta_s",
		"validation": "step loss",
		"sample":     "step text",
		"checkpoint": "step path",
		"summary":    "step steps seconds first_loss loss best_val_loss best_val_step checkpoint",
		"next":       "command",
		"run":        "out",
	} {
		for _, name := range strings.Fields(names) {
			if seen[message][name] == nil {
				t.Errorf("%s has no %s: %v", message, name, seen[message])
			}
		}
	}
	if s := seen["step"]; s["step"] != 3.0 || s["tokens"] != 4*2*16.0 || !(s["loss"].(float64) > 1) {
		t.Errorf("the last step is %v", s)
	}
}

// TestVisible: a terminal gets text, breaks and tabs, and nothing that it would obey or that has no column. A character
// may come in two writes.
func TestVisible(t *testing.T) {
	var out bytes.Buffer
	v := &visible{w: &out}
	for _, text := range []string{"é\tb\n\x1b[6n\x00\x07\x7f\r", "\u009b5A e\u0301 \u202e", "\xff\x80, \xe2\x82",
		"\xac \xe2\x82", "\n"} {
		if n, err := v.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	const sign = "\uFFFD"
	want := "é\tb\n" + sign + "[6n" + strings.Repeat(sign, 4) + sign + "5A e" + sign + " " + sign +
		sign + sign + ", € " + sign + sign + "\n"
	if out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
}

// TestLogMistake: a mistake among the flags is in the format that they ask for.
func TestLogMistake(t *testing.T) {
	for _, args := range [][]string{{"train", "--steps", "x", "--log-format", "json"}, {"train", "--log-format=json",
		"--nope"}} {
		code, _, stderr := cli(t, args...)
		var line struct{ Level, Msg, Command string }
		if err := json.Unmarshal([]byte(stderr), &line); code != exitUsage || err != nil || line.Level != "error" ||
			!strings.Contains(line.Msg, "hint: ") {
			t.Errorf("%q: code %d, %v: %s", args, code, err, stderr)
		}
	}
}
