package fetch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/adrg/xdg"

	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// TestHubCache lays out the cache of the Hugging Face libraries: a whole model is used as it stands, without network,
// from each of the places that their variables name; half a model isn't.
func TestHubCache(t *testing.T) {
	needs.Symlinks(t)
	clear := func() {
		for _, v := range []string{"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"} {
			t.Setenv(v, "")
		}
	}
	t.Cleanup(xdg.Reload)
	for variable, below := range map[string]string{"HF_HUB_CACHE": "", "HF_HOME": "hub",
		"XDG_CACHE_HOME": "huggingface/hub"} {
		clear()
		base := t.TempDir()
		t.Setenv(variable, base)
		t.Setenv("HF_HUB_OFFLINE", "1")
		xdg.Reload()
		root := filepath.Join(base, filepath.FromSlash(below), "models--openai-community--gpt2")
		snapshot := filepath.Join(root, "snapshots", "0123abcd")
		write := func(path, text string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		write(filepath.Join(root, "refs", "main"), "0123abcd")
		write(filepath.Join(snapshot, "config.json"), "{}")
		blob := filepath.Join(root, "blobs", "77")
		if err := os.MkdirAll(filepath.Dir(blob), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.FromSlash("../../blobs/77"), filepath.Join(snapshot,
			"model.safetensors")); err != nil {
			t.Fatal(err)
		}
		emptyCache(t)
		if dir, err := Model(t.Context(), "gpt2", Options{}); err == nil {
			t.Errorf("%s: half a model was taken: %s", variable, dir)
		}
		write(blob, "weights")
		for what, get := range map[string]func() (string, error){
			"fetch.Model": func() (string, error) { return Model(t.Context(), "gpt2", Options{}) },
			"cache.Model": func() (string, error) { return cache.Model("gpt2") },
		} {
			if dir, err := get(); err != nil || dir != snapshot {
				t.Errorf("%s: %s gives %s, %v, want %s", variable, what, dir, err, snapshot)
			}
		}
		write(filepath.Join(root, "refs", "main"), "../../elsewhere")
		if dir, err := Model(t.Context(), "gpt2", Options{}); err == nil {
			t.Errorf("%s: a reference outside the cache was followed: %s", variable, dir)
		}
	}
	if _, err := Model(t.Context(), "gpt3", Options{}); err == nil {
		t.Error("an unknown name was taken")
	}
}
