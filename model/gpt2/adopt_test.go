package gpt2

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAdopt: bare weights get the config.json that they were written with, but for heads, which they don't show.
func TestAdopt(t *testing.T) {
	for _, c := range []struct {
		shape Config
		heads int
		want  string // of an error
	}{
		{Config{NLayer: 2, NHead: 3, NEmbd: 48, BlockSize: 16, VocabSize: 40}, 3, ""},
		{Config{NLayer: 1, NHead: 12, NEmbd: 768, BlockSize: 4, VocabSize: 10}, 0, ""},
		{Config{NLayer: 2, NHead: 3, NEmbd: 48, BlockSize: 16, VocabSize: 40}, 0, "want to know their heads"},
		{Config{NLayer: 2, NHead: 3, NEmbd: 48, BlockSize: 16, VocabSize: 40}, 5, "--n-head"},
	} {
		dir := t.TempDir()
		w := Init(c.shape, 1)
		if err := WriteDir(dir, c.shape, w.Tensor, nil); err != nil {
			t.Fatal(err)
		}
		config := filepath.Join(dir, configFile)
		was, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(config)
		got, err := Adopt(dir, c.heads)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v, %d heads: %v, want %s", c.shape, c.heads, err, c.want)
			}
			continue
		}
		if err != nil || got != c.shape {
			t.Errorf("%+v: %+v, %v", c.shape, got, err)
		}
		if is, err := os.ReadFile(config); err != nil || string(is) != string(was) {
			t.Errorf("%+v: config.json is\n%s, %v, want\n%s", c.shape, is, err, was)
		}
	}
	other := t.TempDir()
	x := func(int) ([]float32, error) { return []float32{1}, nil }
	list := []Param{{Name: "x", Shape: []int{1}}}
	if err := WriteSafetensors(filepath.Join(other, weightsFile), list, x, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Adopt(other, 1); err == nil || !strings.Contains(err.Error(), "want a GPT-2") {
		t.Errorf("another model: %v", err)
	}
}
