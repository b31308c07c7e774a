package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// madeRun writes the directory of a run that has done n of 10 steps.
func madeRun(t *testing.T, dir string, n int, lr float64) string {
	t.Helper()
	writeFile(t, filepath.Join(dir, "config.json"), fmt.Sprintf(`{"n_layer": 2, "n_head": 2, "n_embd": 16,
"block_size": 16, "vocab_size": 256, "tokenizer": "bytes", "total_batch_size": 64, "steps": 10, "lr": %v,
"device_name": "a GPU with a long name, made by somebody (vulkan, discrete)"}`, lr))
	lines := ""
	for i := range n {
		lines += fmt.Sprintf(`{"kind":"train","step":%d,"loss":%v,"lr":%v,"grad_norm":1,"tokens":%d,"ms":500,`+
			`"tokens_per_s":128}`+"\n", i, 5-float64(i)/10, lr, 64*(i+1))
	}
	writeFile(t, filepath.Join(dir, "metrics.jsonl"),
		lines+`{"kind":"val","step":5,"loss":4.5,"bits_per_byte":6.5}`+"\n")
	return dir
}

func TestRuns(t *testing.T) {
	wantFlags(t, "runs", "json out x y unit smooth log-x log-y")
	dir := t.TempDir()
	a, b := madeRun(t, filepath.Join(dir, "tiny-1"), 10, 1e-3), madeRun(t, filepath.Join(dir, "tiny-2"), 8, 2e-3)

	code, stdout, stderr := cli(t, "runs", dir)
	lines := strings.Split(stdout, "\n")
	if code != 0 || stderr != "" || len(lines) != 4 || !strings.HasPrefix(lines[1], a+"  finished   10/10  4.5000") ||
		!strings.HasPrefix(lines[2], b+"  broke off  8/10") {
		t.Errorf("code %d, %q:\n%s", code, stderr, stdout)
	}
	if code, stdout, _ := cli(t, "runs", "--json", dir); code != 0 || strings.Count(stdout, "\n") != 2 ||
		!strings.Contains(stdout,
			`"state":"finished","step":10,"steps":10,"tokens":640,"loss":4.1,"best_val_loss":4.5,`+
				`"bits_per_byte":6.5,"tokens_per_s":128`) {
		t.Errorf("code %d: %s", code, stdout)
	}
	if code, stdout, _ := cli(t, "runs", "compare", a, b); code != 0 || !strings.Contains(stdout, "0.001") ||
		!strings.Contains(stdout, "TOKENS  tiny-1 LOSS  BITS/BYTE  VAL") || strings.Contains(stdout, dir) {
		t.Errorf("code %d: %s", code, stdout)
	}
	if code, stdout, _ := cli(t, "runs", "compare", "--json", a, b); code != 0 ||
		!strings.Contains(stdout, `"settings":[{"name":"lr","values":[0.001,0.002]}]`) {
		t.Errorf("code %d: %s", code, stdout)
	}
	code, stdout, stderr = cli(t, "runs", "plot", a, b, "--x", "time")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "time in steps, seconds") || !strings.Contains(stdout,
		"tiny-2") {
		t.Errorf("code %d, %q:\n%s", code, stderr, stdout)
	}
	for _, l := range strings.Split(stdout, "\n") {
		if n := ansi.StringWidth(l); n > 80 {
			t.Errorf("%d columns: %s", n, l)
		}
	}
	for name, magic := range map[string]string{"x.svg": "<?xml", "x.PNG": "\x89PNG"} {
		path := filepath.Join(dir, name)
		if code, stdout, stderr := cli(t, "runs", "plot", a, "--out", path, "-q"); code != 0 || stdout+stderr != "" {
			t.Errorf("%s: code %d: %s", name, code, stderr)
		}
		if raw, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(raw), magic) {
			t.Errorf("%s: %v, %.20q", name, err, raw)
		}
	}

	// A damaged run is a warning, and a column of the table.
	writeFile(t, filepath.Join(a, "metrics.jsonl"), "garbage\n")
	if code, stdout, stderr := cli(t, "runs", dir); code != 0 || !strings.Contains(stderr, "line 1 of metrics.jsonl") ||
		!strings.Contains(stdout, "no steps, damaged") {
		t.Errorf("code %d: %s%s", code, stderr, stdout)
	}

	t.Chdir(t.TempDir())
	wantFailure(t, exitFailed, []string{"runs"}, "no directory runs")
	wantFailure(t, exitFailed, []string{"runs", "nowhere"}, "nowhere")
	wantFailure(t, exitFailed, []string{"runs", "."}, "holds no runs")
	wantFailure(t, exitUsage, []string{"runs", "compare", a}, "two runs")
	wantFailure(t, exitUsage, []string{"runs", "plot"}, "plot takes runs")
	wantFailure(t, exitUsage, []string{"runs", "plot", a, "--x", "stpe"}, "--x", "step, tokens, time")
	wantFailure(t, exitUsage, []string{"runs", "plot", a, "--out", "x.pdf"}, ".svg or .png")
	wantFailure(t, exitUsage, []string{"runs", "--x", "step"}, "--x is not a flag of runs")
	wantFailure(t, exitFailed, []string{"runs", "plot", b, "--y", "hellaswag"}, "no HellaSwag score yet")
}

// TestTableFits: a table loses its last columns where the terminal is narrow, and then the ends of names.
func TestTableFits(t *testing.T) {
	g := newGrid("RUN", "STATE", "STEP", "DEVICE")
	g.row("runs/a-long-name-of-a-run", "finished", "10/10", "a GPU with a long name (vulkan, discrete)")
	for width, want := range map[int]string{
		0:  "runs/a-long-name-of-a-run  finished  10/10  a GPU with a long name (vulkan, discrete)",
		60: "runs/a-long-name-of-a-run  finished  10/10  a GPU with a lo…",
		44: "runs/a-long-name-of-a-run  finished  10/10",
		30: "runs/a-long-name-of…  finished",
	} {
		var b bytes.Buffer
		if err := g.write(&b, width); err != nil {
			t.Fatal(err)
		}
		if got := strings.Split(b.String(), "\n")[1]; got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
}
