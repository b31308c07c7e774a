// Package docs_test runs the commands that README.md, CONTRIBUTING.md, docs/*.md and every --help print.
package docs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// instead says how a command is run that is not run as printed: with these words behind it (…), or by another
// command.
// The reason comes first. "… --help" proves the flags. Whatever is not here is run as printed; what nobody prints any
// more must go from here.
var instead = map[string][2]string{
	// make: CI runs the first ones as printed (see TestCIRunsThem).
	"make train":                          {"ci.yml runs it", "make -n train"},
	"make test":                           {".ci/run runs it", "make -n test"},
	"make quick":                          {"it is a part of make test", "make -n quick"},
	"make test-mpi":                       {".ci/run runs it", "make -n test-mpi"},
	"make test-clients":                   {".ci/run runs its script", "make -n test-clients"},
	"make test-js":                        {".ci/run runs a part of its script", "make -n test-js"},
	"make test-dashboard":                 {"a minute, and needs Chromium", "make -n test-dashboard"},
	"make test-dx12":                      {"dx12.yml runs it", "make -n test-dx12"},
	"make web":                            {"make test-web runs it", "make -n web"},
	"make test-web":                       {"web.yml runs it", "make -n test-web"},
	"make soak-web":                       {"minutes, and needs Chromium", "make -n soak-web"},
	"make fxc PART=\"default attention\"": {"minutes", "make -n fxc PART=\"default attention\""},
	"make mpi":                            {".ci/run runs it", "make -n mpi"},
	"make mpi MPICC=mpicc.mpich":          {"needs MPICH", "make -n mpi MPICC=mpicc.mpich"},
	"make isa":                            {".ci/run runs its script", "make -n isa"},
	`make isa ISA="-families navi21,raven -defaults"`: {".ci/run runs its script",
		`make -n isa ISA="-families navi21,raven -defaults"`},
	`make isa ISA="-families navi31 -kernel 'attention.*bf16'"`: {"unpacks Mesa 25",
		`make -n isa ISA="-families navi31 -kernel 'attention.*bf16'"`},
	"make texts OUT=DIR":                    {"minutes", "make -n texts OUT=DIR"},
	"make metal":                            {"needs cargo and clang", "make -n metal"},
	"make tint":                             {".ci/run runs its script", "make -n tint"},
	"make fxc":                              {"needs Wine", "make -n fxc"},
	"make fxc PART=default":                 {"needs Wine", "make -n fxc PART=default"},
	"make dxc":                              {"needs Wine", "make -n dxc"},
	"make host":                             {"unpacks drivers", "make -n host"},
	"make conformance":                      {"minutes", "make -n conformance"},
	"make chaos":                            {"ten minutes", "make -n chaos"},
	"make fuzz":                             {"minutes", "make -n fuzz"},
	"make soak":                             {"half an hour", "make -n soak"},
	"make mixed":                            {"downloads SwiftShader", "make -n mixed"},
	"make reproduce":                        {"minutes", "make -n reproduce"},
	"make reproduce TEXT=path/to/input.txt": {"minutes", "make -n reproduce TEXT=path/to/input.txt"},

	"make dist":       {"minutes", "make -n dist"},
	"make dist-check": {"release.yml runs it", "make -n dist-check"},

	"make lint":  {".ci/run runs it", "make -n lint"},
	"make setup": {".ci/run runs it", "make -n setup"},

	// Scripts.
	"train/testdata/generate.sh":       {"hours", "bash -n train/testdata/generate.sh"},
	"train/testdata/muon_study.sh":     {"an hour and a half", "bash -n train/testdata/muon_study.sh"},
	"train/mpi/testdata/sync_every.sh": {"hours", "bash -n train/mpi/testdata/sync_every.sh"},
	"train/mpi/testdata/limited.sh":    {"needs root and minutes", "bash -n train/mpi/testdata/limited.sh"},
	"gpu/bench/compare/run":            {"a GPU's work, see the next", "bash -n gpu/bench/compare/run"},
	"gpu/bench/compare/run 8 1024": {"a GPU's work", "GPT2WGPU=$SCRATCH/quick PYTHON=$TORCH PEERS= " +
		"TORCH_ARGS='--layers 1 --channels 24 --vocab 64 --runs 1' gpu/bench/compare/run 1 16 $SCRATCH/compare"},
	"gpu/bench/compare/torch_step.py --batch-size 1 --seq-len 1024": {"minutes, and needs torch",
		"$TORCH gpu/bench/compare/torch_step.py --batch-size 1 --seq-len 16 --layers 1 --channels 24 --vocab 64 " +
			"--runs 1"},
	"gpu/bench/compare/peer_step.py burn --preset tiny --batch-size 16 --seq-len 64": {"cargo builds burn for minutes",
		"gpu/bench/compare/peer_step.py --help"},

	// Tests and benchmarks: that they are there.
	"go test ./gpu/op -run XXX -bench Matmul": {"minutes", "grep -hE 'func Benchmark.*Matmul' gpu/op/*_test.go"},
	"go test ./model -run XXX -bench Token":   {"minutes", "grep -hE 'func Benchmark.*Token' model/*_test.go"},
	"go test ./gpu/ref -run LayerNorm": {".ci/run runs it", "grep -hE 'func Test.*LayerNorm' " +
		"gpu/ref/*_test.go"},
	"go test ./gpu/op -run LayerNorm": {".ci/run runs it", "grep -hE 'func Test.*LayerNorm' " +
		"gpu/op/*_test.go"},
	"go test ./gpu/op -run 'LayerNorm|EveryKernel'": {".ci/run runs it", "grep -hE 'func Test.*EveryKernel' " +
		"gpu/op/*_test.go"},
	"go test ./model -run TestProgram -update": {"writes files", "grep -hE '(func TestProgram|flag.Bool.\"update)' " +
		"model/*_test.go"},
	"go test ./gpu/op -run TestTargets -update": {"writes files", "grep -hE '(func TestTargets|flag.Bool.\"update)' " +
		"gpu/op/*_test.go"},
	"go test -short":                 {"a name in the text", "grep -rhE 'testing.Short' --include=*_test.go ."},
	"go build ./cmd/gpt2wgpu":        {"TestCommands does it", "go list ./cmd/gpt2wgpu"},
	"go test ./train -run GoesAhead": {".ci/run runs it", "grep -hE 'func Test.*GoesAhead' train/*_test.go"},

	"gpt2wgpu data tokenize": {"a name in the text", "… --help"},

	// Runs to look at.
	"gpt2wgpu runs": {"needs a run", tinyRun + " && gpt2wgpu runs"},
	"gpt2wgpu runs compare runs/tiny-1 runs/first": {"needs two runs", tinyRun + " && { test -d runs/first || " +
		"gpt2wgpu train --out runs/first " + small + "; } && gpt2wgpu runs compare runs/tiny-1 runs/first"},

	// Servers, which end when they are interrupted.
	"gpt2wgpu dashboard": {"serves until it is interrupted", "… --help"},
	"gpt2wgpu dashboard runs/first --listen 127.0.0.1:8080": {"serves until it is interrupted",
		"… --help"},
	"gpt2wgpu train --dashboard 6007": {"a minute", "gpt2wgpu train --dashboard 0 " + small + " --out runs/served"},
	`gpt2wgpu sample --model runs/tiny-1 --prompt "ROMEO:"`: {"needs a run",
		tinyRun + ` && gpt2wgpu sample --model runs/tiny-1 --prompt "ROMEO:" --n 1 --max-tokens 5`},
	"gpt2wgpu train --out runs/tiny-1 --resume --steps 1800": {"a minute",
		tinyRun + " && gpt2wgpu train --out runs/tiny-1 --resume --steps 3"},

	// A GPU's work.
	"gpt2wgpu bench": {"minutes on a CPU",
		"… --preset tiny --batch-size 1 --seq-len 16 --kernel gelu --step"},
	"gpt2wgpu bench --passes 4":                                    {"minutes on a CPU", "… --help"},
	"gpt2wgpu bench --kernel matmul":                               {"minutes on a CPU", "… --help"},
	"gpt2wgpu bench --kernel matmul --batch-size 4":                {"minutes on a CPU", "… --help"},
	"gpt2wgpu bench --kernels=false --batch-size 1 --seq-len 1024": {"minutes on a CPU", "… --help"},
	"gpt2wgpu bench --kernels=false --preset gpt2-124m --batch-size 8 --json": {"minutes on a CPU",
		"… --preset tiny --batch-size 1 --seq-len 16"},
	"MESA_SHADER_CACHE_DISABLE=true gpt2wgpu bench --kernels=false": {"minutes on a CPU", "… --help"},
	"gpt2wgpu tune": {"minutes on a CPU", "… --help"},
	"gpt2wgpu tune --preset gpt2-124m": {"minutes on a CPU",
		"… --preset tiny --seconds 1"},
	"gpt2wgpu tune --preset first-steps --seconds 300": {"minutes on a CPU", "… --help"},
	"gpt2wgpu selftest": {"minutes on a CPU",
		"… --kernel residual"},
	"gpt2wgpu report": {"minutes on a CPU", "… --help"},
	"gpt2wgpu report --device dx12 --out dx12.md": {"needs DX12", "… --help"},
	"gpt2wgpu selftest --kernel layernorm":        {"seconds", "… --json"},
	"gpt2wgpu selftest --kernel matmul":           {"minutes on a CPU", "… --help"},
	"gpt2wgpu bench --kernel muon":                {"seconds", "… --help"},
	"gpt2wgpu train --preset gpt2-124m --optimizer muon --dry-run": {"seconds",
		"gpt2wgpu train --preset tiny --optimizer muon --dry-run"},
	"gpt2wgpu bench --kernel layernorm": {"minutes on a CPU", "… --help"},
	"gpt2wgpu selftest --kernel attention --json": {"minutes on a CPU",
		"… --kernel residual"},
	"gpt2wgpu eval --model runs/first --data sample": {"half a minute", "… --val-steps 3"},
	"gpt2wgpu train --out runs/first":                {"a minute", "… --steps 2 --sample-every 0"},
	"gpt2wgpu train":                                 {"a minute", "… --steps 2"},
	"gpt2wgpu train --out runs/first --steps 2000": {"minutes, and there is a run " +
		"already", "… --help"},
	"gpt2wgpu train --init gpt2 --data input.txt --out runs/fine": {"minutes on a CPU",
		"… --steps 2 --sample-every 0 --seq-len 16 --batch-size 1"},
	"gpt2wgpu train --profile --steps 20": {"seconds", "… --steps 2 --sample-every 0 --out " +
		"runs/profile"},
	"gpt2wgpu train --preset tiny --steps 4000 --n-embd 192 --out runs/longer":    {"minutes", "… --help"},
	"gpt2wgpu train --preset first-steps --data input.txt --out runs/first":       {"minutes on a CPU", "… " + small},
	"gpt2wgpu train --preset first-steps --data input.txt --out runs/shakespeare": {"minutes on a CPU", "… --dry-run"},
	"gpt2wgpu train --preset first-steps --data tinyshakespeare/input.txt":        {"minutes on a CPU", "… --dry-run"},
	"mpirun -np 4 gpt2wgpu train --preset gpt2-124m --out runs/four": {"days",
		"… --preset tiny --dry-run"},
	"mpirun -np 1 gpt2wgpu train --device 0 : -np 1 gpt2wgpu train --device 1": {"needs two GPUs",
		"mpirun -np 1 gpt2wgpu train --device 0 --dry-run : -np 1 gpt2wgpu train --device 0 --dry-run"},
}

// tinyRun trains the run that examples show, where there is none.
const tinyRun = "{ test -d runs/tiny-1 || gpt2wgpu train --out runs/tiny-1 " + small + "; }"

const small = "--n-layer 1 --n-head 2 --n-embd 16 --steps 2 --sample-every 0"

// starts is how a command begins that can be run.
var starts = regexp.MustCompile(
	`^([A-Z_]+=\S+ )*(source <\()?(\./)?` +
		`(gpt2wgpu|make|mpirun|go (?:test|build)|gpu/bench/compare/\w|train/\S+\.sh)(\s|$|\S)`)

// heavy commands are not run as printed.
var heavy = regexp.MustCompile(`^([A-Z_]+=\S+ )*(make|mpirun|go|gpu/|train/|gpt2wgpu (train|bench|tune|selftest))\b`)

// printed returns the commands of a text, those of indented lines and those between backquotes, in order and each once.
func printed(text string, indent int) (commands []string) {
	seen := map[string]bool{}
	add := func(command string) {
		command, _, _ = strings.Cut(command, "  #") // a comment
		command = strings.Join(strings.Fields(command), " ")
		command = strings.ReplaceAll(command, "./gpt2wgpu", "gpt2wgpu") // "./" is a checkout's, PATH a user's
		if starts.MatchString(command) && !seen[command] {
			seen[command] = true
			commands = append(commands, command)
		}
	}
	margin := strings.Repeat(" ", indent)
	var prose strings.Builder
	for _, line := range strings.Split(text, "\n") {
		if code, ok := strings.CutPrefix(line, margin); ok && !strings.HasPrefix(code, " ") {
			add(code)
		} else {
			prose.WriteString(line + "\n")
		}
	}
	for i, span := range strings.Split(prose.String(), "`") {
		if i%2 == 1 {
			add(span)
		}
	}
	return commands
}

// TestPrinted: what counts as a command.
func TestPrinted(t *testing.T) {
	got := printed("    make train\n\nRun `gpt2wgpu\nbench` and `--steps`.\n\n    ./gpt2wgpu devices    # what is "+
		"here\n    model.safetensors\n      gpt2wgpu deeper\n", 4)
	want := "make train|gpt2wgpu devices|gpt2wgpu bench"
	if strings.Join(got, "|") != want {
		t.Errorf("%q, want %s", got, want)
	}
}

// session is a folder with the program and the inputs that the documents name, in which commands are run.
type session struct {
	root, dir string
	env       []string
}

func (s session) run(t *testing.T, command string) (output string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	needs.Programs(t, "bash")
	cmd := exec.CommandContext(ctx, "bash", "-c", command)
	cmd.Dir, cmd.Env = s.dir, s.env
	if !strings.Contains(command, "gpt2wgpu ") && !strings.Contains(command, "SMALL=1") {
		cmd.Dir = s.root // make, go and scripts
	}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestCommands runs every command of README.md, CONTRIBUTING.md, docs/*.md, docs/recipes and --help, as printed or
// as the table says.
func TestCommands(t *testing.T) {
	needs.Programs(t, "go", "bash", "make")
	gputest.Available(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := []string{"build", "-o", bin, "./cmd/gpt2wgpu"}
	_, errCC := exec.LookPath("mpicc")
	_, errRun := exec.LookPath("mpirun")
	mpi := errCC == nil && errRun == nil
	if mpi {
		build = append([]string{"build", "-tags", "mpi"}, build[1:]...)
		t.Setenv("CC", "mpicc")
	}
	cmd := exec.Command("go", build...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	python := "python3"
	if exec.Command("/usr/bin/python3", "-c", "import torch").Run() == nil { // asked for: see the skip below
		python = "/usr/bin/python3"
	}
	env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "TORCH="+python,
		"HF_ENDPOINT="+hub(t), "HF_HUB_OFFLINE=", "HF_HUB_CACHE=", "HF_HOME=", "HF_TOKEN=",
		"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMPI_MCA_rmaps_base_oversubscribe=1")

	sources := map[string][]string{}
	files, err := filepath.Glob("*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range append(files, "../README.md", "../CONTRIBUTING.md") {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sources[filepath.Base(f)] = printed(string(raw), 4)
	}
	for page, commands := range recipePages(t) {
		sources[page] = commands
	}
	s := session{root, bin, env}
	help, err := s.run(t, "gpt2wgpu help")
	if err != nil {
		t.Fatal(err, help)
	}
	for _, line := range strings.Split(help, "\n") {
		if m := regexp.MustCompile(`^  (\w+)   `).FindStringSubmatch(line); m != nil {
			text, err := s.run(t, "gpt2wgpu "+m[1]+" --help")
			if err != nil {
				t.Fatal(err, text)
			}
			help += text
		}
	}
	usage := regexp.MustCompile(`\[|<command>`)
	for _, c := range printed(help, 2) {
		if !usage.MatchString(c) {
			sources["help"] = append(sources["help"], c)
		}
	}

	known, done := map[string]bool{}, map[string]bool{}
	for source, commands := range sources {
		for _, c := range commands {
			known[c] = true
		}
		t.Run(source, func(t *testing.T) {
			s := session{root, scratch(t), nil}
			s.env = append(env, "XDG_CACHE_HOME="+filepath.Join(s.dir, "cache"), "SCRATCH="+s.dir)
			if len(commands) == 0 && (source == "help" || source == "README.md") {
				t.Error("no commands")
			}
			for _, c := range commands {
				run := c
				if other, ok := instead[c]; ok {
					run = other[1]
					if more, ok := strings.CutPrefix(run, "…"); ok {
						run = c + more
					}
					if done[run] && !strings.Contains(run, "runs/") { // in another document
						continue
					}
					done[run] = true
				} else if heavy.MatchString(c) && !strings.Contains(c, "--dry-run") && !strings.Contains(c, "--help") {
					t.Errorf("%q is printed, and may take long; the table must say how it is run here", c)
					continue
				}
				t.Run(c, func(t *testing.T) {
					if strings.HasPrefix(run, "mpirun") && !mpi {
						t.Skip("needs mpicc and mpirun")
					}
					if strings.HasPrefix(run, "$TORCH") && python == "python3" {
						t.Skip("needs /usr/bin/python3 with torch")
					}
					start := time.Now()
					out, err := s.run(t, run)
					if err != nil {
						t.Errorf("%s: %v\n%s", run, err, out)
					}
					t.Logf("%s: %.1f s", run, time.Since(start).Seconds())
				})
			}
		})
	}
	t.Run("recipes", func(t *testing.T) {
		testRecipes(t, append(env, "XDG_CACHE_HOME="+t.TempDir()), root, mpi)
	})
	for c, other := range instead {
		if !known[c] {
			t.Errorf("%q is printed nowhere, but the table has it", c)
		}
		if other[0] == "" || other[1] == "" {
			t.Errorf("%q: no reason, or nothing that is run instead", c)
		}
	}
}

// scratch makes a folder with what the documents take as given: texts, and a wrapper that makes bench and selftest
// short.
func scratch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := []byte(strings.Repeat("First Citizen:\nBefore we proceed any further, hear me speak.\n\n", 300))
	questions, err := os.ReadFile("../train/eval/testdata/hellaswag/questions.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	account := func(name string, content []byte) []byte { // of something fetched before
		raw, err := json.Marshal(map[string]any{"files": []map[string]any{{"name": name, "bytes": len(content)}}})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, content := range map[string][]byte{
		"input.txt": text, "tinyshakespeare/input.txt": text, "corpus/a.txt": text, "corpus/b.txt": text,
		"quick": []byte("#!/usr/bin/env bash\ncase $1 in\nselftest) set -- \"$@\" --kernel residual ;;\nbench) set " +
			"-- \"$@\" --preset tiny --passes 1 --kernel matmul_forward/fc --step ;;\nesac\nexec gpt2wgpu \"$@\"\n"),
		// shakespeare's text is pinned by its hash and HellaSwag by its number of questions: data/fetch_test.go fetches
		// such files.
		"cache/gpt2wgpu/shakespeare/input.txt":         text,
		"cache/gpt2wgpu/shakespeare/complete.json":     account("input.txt", text),
		"cache/gpt2wgpu/hellaswag/hellaswag_val.jsonl": questions,
		"cache/gpt2wgpu/hellaswag/complete.json":       account("hellaswag_val.jsonl", questions),
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// hub serves small weights under GPT-2's name, as the Hugging Face hub does, and returns its address.
func hub(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	w := gpt2.Init(gpt2.Config{NLayer: 1, NHead: 2, NEmbd: 16, BlockSize: 1024, VocabSize: 50257}, 1)
	if err := gpt2.WriteDir(dir, w.Config, w.Tensor, nil); err != nil {
		t.Fatal(err)
	}
	const commit = "0123456789012345678901234567890123456789"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch name := filepath.Base(r.URL.Path); r.URL.Path {
		case "/api/models/openai-community/gpt2/revision/main":
			io.WriteString(w, `{"sha":"`+commit+
				`","siblings":[{"rfilename":"config.json"},{"rfilename":"model.safetensors"}]}`)
		case "/openai-community/gpt2/resolve/" + commit + "/" + name:
			http.ServeFile(w, r, filepath.Join(dir, name))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestCIRunsThem: what the table leaves to CI is in CI's files.
func TestCIRunsThem(t *testing.T) {
	gate, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	workflow, err := os.ReadFile("../.github/workflows/ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"test", "test-mpi", "mpi"} {
		if !regexp.MustCompile(`(?m)^make .*\b` + target + `( |$)`).Match(gate) {
			t.Errorf(".ci/run does not run make %s", target)
		}
	}
	for _, script := range []string{".ci/browser", ".ci/clients", ".ci/isa", ".ci/js", ".ci/tint"} {
		if !bytes.Contains(gate, []byte("bash "+script)) {
			t.Errorf(".ci/run does not run %s", script)
		}
	}
	for _, step := range []string{"bash .ci/run", "make train"} {
		if !bytes.Contains(workflow, []byte("- run: "+step+"\n")) {
			t.Errorf("ci.yml does not run %s", step)
		}
	}
}
