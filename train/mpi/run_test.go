//go:build mpi

package mpi_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// The tests of this file start the program by mpirun, as users do.

var program, without string // built with and without MPI

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gpt2wgpu-mpi")
	if err == nil {
		program, without = filepath.Join(dir, "gpt2wgpu"), filepath.Join(dir, "gpt2wgpu-without")
		for _, args := range [][]string{{"build", "-tags", "mpi", "-o", program}, {"build", "-o", without}} {
			var out []byte
			if out, err = exec.Command("go", append(args,
				"github.com/gpt2wgpu/gpt2wgpu/cmd/gpt2wgpu")...).CombinedOutput(); err != nil {
				err = fmt.Errorf("go %v: %w\n%s", args, err, out)
				break
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// tiny is a run of milliseconds a step, B=2 T=16.
func tiny(out string, more ...string) []string {
	args := strings.Fields("train --n-layer 2 --n-head 2 --n-embd 16 --block-size 16 --batch-size 2 --steps 20 " +
		"--warmup-steps 3 --lr 1e-3 --min-lr 1e-4 --sample-every 0")
	if d := os.Getenv("GPT2WGPU_DEVICE"); d != "" {
		args = append(args, "--device", d)
	}
	return append(append(args, "--out", out), more...)
}

const stepTokens = 2 * 16 // of a micro-step of one rank

// ranks returns the command that runs the program on n ranks.
func ranks(n int, args ...string) *exec.Cmd {
	if n == 1 {
		return exec.Command(program, args...)
	}
	mpirun := []string{"--oversubscribe", "-np", strconv.Itoa(n)}
	if os.Geteuid() == 0 {
		mpirun = append(mpirun, "--allow-run-as-root")
	}
	return exec.Command("mpirun", append(append(mpirun, program), args...)...)
}

// must runs a command that should end with that code and returns what it said.
func must(t *testing.T, code int, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("%v: code %d, want %d: %v\n%s", cmd.Args, got, code, err, out)
	}
	return string(out)
}

func losses(t *testing.T, out string) (all []float64) {
	t.Helper()
	lines, err := metrics.Read(filepath.Join(out, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range lines {
		if m.Kind == metrics.KindTrain {
			if m.Step != len(all) {
				t.Fatalf("%s: step %d stands where step %d should", out, m.Step, len(all))
			}
			all = append(all, float64(m.Loss))
		}
	}
	return all
}

// near fails where two loss curves are further apart than limit.
func near(t *testing.T, what string, got, want []float64, limit float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d steps, want %d", what, len(got), len(want))
	}
	apart := 0.0
	for i := range got {
		if d := math.Abs(got[i] - want[i]); !(d <= limit) {
			t.Fatalf("%s: step %d: loss %.7f, want %.7f within %g", what, i, got[i], want[i], limit)
		} else {
			apart = max(apart, d)
		}
	}
	t.Logf("%s: losses at most %.2g apart over %d steps", what, apart, len(got))
}

// TestRanksEqualMicroSteps: n ranks with a micro-step each equal one rank with n micro-steps, and so do products of the
// two.
func TestRanksEqualMicroSteps(t *testing.T) {
	gputest.Available(t)
	run := func(n, micro int, more ...string) []float64 {
		out := filepath.Join(t.TempDir(), "run")
		if n > 1 {
			more = append(more, "--check-every", "5")
		}
		must(t, 0, ranks(n, tiny(out, append(more, "--total-batch-size", strconv.Itoa(micro*stepTokens))...)...))
		return losses(t, out)
	}
	two, three, six := run(1, 2), run(1, 3), run(1, 6)
	near(t, "2 ranks", run(2, 2), two, 1e-5)
	near(t, "3 ranks", run(3, 3), three, 1e-5)
	near(t, "2 ranks with 3 micro-steps", run(2, 6), six, 1e-5)
	near(t, "3 ranks with 2 micro-steps", run(3, 6), six, 1e-5)
	near(t, "2 ranks with muon", run(2, 2, "--optimizer", "muon"), run(1, 2, "--optimizer", "muon"), 1e-5)
	near(t, "3 ranks with muon", run(3, 3, "--optimizer", "muon"), run(1, 3, "--optimizer", "muon"), 1e-5)
	// A gradient in bfloat16 has 8 bits: AdamW's first steps divide small differences by small moments.
	near(t, "2 ranks, gradients in bf16", run(2, 2, "--grad-dtype", "bf16"), two, 1e-2)
	near(t, "3 ranks, gradients in bf16", run(3, 3, "--grad-dtype", "bf16"), three, 1e-2)
}

// TestResume: a run goes on with another number of ranks as if nothing had happened.
func TestResume(t *testing.T) {
	gputest.Available(t)
	whole, parts := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	batch := []string{"--total-batch-size", strconv.Itoa(2 * stepTokens)}
	must(t, 0, ranks(2, tiny(whole, batch...)...))
	must(t, 130, ranks(2, tiny(parts, append(batch, "--stop-after", "6")...)...))
	must(t, 130, ranks(1, "train", "--out", parts, "--resume", "--stop-after", "7"))
	must(t, 0, ranks(2, "train", "--out", parts, "--resume"))
	near(t, "2 ranks, then 1, then 2", losses(t, parts), losses(t, whole), 1e-5)
}

// TestSyncEvery: ranks that step by themselves meet in the outer step, save what is common, and go on with another
// number. The loss is near that of ranks that sum every gradient, and so much less is sent.
func TestSyncEvery(t *testing.T) {
	gputest.Available(t)
	exact, out := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	must(t, 0, ranks(3, tiny(exact)...))
	args := []string{"--sync-every", "5", "--outer-lr", "1", "--outer-momentum", "0"}
	must(t, 130, ranks(3, tiny(out, append(args, "--stop-after", "7")...)...))
	must(t, 0, ranks(3, "train", "--out", out, "--resume"))
	near(t, "3 ranks that average their parameters", losses(t, out), losses(t, exact), 0.05)
}

// TestTwoVendors: one rank on this machine's default device, one on SwiftShader, whose ICD file GPT2WGPU_SWIFTSHADER
// names (`make mixed`).
func TestTwoVendors(t *testing.T) {
	gputest.Available(t)
	icd := os.Getenv("GPT2WGPU_SWIFTSHADER")
	if icd == "" {
		t.Skip("GPT2WGPU_SWIFTSHADER names no ICD file; hint: make mixed")
	}
	small := []string{"--n-layer", "1", "--total-batch-size", strconv.Itoa(2 * stepTokens)}
	one, two := filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "run")
	must(t, 0, ranks(1, tiny(one, small...)...))
	small = append(small, "--check-every", "5")
	mixed := ranks(2, tiny(two, small...)...)
	mixed.Args[3] = "1" // of -np
	mixed.Args = append(mixed.Args, ":", "-np", "1", "-x", "VK_ICD_FILENAMES="+icd, program)
	mixed.Args = append(mixed.Args, tiny(two, small...)...)
	said := must(t, 0, mixed)
	for _, w := range []string{"SwiftShader", "rank 1 of 2", "devices of several kinds"} {
		if !strings.Contains(said, w) {
			t.Errorf("the run doesn't say %q:\n%s", w, said)
		}
	}
	near(t, "two vendors", losses(t, two), losses(t, one), 1e-4)
}

// pidOf returns the process of a rank of the run in out.
func pidOf(t *testing.T, rank int, out string) int {
	t.Helper()
	needs.Paths(t, "/proc/self/environ")
	procs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range procs {
		env, _ := os.ReadFile(path)
		args, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if bytes.Contains(env, fmt.Appendf(nil, "OMPI_COMM_WORLD_RANK=%d\x00", rank)) &&
			bytes.HasPrefix(args, []byte(program)) && bytes.Contains(args, []byte(out)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	t.Fatalf("no process of rank %d", rank)
	return 0
}

// endless starts a run of three ranks that never ends by itself and waits for its first checkpoint.
func endless(t *testing.T, out string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := ranks(3, tiny(out, "--steps", "1000000", "--save-every", "5")...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(out, "checkpoints", "latest")); err == nil {
			return cmd, &said
		}
		if time.Since(start) > 10*time.Minute {
			t.Fatalf("no checkpoint after ten minutes:\n%s", &said)
		}
	}
}

// TestKilledRank: kill -9 of a rank ends the run within seconds (a minute, for slow machines), names it, and the run
// resumes.
func TestKilledRank(t *testing.T) {
	gputest.Available(t)
	out := filepath.Join(t.TempDir(), "run")
	cmd, said := endless(t, out)
	syscall.Kill(pidOf(t, 1, out), syscall.SIGKILL)
	start := time.Now()
	cmd.Wait()
	took := time.Since(start)
	if took > time.Minute || cmd.ProcessState.ExitCode() == 0 || !strings.Contains(said.String(), "rank 1") {
		t.Fatalf("ended after %v with code %d:\n%s", took, cmd.ProcessState.ExitCode(), said)
	}
	t.Logf("ended %v after the kill", took.Round(10*time.Millisecond))
	must(t, 130, ranks(3, "train", "--out", out, "--resume", "--stop-after", "2"))
}

// TestStoppedRank: a rank that does not answer is named after a bound by the lowest that does, rank 0 saves first where
// it is not the one, and nobody waits for ever.
func TestStoppedRank(t *testing.T) {
	gputest.Available(t)
	t.Setenv("GPT2WGPU_PATIENCE", "8s")
	for rank, who := range []string{"rank 1 of 3: ", "rank 0 of 3: "} {
		want := fmt.Sprintf("no answer of rank %d for 8s", rank)
		out := filepath.Join(t.TempDir(), "run")
		cmd, said := endless(t, out)
		syscall.Kill(pidOf(t, rank, out), syscall.SIGSTOP)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code == 0 || strings.Count(said.String(), "no answer of ") != 1 ||
			!strings.Contains(said.String(), who) || !strings.Contains(said.String(), want) {
			t.Fatalf("code %d, want %q of %q once:\n%s", code, want, who, said)
		}
		if rank == 1 {
			var step int
			_, after, _ := strings.Cut(said.String(), "; step ")
			fmt.Sscan(after, &step)
			// one less where the rank was stopped between an update and its loss
			if got := len(losses(t, out)); step == 0 || got != step && got != step-1 {
				t.Errorf("step %d is saved, and %d steps are logged:\n%s", step, got, said)
			}
		}
		must(t, 130, ranks(3, "train", "--out", out, "--resume", "--stop-after", "2"))
	}
}

// TestInterruptedRank: an interrupt of any rank stops all at the same step, with a checkpoint.
func TestInterruptedRank(t *testing.T) {
	gputest.Available(t)
	out := filepath.Join(t.TempDir(), "run")
	cmd, said := endless(t, out)
	syscall.Kill(pidOf(t, 2, out), syscall.SIGINT)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || strings.Count(said.String(), "interrupted after") != 1 {
		t.Fatalf("code %d:\n%s", code, said)
	}
	before := len(losses(t, out))
	must(t, 130, ranks(2, "train", "--out", out, "--resume", "--stop-after", "3", "--total-batch-size",
		strconv.Itoa(2*stepTokens)))
	if after := len(losses(t, out)); after != before+3 {
		t.Errorf("%d steps, then 3 more made %d", before, after)
	}
}

// TestSaveFails: saves that fail on rank 0 keep no rank from going on; the last one ends all with one line and code 1.
// A second run in the same directory is refused.
func TestSaveFails(t *testing.T) {
	gputest.Available(t)
	for _, more := range [][]string{nil, {"--sync-every", "5"}} {
		out := filepath.Join(t.TempDir(), "run")
		if err := os.MkdirAll(out, 0o755); err != nil {
			t.Fatal(err)
		}
		// in the way of the directory
		if err := os.WriteFile(filepath.Join(out, "checkpoints"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		said := must(t, 1, ranks(2, tiny(out, append(more, "--save-every", "10")...)...))
		if strings.Count(said, "the next save tries again") < 1 || strings.Count(said, "--resume starts again at "+
			"step 0") != 1 {
			t.Errorf("%v: %s", more, said)
		}
		if got := len(losses(t, out)); got != 20 {
			t.Errorf("%d steps, want 20", got)
		}
	}
	out := filepath.Join(t.TempDir(), "run")
	cmd, _ := endless(t, out)
	said := must(t, 1, ranks(3, "train", "--out", out, "--resume"))
	if strings.Count(said, "in use by process") < 1 || strings.Count(said, "hint: ") != 1 {
		t.Errorf("a second run: %s", said)
	}
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
}

// TestOneLine: what goes wrong in one rank, or in all of them, is reported in one line.
func TestOneLine(t *testing.T) {
	gputest.Available(t)
	one := func(cmd *exec.Cmd, words ...string) {
		t.Helper()
		out, _ := cmd.CombinedOutput()
		var lines []string
		for _, l := range strings.Split(string(out), "\n") {
			if strings.HasPrefix(l, "gpt2wgpu") {
				lines = append(lines, l)
			}
		}
		if cmd.ProcessState.ExitCode() == 0 || len(lines) != 1 {
			t.Fatalf("%v: code %d, %d lines:\n%s", cmd.Args, cmd.ProcessState.ExitCode(), len(lines), out)
		}
		for _, w := range append(words, "hint:") {
			if !strings.Contains(lines[0], w) {
				t.Errorf("%s\nlacks %q", lines[0], w)
			}
		}
	}
	out := filepath.Join(t.TempDir(), "run")
	one(ranks(2, tiny(out, "--n-embd", "18")...), "--n-embd is 18")
	one(ranks(2, tiny(out, "--total-batch-size", strconv.Itoa(3*stepTokens))...), "--total-batch-size is 96", "2 ranks")
	one(ranks(2, tiny(out, "--device", "nosuch")...), "rank 0 of 2", "--device nosuch")
	other := ranks(1, append([]string{":", "-np", "1", program}, tiny(out, "--device", "nosuch")...)...).Args[1:]
	mpmd := ranks(2, tiny(out)...)
	mpmd.Args[3] = "1" // of -np
	mpmd.Args = append(mpmd.Args, other...)
	one(mpmd, "rank 1 of 2", "--device nosuch")

	program, without = without, program
	defer func() { program, without = without, program }()
	one(ranks(2, tiny(out)...), "2 ranks", "built without MPI", "make mpi")
}

// TestOutOfAll: without --out rank 0 makes one directory for all, and its clock decides when all save: between outer
// steps never.
func TestOutOfAll(t *testing.T) {
	gputest.Available(t)
	dir := t.TempDir()
	for i, more := range [][]string{{"--save-minutes", "0.0001"}, {"--save-minutes", "0.0001", "--sync-every", "4"}} {
		args := tiny("", append(more, "--keep", "0")...)
		at := slices.Index(args, "--out")
		cmd := ranks(2, slices.Delete(args, at, at+2)...)
		cmd.Dir = dir
		out := filepath.Join("runs", fmt.Sprintf("tiny-%d", i+1))
		if said := must(t, 0, cmd); strings.Count(said, "run directory "+out) != 1 {
			t.Errorf("%q: want the directory once: %s", more, said)
		}
		checkpoints, err := filepath.Glob(filepath.Join(dir, out, "checkpoints", "step-*"))
		if err != nil || len(checkpoints) < 3 {
			t.Errorf("%q: checkpoints %v, %v", more, checkpoints, err)
		}
		for _, c := range checkpoints {
			var step int
			fmt.Sscanf(filepath.Base(c), "step-%d", &step)
			if i == 1 && step%4 != 0 {
				t.Errorf("%q: %s is between outer steps", more, c)
			}
		}
	}
	if runs, err := os.ReadDir(filepath.Join(dir, "runs")); err != nil || len(runs) != 2 {
		t.Errorf("runs: %v, %v", runs, err)
	}
	// What fails leaves none.
	failing := ranks(2, "train", "--data", "no/such.txt")
	failing.Dir = filepath.Join(dir, "other")
	if err := os.Mkdir(failing.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, 1, failing)
	if left, err := os.ReadDir(failing.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
