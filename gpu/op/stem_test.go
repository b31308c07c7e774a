package op_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// TestEveryKernelHasAnOp walks shaders/: each kernel is named by an op of this folder, in a file that has a test beside
// it unless it holds no op itself and is tested with those that use it. One stem names kernels that differ in their
// end: attention_forward stands for attention_forward_direct and attention_forward_tiled. The peak_* kernels are
// yardsticks, not ops.
func TestEveryKernelHasAnOp(t *testing.T) {
	found, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, f := range found {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text[f] = string(b)
	}
	algorithm := regexp.MustCompile(`_(rows|columns|direct|tiled)$`)
	for _, name := range shaders.Names() {
		if strings.HasPrefix(name, "peak_") {
			continue
		}
		stem := algorithm.ReplaceAllString(name, "")
		named, tested := "", false
		for f, s := range text {
			if strings.HasSuffix(f, "_test.go") || !strings.Contains(s, `"`+name+`"`) &&
				!strings.Contains(s, `"`+stem+`"`) {
				continue
			}
			named = f
			tested = tested || !strings.Contains(s, ") AddTo(") ||
				strings.Contains(text[strings.TrimSuffix(f, ".go")+"_test.go"], "gputest.")
		}
		switch {
		case named == "":
			t.Errorf("shaders/%s.wgsl: no op names %q", name, stem)
		case !tested:
			t.Errorf("shaders/%s.wgsl: its op is in %s, and no test beside it runs on a GPU", name, named)
		}
	}
}

// TestFence: what is only for lavapipe stays in its own files, and in the one that reads tiles of earlier versions.
func TestFence(t *testing.T) {
	for _, pattern := range []string{"*.go", "../../model/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatal(found, err)
		}
		for _, f := range found {
			name := filepath.Base(f)
			if strings.Contains(name, "lavapipe") || strings.HasSuffix(name, "_test.go") || name == "tile_old.go" {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if word := regexp.MustCompile(`[pP]anel|"walk"|walk[A-Z]`).Find(text); word != nil {
				t.Errorf("%s mentions %s", f, word)
			}
		}
	}
}
