// Package gpt2wgpu_test holds the project's architecture as a test: which package may import which.
package gpt2wgpu_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

const module = "github.com/gpt2wgpu/gpt2wgpu/"

// imports is the statement of policy: imports of ours that a package may have. It points down only.
var imports = map[string]string{
	"shaders":      "shaders/wgsl",
	"shaders/wgsl": "",
	"data":         "data/atomicfile data/cache data/exactjson data/filemap data/lock data/parallel data/plainfile",
	"gpu":          "gpu/wgpu shaders/wgsl",
	"gpu/wgpu":     "shaders/wgsl",
	"gpu/ref":      "",
	"gpu/op":       "gpu shaders shaders/wgsl",
	"gpu/tune":     "data/atomicfile data/plainfile gpu gpu/op gpu/selftest shaders",
	"model/gpt2":   "data/atomicfile data/exactjson data/filemap data/parallel data/plainfile",
	"model":        "gpu gpu/op model/gpt2",
	"gpu/bench":    "gpu gpu/op shaders",
	"gpu/selftest": "gpu gpu/op gpu/ref",
	"gpu/isa":      "data/parallel gpu/wgpu shaders/wgsl",
	"cmd/isa":      "data/parallel gpu gpu/isa gpu/op gpu/selftest model train",
	"train": "data data/atomicfile data/cache data/exactjson data/lock data/plainfile gpu gpu/op model model/gpt2 " +
		"train/eval train/metrics train/oneline train/ranks train/shell train/supervise",
	"train/metrics":   "data/atomicfile data/exactjson data/plainfile",
	"train/bar":       "",
	"train/chart":     "",
	"train/runs":      "data/exactjson data/lock data/plainfile model/gpt2 train/chart train/metrics",
	"train/report":    "data/atomicfile data/plainfile train/chart train/runs train/shell",
	"train/dashboard": "data/plainfile model/gpt2 train/metrics train/report train/runs web/parts",
	"train/eval":      "data model train/metrics",
	"train/mpi":       "gpu train/ranks",
	"train/oneline":   "",
	"train/ranks":     "gpu model model/gpt2",
	"train/shell":     "",
	"train/supervise": "data/plainfile",

	"train/tensorboard": "data/atomicfile train/metrics",
	"train/panel":       "train/bar train/chart train/metrics train/runs",
	"cmd/gpt2wgpu": "data data/atomicfile data/cache data/fetch gpu gpu/bench gpu/op gpu/selftest gpu/tune model " +
		"model/gpt2 shaders train train/bar train/chart train/dashboard train/eval train/metrics train/mpi " +
		"train/oneline train/panel train/ranks train/report train/runs train/shell train/supervise " +
		"train/tensorboard",
	"cmd/web":      "data gpu gpu/selftest model model/gpt2 train train/metrics",
	"gpu/gputest":  "gpu gpu/op gpu/selftest",
	"data/needs":   "",
	"data/clients": "",
	"docs":         "",
	"web/parts":    "",

	"data/atomicfile": "",
	"data/cache":      "data/exactjson data/plainfile",
	"data/exactjson":  "",
	"data/fetch":      "data data/atomicfile data/cache data/exactjson data/lock data/plainfile",
	"data/filemap":    "",
	"data/lock":       "data/atomicfile data/plainfile",
	"data/parallel":   "",
	"data/plainfile":  "",
}

// testOnly may be imported only by tests.
var testOnly = map[string]string{
	"gpu/gputest": "it needs testing.TB",
	"data/needs":  "it needs testing.TB",
}

// only names the one package that may import a library, and why.
var only = map[string][2]string{
	"github.com/cogentcore/webgpu":  {"gpu/wgpu", "the binding is frozen upstream; one place must suffice to swap it"},
	"github.com/spf13/pflag":        {"cmd/gpt2wgpu", "libraries take structs, not flags"},
	"github.com/charmbracelet/log":  {"cmd/gpt2wgpu", "libraries log through log/slog"},
	"gonum.org/v1/plot":             {"train/chart", "pictures have one home"},
	"charm.land/bubbletea/v2":       {"train/panel", "one place draws on terminals"},
	"github.com/nlpodyssey/":        {"model/gpt2", "weights files have one home"},
	"github.com/pkoukk/tiktoken-go": {"data", "tokenizers have one home"},
	"github.com/parquet-go/":        {"data", "datasets have one home"},
	"github.com/sbinet/npyio":       {"data", "shards have one home"},
	"github.com/edsrzf/mmap-go":     {"data/filemap", "not every file system maps files"},
}

// notOurs reports whether a directory has no sources: hidden ones, and what make targets build.
func notOurs(path string, d fs.DirEntry) bool {
	return d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || path == "build" || path == "runs")
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if notOurs(path, d) {
			return filepath.SkipDir
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if d.IsDir() || !strings.HasSuffix(path, ".go") || dir == "." {
			return nil
		}
		allowed, known := imports[dir]
		if !known {
			t.Errorf("%s: package %s is not in the table of imports", path, dir)
			return nil
		}
		seen[dir] = true
		isTest := strings.HasSuffix(path, "_test.go")
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			for lib, rule := range only {
				if strings.HasPrefix(name, lib) && dir != rule[0] {
					t.Errorf("%s imports %s, which only %s may: %s", path, name, rule[0], rule[1])
				}
			}
			if _, bound := testOnly[dir]; name == "testing" && !isTest && !bound {
				t.Errorf("%s imports testing: the program carries no test framework", path)
			}
			ours, ok := strings.CutPrefix(name, module)
			if !ok || ours == dir {
				continue
			}
			if why, bound := testOnly[ours]; bound {
				if !isTest {
					t.Errorf("%s imports %s outside a test: %s", path, ours, why)
				}
				continue
			}
			if !isTest && !slices.Contains(strings.Fields(allowed), ours) {
				t.Errorf("%s imports %s; %s may import only: %s", path, ours, dir, allowed)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir := range imports {
		if !seen[dir] {
			t.Errorf("the table names %s, which does not exist", dir)
		}
	}
}

// TestDocs: every package says in its doc.go what it is for, in three sentences at the top.
func TestDocs(t *testing.T) {
	sentence := regexp.MustCompile(`[.](\s|$)`)
	for dir := range imports {
		sources, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(sources, func(f string) bool { return !strings.HasSuffix(f, "_test.go") }) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), dir+"/doc.go", nil,
			parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Errorf("%v; hint: a package's doc.go says in three sentences what it is for", err)
			continue
		}
		first, _, _ := strings.Cut(strings.TrimSpace(file.Doc.Text()), "\n\n")
		if n := len(sentence.FindAllString(first, -1)); n != 3 {
			t.Errorf("%s/doc.go: %d sentences in its first paragraph, want 3", dir, n)
		}
	}
}

// asks names the files above gpu that ask what a device is, and why. Everything else takes an op.Target.
var asks = map[string]string{
	"gpu/op/target.go":     "TargetFor",
	"gpu/tune/tune.go":     "how long measuring may take",
	"gpu/bench/measure.go": "how much work a measurement of the peak rates needs",
}

// TestLines holds the width of a line: 120 columns, of which a tab takes 4.
func TestLines(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && (name == "build" || name != "." && strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		if ext := filepath.Ext(path); entry.IsDir() || ext != ".go" && ext != ".wgsl" {
			return nil
		}
		text, err := os.ReadFile(path)
		for i, line := range strings.Split(string(text), "\n") {
			if n := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t"); n > 120 {
				t.Errorf("%s:%d has %d columns, want at most 120", path, i+1, n)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneAsksWhatADeviceIs(t *testing.T) {
	question := regexp.MustCompile(`\.Software\(\)|\bInfo\.(Type|Name|Vendor|Backend)\b|llvmpipe`)
	seen := map[string]bool{}
	for _, dir := range []string{"gpu/op", "gpu/selftest", "gpu/tune", "gpu/bench", "model"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code := regexp.MustCompile(`(?m)//.*$`).ReplaceAllString(string(text), "")
			f = filepath.ToSlash(f)
			if found := question.FindString(code); found != "" {
				seen[f] = true
				if asks[f] == "" {
					t.Errorf("%s asks what the device is (%s); hint: a field of op.Target", f, found)
				}
			}
		}
	}
	for f := range asks {
		if !seen[f] {
			t.Errorf("%s asks no more what a device is: the table names it", f)
		}
	}
}

// platform is what not every system has: a test whose text matches must ask for it with the call on the right (see
// data/needs). What unix has everywhere needs no asking in a file with the build constraint unix or linux, and /proc
// none with linux.
var platform = []struct {
	use, ask string
	unix     bool
}{
	{`os\.(Symlink|Readlink)\(`, `needs\.Symlinks\(`, true},
	{`os\.Link\(`, `needs\.\w+\(`, true},
	// not for root
	{`os\.Chmod\([^\n]*0o?[0-7]{3}\)|os\.Mkdir(All)?\([^\n]*0o?[45]00\)`, `needs\.(Permissions|Modes)\(`, false},
	{`\.Mode\(\)\.Perm\(`, `needs\.Modes\(`, true},
	{`syscall\.(SIG|Kill\b)|\.Signal\(`, `needs\.Signals\(`, true},
	// Linux's
	{`["> ]/dev/(full|shm)\b|["> ]/sys/`, `needs\.Paths\(`, false},
	{`["> ]/proc/`, `needs\.Paths\(`, false},
	// sh; the tag mpi is for machines with mpirun
	{`exec\.Command(Context)?\((ctx, |context\.Background\(\), |t\.Context\(\), )?"\w`, `needs\.Programs\(`, true},
}

// TestPlatform: what a test needs from a platform, it asks for.
func TestPlatform(t *testing.T) {
	type rule struct{ use, ask *regexp.Regexp }
	var rules []rule
	for _, p := range platform {
		rules = append(rules, rule{regexp.MustCompile(p.use), regexp.MustCompile(p.ask)})
	}
	constraint := regexp.MustCompile(`(?m)^//go:build (unix|mpi|linux)$`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && notOurs(path, d) {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") || path == "arch_test.go" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		unix, linux := constraint.Match(raw), bytes.HasPrefix(raw, []byte("//go:build linux\n"))
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, raw, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			text := raw[set.Position(decl.Pos()).Offset:set.Position(decl.End()).Offset]
			for i, r := range rules {
				if unix && platform[i].unix || linux && strings.Contains(platform[i].use, "/proc/") {
					continue
				}
				if use := r.use.Find(text); use != nil && !r.ask.Match(text) {
					t.Errorf("%s: %s without %s in the same function", set.Position(decl.Pos()), use, platform[i].ask)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
