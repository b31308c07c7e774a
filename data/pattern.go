package data

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// isPattern reports whether spec, for which stat gave err, may be a glob. Whatever the error is: for a name with * or ?
// Windows reports an invalid name and not fs.ErrNotExist, and a long pattern is a name too long for any system.
func isPattern(spec string, err error) bool {
	return err != nil && strings.ContainsAny(spec, "*?[")
}

// Expand returns paths with every glob among them replaced by the files and directories that it matches, in order. Unix
// shells do this before a program starts, those of Windows leave it to the program. A name that exists is never a glob.
// Errors: a malformed pattern, one that matches nothing.
func Expand(paths []string) ([]string, error) {
	var all []string
	for _, p := range paths {
		if _, err := os.Stat(p); !isPattern(p, err) {
			all = append(all, p) // that it is missing is for its reader to report
			continue
		}
		found, err := matches(p)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// matches returns what a glob matches, in order, or an error.
func matches(pattern string) ([]string, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w; hint: quote it, and close every [", pattern, err)
	}
	if !strings.HasPrefix(filepath.Base(pattern), ".") { // as shells do: .DS_Store is not meant
		paths = slices.DeleteFunc(paths, func(p string) bool { return strings.HasPrefix(filepath.Base(p), ".") })
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no file matches %s: %w; hint: check the path, and quote the pattern", pattern,
			fs.ErrNotExist)
	}
	slices.Sort(paths)
	return paths, nil
}
