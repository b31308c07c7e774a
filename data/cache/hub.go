package cache

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
)

// Model returns a directory with the config.json and model.safetensors of gpt2, gpt2-medium, gpt2-large or gpt2-xl: the
// cache of this user's Hugging Face libraries, else our own. Errors are those of [Open].
func Model(name string) (string, error) {
	if dir, ok := HubSnapshot(name); ok {
		return dir, nil
	}
	path, _, err := Open(name)
	return path, err
}

// hubCache is where the Hugging Face libraries keep what they download: HF_HUB_CACHE, or hub in HF_HOME, by default
// ~/.cache/huggingface.
func hubCache() string {
	cache := cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(xdg.Home, ".cache")) // so on every system, unlike xdg's
	home := cmp.Or(os.Getenv("HF_HOME"), filepath.Join(cache, "huggingface"))
	return cmp.Or(os.Getenv("HF_HUB_CACHE"), filepath.Join(home, "hub"))
}

// HubSnapshot returns the snapshot of a model's main branch that the Hugging Face libraries keep, if all its files are
// there: models--OWNER--NAME/refs/main names a commit, snapshots/COMMIT holds links to the files, which appear when
// complete.
func HubSnapshot(name string) (dir string, ok bool) {
	d := Datasets[name]
	if d.Kind != "models" {
		return "", false
	}
	root := filepath.Join(hubCache(), "models--"+strings.ReplaceAll(d.Repo, "/", "--"))
	commit, err := plainfile.Read(filepath.Join(root, "refs", "main"), 1<<10)
	id := strings.TrimSpace(string(commit))
	if err != nil || id == "" || id != filepath.Base(id) || !filepath.IsLocal(id) {
		return "", false
	}
	dir = filepath.Join(root, "snapshots", id)
	for _, n := range d.Names {
		file := filepath.Join(dir, n)
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || !within(root, file) {
			return "", false
		}
	}
	return dir, true
}
