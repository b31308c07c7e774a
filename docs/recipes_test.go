package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// recipes are the scripts of docs/recipes and what each leaves behind in the folder where it runs, with SMALL=1.
var recipes = map[string][]string{
	"own-text.sh":            {"runs/own-text/report.html", "runs/own-text/checkpoints/latest"},
	"fine-tuning.sh":         {"runs/fine/checkpoints/latest"},
	"gpt2-124m.sh":           {"runs/gpt2-124m/checkpoints/latest", "runs/gpt2-124m/tokens.svg"},
	"several-gpus.sh":        {"runs/several/checkpoints/latest"},
	"sampling-and-export.sh": {"exports/samples.jsonl", "exports/hf/model.safetensors", "exports/model.bin"},
}

// inScripts returns the commands of a script, without what SMALL=1 adds to them.
func inScripts(script string) map[string]bool {
	commands := map[string]bool{}
	for _, line := range strings.Split(script, "\n") {
		line = strings.NewReplacer(" $small", "", " $few", "").Replace(line)
		commands[strings.Join(strings.Fields(line), " ")] = true
	}
	return commands
}

// recipePages returns the commands of the pages of docs/recipes that their scripts do not have.
func recipePages(t *testing.T) map[string][]string {
	t.Helper()
	pages, err := filepath.Glob("recipes/*.md")
	if err != nil || len(pages) != len(recipes)+1 {
		t.Fatalf("%d pages for %d scripts and the list of them: %v", len(pages), len(recipes), err)
	}
	rest := map[string][]string{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		var script []byte
		name := strings.TrimSuffix(filepath.Base(page), ".md") + ".sh"
		if recipes[name] != nil {
			if script, err = os.ReadFile(filepath.Join("recipes", name)); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), "\n    docs/recipes/"+name) {
				t.Errorf("%s does not show how to run %s", page, name)
			}
		}
		has := inScripts(string(script))
		for _, c := range printed(string(text), 4) {
			if !has[c] {
				rest[page] = append(rest[page], c)
			}
		}
	}
	return rest
}

// testRecipes runs the scripts with SMALL=1, each in a folder of its own; mpi: the program has it.
func testRecipes(t *testing.T, env []string, root string, mpi bool) {
	scripts, err := filepath.Glob("recipes/*.sh")
	if err != nil || len(scripts) != len(recipes) {
		t.Errorf("%d scripts, the table has %d: %v", len(scripts), len(recipes), err)
	}
	for name, files := range recipes {
		t.Run(name, func(t *testing.T) {
			script := filepath.Join(root, "docs", "recipes", name)
			if text, err := os.ReadFile(script); err != nil || strings.Contains(string(text), "mpirun -np") && !mpi {
				t.Skip("needs mpicc and mpirun, ", err)
			}
			s := session{root, t.TempDir(), env}
			times := 1
			if name == "gpt2-124m.sh" {
				times = 2 // the second goes on with the run
			}
			for range times {
				if out, err := s.run(t, "SMALL=1 bash "+script); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			for _, f := range files {
				if info, err := os.Stat(filepath.Join(s.dir, f)); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v", f, err)
				}
			}
		})
	}
}

// TestTroubleshooting: what the page says that the program prints is in its sources.
func TestTroubleshooting(t *testing.T) {
	needs.Programs(t, "git")
	page, err := os.ReadFile("troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := (session{root: "..", dir: "..", env: os.Environ()}).run(t, "git ls-files '*.go' ':!*_test.go'")
	if err != nil {
		t.Fatal(err, files)
	}
	var sources strings.Builder
	for _, f := range strings.Fields(files) {
		text, err := os.ReadFile(filepath.Join("..", f))
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(text)
	}
	text := regexp.MustCompile(`"\s*\+\s*"`).ReplaceAllString(sources.String(), "") // literals of several lines
	n := 0
	for _, line := range strings.Split(string(page), "\n") {
		message, ok := strings.CutPrefix(line, "    ")
		if !ok || starts.MatchString(message) {
			continue
		}
		n++
		for _, part := range regexp.MustCompile(`…|; hint: `).Split(message, -1) {
			if part = strings.Trim(part, " :;,()"); !strings.Contains(text, part) {
				t.Errorf("%q: nothing prints %q", message, part)
			}
		}
	}
	if n < 15 {
		t.Errorf("%d messages", n)
	}
}

// TestGoVersion: the least version of Go that README and start.md name is go.mod's, which CI builds with.
func TestGoVersion(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if m == nil || regexp.MustCompile(`(?m)^replace\b`).Match(mod) {
		t.Fatalf("go.mod: version %q; a replace would keep go install from working", m)
	}
	for _, page := range []string{"../README.md", "start.md"} {
		text, err := os.ReadFile(page)
		if want := "**Go " + string(m[1]) + "** or newer"; err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q: %v", page, want, err)
		}
	}
}
