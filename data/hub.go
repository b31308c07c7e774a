package data

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"
)

// FetchModel returns a directory with the config.json and model.safetensors of gpt2, gpt2-medium, gpt2-large or gpt2-xl. What
// the Hugging Face libraries of this user have downloaded before is taken as it is, without any network; else [Fetch]
// brings the files into our own cache. Errors are Fetch's.
func FetchModel(ctx context.Context, name string, o FetchOptions) (string, error) {
	if dir, ok := hubSnapshot(datasets[name]); ok {
		return dir, nil
	}
	return Fetch(ctx, name, o)
}

// CachedModel is [FetchModel] for what is there already; the error's hint is the command that fetches it.
func CachedModel(name string) (string, error) {
	if dir, ok := hubSnapshot(datasets[name]); ok {
		return dir, nil
	}
	return Cached(name, "")
}

// hubCache is where the Hugging Face libraries keep what they download: HF_HUB_CACHE, or hub in HF_HOME, by default
// ~/.cache/huggingface.
func hubCache() string {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub")
	}
	cache := os.Getenv("XDG_CACHE_HOME") // theirs is ~/.cache on every system, unlike xdg.CacheHome
	if cache == "" {
		cache = filepath.Join(xdg.Home, ".cache")
	}
	return filepath.Join(cache, "huggingface", "hub")
}

// hubSnapshot returns the snapshot of a model's main branch in that cache, if all its files are there:
// models--OWNER--NAME/refs/main names a commit, snapshots/COMMIT holds links to the files, which appear when complete.
func hubSnapshot(d dataset) (dir string, ok bool) {
	if d.kind != "models" {
		return "", false
	}
	root := filepath.Join(hubCache(), "models--"+strings.ReplaceAll(d.repo, "/", "--"))
	commit, err := os.ReadFile(filepath.Join(root, "refs", "main"))
	name := strings.TrimSpace(string(commit))
	if err != nil || name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) {
		return "", false
	}
	dir = filepath.Join(root, "snapshots", name)
	for _, n := range d.names {
		if info, err := os.Stat(filepath.Join(dir, n)); err != nil || !info.Mode().IsRegular() {
			return "", false
		}
	}
	return dir, true
}
