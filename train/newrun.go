package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// RunsDir is where runs without --out go, and where commands look for the newest one.
const RunsDir = "runs"

// MakeRunDir makes the directory of a new run, dir/name-N, and returns its path. N is one more than the largest there.
// No two processes get the same. Errors: those of the file system, with a hint.
func MakeRunDir(dir, name string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", runDirError(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", runDirError(err)
	}
	largest := 0
	for _, e := range entries {
		if number, ok := strings.CutPrefix(e.Name(), name+"-"); ok {
			if n, err := strconv.Atoi(number); err == nil && n < maxCount {
				largest = max(largest, n)
			}
		}
	}
	for n := largest + 1; ; n++ {
		path := filepath.Join(dir, fmt.Sprintf("%s-%d", name, n))
		if err := os.Mkdir(path, 0o755); !errors.Is(err, fs.ErrExist) {
			return path, runDirError(err)
		}
	}
}

func runDirError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the run's directory: %w; hint: --out DIR where you may write, or --out \"\" to save nothing",
		err)
}

// RemoveUnused removes a directory of [MakeRunDir], and its parent, as far as a run has left nothing in them: no
// checkpoint and no line of metrics. Files that the run made at its start go with it.
func RemoveUnused(path string) {
	if info, err := os.Stat(filepath.Join(path, metricsFile)); err == nil && info.Size() > 0 {
		return
	}
	if _, err := os.Stat(filepath.Join(path, gpt2.CheckpointsDir)); err == nil {
		return
	}
	for _, name := range []string{configFile, metricsFile, lockFile, lockFile + ".json"} {
		os.Remove(filepath.Join(path, name))
	}
	if os.Remove(path) == nil { // fails where there is anything else
		os.Remove(filepath.Dir(path))
	}
}

// NewestRun returns the directory in dir whose run was worked on last, or "".
func NewestRun(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var newest string
	var when time.Time
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		for _, mark := range []string{configFile, metricsFile, filepath.Join(gpt2.CheckpointsDir, gpt2.LatestFile)} {
			if info, err := os.Stat(filepath.Join(path, mark)); err == nil && info.ModTime().After(when) {
				newest, when = path, info.ModTime()
			}
		}
	}
	return newest
}
