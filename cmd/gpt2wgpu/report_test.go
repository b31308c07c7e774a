package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
)

// stagesAs replaces the processes of report, on a device that is a GPU or computes on the CPU.
func stagesAs(t *testing.T, onCPU bool, f func(args []string, stdout, stderr io.Writer) error) {
	before, device := runStage, computesOnCPU
	t.Cleanup(func() { runStage, computesOnCPU = before, device })
	computesOnCPU = func(string) bool { return onCPU }
	runStage = func(_ context.Context, args []string, stdout, stderr io.Writer) error { return f(args, stdout, stderr) }
}

func TestReportFlags(t *testing.T) {
	wantFlags(t, "report", "preset kernel seconds device out")
	wantFailure(t, exitUsage, []string{"report", "--preset", "huge"}, "--preset", `"huge"`)
	wantFailure(t, exitUsage, []string{"report", "--seconds", "0"}, "--seconds is 0")
	notes := filepath.Join(t.TempDir(), "notes.md")
	if err := os.WriteFile(notes, []byte("mine\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, exitUsage, []string{"report", "--out", notes}, "is not a report")
	wantFailure(t, exitFailed, []string{"report", "--out", filepath.Join(t.TempDir(), "none", "x.md")}, "--out")
}

// TestReport runs the commands of a report in this process, except tune, whose child would be the test's binary, and
// bench, which takes long.
func TestReport(t *testing.T) {
	gputest.Available(t)
	home := filepath.Join(t.TempDir(), "Jane Doe")
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, ".cache"))
	stagesAs(t, false, func(args []string, stdout, stderr io.Writer) error {
		switch args[0] {
		case "bench":
			fmt.Fprintln(stdout, "step: "+strings.Join(args, " "))
			return nil
		case "tune":
			fmt.Fprintln(stderr, "INFO matmul_forward 8: 1.5 ms, 2 ms with the fixed tile")
			fmt.Fprintln(stderr, "INFO kept in", filepath.Join(home, ".cache", "tune", "12ab.json"))
			return nil
		}
		if device := os.Getenv("GPT2WGPU_DEVICE"); device != "" && args[0] != "devices" {
			args = append(args, "--device", device)
		}
		if code := run(t.Context(), append(args, "-q"), strings.NewReader(""), stdout, stderr); code != 0 {
			return fmt.Errorf("exit status %d", code)
		}
		return nil
	})
	out := filepath.Join(t.TempDir(), "report.md")
	code, stdout, stderr := cli(t, "report", "--preset", "tiny", "--kernel", "gather_rows", "--out", out)
	raw, err := os.ReadFile(out)
	if err != nil || code != 0 || stdout != "" || !strings.Contains(stderr, "wrote "+out) {
		t.Fatalf("code %d, %v, %q, %s", code, err, stdout, stderr)
	}
	text := string(raw)
	for _, w := range []string{
		reportTitle + "\n\ngpt2wgpu ", "\n## devices\n", "LARGEST BUFFER",
		"\n## selftest ", "limits:   buffer", "0 failed in", "\n## tune ",
		"1.5 ms, 2 ms with the fixed tile", "kept in …/12ab.json\n", "--dtype f32",
		"\nstep: bench --preset tiny --dtype bf16 ",
	} {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in\n%s", w, text)
		}
	}
	if strings.Contains(text, " ok\n") {
		t.Errorf("rows that passed:\n%s", text)
	}
	host, _ := os.Hostname()
	wd, _ := os.Getwd()
	for _, w := range []string{"Jane", "Doe", ".cache", wd, "host " + host, filepath.Dir(os.Args[0])} {
		if strings.Contains(text, w) {
			t.Errorf("%q in\n%s", w, text)
		}
	}
}

// TestReportOfFailures: every part that failed is in the file with its words, and the others are too.
func TestReportOfFailures(t *testing.T) {
	stagesAs(t, false, func(args []string, stdout, stderr io.Writer) error {
		switch args[0] {
		case "selftest":
			fmt.Fprint(stdout, "gelu f32 ok\nmatmul f32 FAILED\n    at 2: got 0, want 3\n\n1 passed, 1 failed\n")
			fmt.Fprintln(stderr, "the driver's last words")
			return errors.New("exit status 0xc0000005")
		case "bench":
			fmt.Fprint(stdout, strings.Repeat("a row of a table that does not end\n", 1000))
		}
		return nil
	})
	out := filepath.Join(t.TempDir(), "report.md")
	code, _, stderr := cli(t, "report", "--out", out)
	cli(t, "report", "--out", out) // replaces it
	raw, err := os.ReadFile(out)
	if err != nil || code != exitFailed || !strings.Contains(stderr, "selftest failed") {
		t.Fatalf("code %d, %v, %s", code, err, stderr)
	}
	text := string(raw)
	want := "```\nmatmul f32 FAILED\n    at 2: got 0, want 3\n\n1 passed, 1 failed\n" +
		"the driver's last words\nfailed: exit status 0xc0000005\n```\n"
	if !strings.Contains(text, want) || strings.Count(text, "## devices") != 1 {
		t.Errorf("got\n%s", text)
	}
	if strings.Count(text, "lines left out") != 2 || len(text) > 60000 {
		t.Errorf("%d bytes:\n%s", len(text), text)
	}
}

// TestReportOnCPU: a device that computes on the CPU is not tuned and is measured with few tokens, as the file says.
func TestReportOnCPU(t *testing.T) {
	var ran []string
	stagesAs(t, true, func(args []string, stdout, stderr io.Writer) error {
		ran = append(ran, strings.Join(args, " "))
		return nil
	})
	out := filepath.Join(t.TempDir(), "report.md")
	code, _, stderr := cli(t, "report", "--device", "cpu", "--kernel", "gelu", "--out", out)
	raw, err := os.ReadFile(out)
	if err != nil || code != 0 {
		t.Fatalf("code %d, %v, %s", code, err, stderr)
	}
	want := []string{
		"devices", "selftest --device cpu --kernel gelu",
		"bench --preset gpt2-124m --dtype f32 --device cpu --kernel gelu --step --batch-size 1 --seq-len 64",
		"bench --preset gpt2-124m --dtype bf16 --device cpu --kernel gelu --step --batch-size 1 --seq-len 64",
	}
	if !slices.Equal(ran, want) {
		t.Errorf("ran\n%s\nwant\n%s", strings.Join(ran, "\n"), strings.Join(want, "\n"))
	}
	if text := string(raw); !strings.Contains(text, "tune is left out") || strings.Contains(text, "## tune") {
		t.Errorf("got\n%s", text)
	}
}

// TestReportStage runs a part as a process of its own.
func TestReportStage(t *testing.T) {
	t.Setenv(asProgram, "1")
	var stdout, stderr strings.Builder
	err := runStage(t.Context(), []string{"version"}, &stdout, &stderr)
	if err != nil || !strings.HasPrefix(stdout.String(), "gpt2wgpu ") || stderr.Len() > 0 {
		t.Errorf("%v, %q, %q", err, stdout.String(), stderr.String())
	}
	if err := runStage(t.Context(), []string{"devices", "--gpu"}, &stdout, &stderr); err == nil || stderr.Len() == 0 {
		t.Errorf("no error for a wrong flag: %v, %q", err, stderr.String())
	}
}

// TestImpersonal: of an absolute path only its last element stays.
func TestImpersonal(t *testing.T) {
	hide := impersonal()
	for in, want := range map[string]string{
		"kept in /home/jane/.cache/x.json":           "kept in …/x.json",
		`open C:\Users\jane\AppData\tune.json: no`:   "open …/tune.json: no",
		`file="/data/jane/a.wgsl" 3`:                 `file="…/a.wgsl" 3`,
		"matmul/store_f32/TM=4 12 GB/s, 1/2 of peak": "matmul/store_f32/TM=4 12 GB/s, 1/2 of peak",
		"windows/amd64 devel-12ab":                   "windows/amd64 devel-12ab",
	} {
		if got := hide(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
