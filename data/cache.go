package data

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"
)

// CacheDir is where fetched datasets are kept: gpt2wgpu in the user's cache directory (XDG_CACHE_HOME, by default
// ~/.cache on Linux, ~/Library/Caches on macOS, %LOCALAPPDATA%\cache on Windows).
func CacheDir() string { return filepath.Join(xdg.CacheHome, "gpt2wgpu") }

// dataset is something that can be fetched by name.
type dataset struct {
	corpus bool   // can be trained on
	text   string // the file, if it is one text; else it is a directory of shards
}

var datasets = map[string]dataset{
	"shakespeare": {corpus: true, text: "tinyshakespeare.txt"},
	"tinystories": {corpus: true},
	"fineweb-edu": {corpus: true},
	"hellaswag":   {text: "hellaswag_val.jsonl"},
}

// completeMark is written into a dataset's directory when all of it is there.
const completeMark = "complete.json"

// cached returns the files of a dataset fetched before.
func (d dataset) cached(name string, o openOptions) ([]string, error) {
	dir := o.cache
	if dir == "" {
		dir = CacheDir()
	}
	dir = filepath.Join(dir, name)
	if _, err := os.Stat(filepath.Join(dir, completeMark)); err != nil {
		what := "isn't in the cache yet"
		if _, err := os.Stat(dir); err == nil {
			what = "is in the cache only in part"
		}
		return nil, fmt.Errorf("data %s: %s: %w; hint: gpt2wgpu data fetch %s", name, what, err, name)
	}
	if d.text != "" {
		return []string{filepath.Join(dir, d.text)}, nil
	}
	return shardsIn(dir, o.split)
}
