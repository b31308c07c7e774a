package data

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Split says what part of a data set a file is, or which one a corpus takes.
type Split string

const (
	Train Split = "train"
	Val   Split = "val"
	test  Split = "test" // validates where no file is named for validation
)

// splitWords are the words in file names that name a split, those of Hugging Face's datasets library. The others are
// common in the names of texts too ("training.md", "dev-notes.md"): they count only where the names have two splits,
// one of them by a word of the first list, or where every file has such a word.
var splitWords = map[string]Split{"train": Train, "val": Val, "valid": Val, "validation": Val, "test": test}
var weakWords = map[string]Split{"training": Train, "dev": Val, "testing": test, "eval": test, "evaluation": test}

// splitOf returns the split that a name has, "" if none. A name is a path below the directory that was given:
// the innermost folder whose whole name is such a word decides, else the last such word in the file's own name. A word
// stands between characters that are not letters: medieval.txt and constrained_0.npy have none.
func splitOf(name string) (s Split, weak bool) {
	folders, file := path.Split(strings.ToLower(filepath.ToSlash(name)))
	words := strings.FieldsFunc(file, func(r rune) bool { return r < 'a' || r > 'z' })
	for _, w := range slices.Backward(append(words, strings.Split(folders, "/")...)) {
		if s := splitWords[w]; s != "" {
			return s, false
		} else if s := weakWords[w]; s != "" {
			return s, true
		}
	}
	return "", false
}

// SplitOf returns the split in a file's name, "" if it has none.
func SplitOf(name string) Split { s, _ := splitOf(name); return s }

// Parts are the files that a spec names, by what they are for.
type Parts struct {
	Train []string
	Val   []string // named for validation, else for test; none: validation takes a part of Train
	Left  []string // neither: named for test beside Val, or for nothing beside files named for training
	Texts bool     // .txt and .md files of the user's own, and not of a data set that has a name

	Named bool // of a data set that has a name

	dir bool // a directory was named, and not the files themselves

	foreign []string // beside the texts of a directory: files of other kinds
}

// partition sorts files below root by the splits in their names.
func partition(root string, paths []string) (p Parts) {
	by := map[Split][]string{}
	for _, counts := range []bool{true, false} { // whether weak words do
		clear(by)
		strong := false
		for _, path := range paths {
			name, err := filepath.Rel(root, path)
			if err != nil {
				name = filepath.Base(path)
			}
			s, weak := splitOf(name)
			strong = strong || s != "" && !weak
			if weak && !counts {
				s = ""
			}
			by[s] = append(by[s], path)
		}
		if n := len(by); by[""] == nil && n > 1 || n > 2 && strong {
			break
		}
	}
	p.Train, p.Val = by[Train], by[Val]
	if p.Train != nil {
		p.Left = by[""]
	} else {
		p.Train = by[""]
	}
	if p.Val != nil {
		p.Left = append(p.Left, by[test]...)
	} else {
		p.Val = by[test]
	}
	return p
}

// of returns the files of a split. A file or a glob that names files of the other split only says what is wanted; of a
// directory it is an error.
func (p Parts) of(split Split, spec string) ([]string, error) {
	switch {
	case split == Val && p.Val != nil:
		return p.Val, nil
	case split == Val && p.dir && SplitOf(filepath.Base(p.Train[0])) == Train:
		return nil, fmt.Errorf(`%s: none of its files is named for validation ("val" or "test"), %s is for training; `+
			`hint: name the file or a quoted glob`, spec, filepath.Base(p.Train[0]))
	case p.Train != nil:
		return p.Train, nil
	case p.dir:
		return nil, p.noTraining(spec)
	}
	return slices.Concat(p.Val, p.Left), nil
}

// Validation returns the files to validate on while others train; none: no file is named for it.
func (p Parts) Validation() []string {
	if p.Train == nil {
		return nil
	}
	return p.Val
}

func (p Parts) noTraining(spec string) error {
	return fmt.Errorf(`%s: all of its files are validation or test data by their names (%s), want some to train on `+
		`("train", or no such word); hint: name them by a quoted glob, '%s', to train on them anyway`, spec,
		someNames(p.Val), filepath.Join(filepath.Dir(p.Val[0]), "*"))
}

// use describes in a line what the files are for where paths are opened; empty: there is nothing to add.
func (p Parts) use(o openOptions, paths []string) string {
	rest := slices.Concat(p.Val, p.Left)
	switch {
	case o.split == Val && p.Val != nil:
		return "to validate on: " + someNames(paths)
	case o.split == Val: // the others were named along with files for training
		return strings.Replace(Parts{Train: paths, Left: p.Left}.String(), "train", "validate", 1)
	case p.Train == nil: // all were named one by one
		return Parts{Train: paths}.String()
	case !o.trainingOnly:
		return p.String()
	case len(rest) > 0:
		return Parts{Train: paths, Left: rest}.String()
	}
	return ""
}

// String lists in a line which files train, which validate and which are left out.
func (p Parts) String() string {
	var parts []string
	for _, list := range []struct {
		what  string
		paths []string
	}{{"to train on: ", p.Train}, {"to validate on: ", p.Val}, {"left out: ", p.Left}} {
		if len(list.paths) > 0 {
			parts = append(parts, list.what+someNames(list.paths))
		}
	}
	return strings.Join(parts, "; ")
}

// someNames lists up to three files.
func someNames(paths []string) string {
	var names []string
	for _, p := range paths {
		name := filepath.Base(p)
		if folder := filepath.Base(filepath.Dir(p)); SplitOf(name) == "" && SplitOf(folder+"/"+name) != "" {
			name = filepath.Join(folder, name) // whose name has the split
		}
		names = append(names, name)
	}
	if len(names) > 4 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
	}
	return strings.Join(names, ", ")
}

// commonDir returns the directory that all paths lie in.
func commonDir(paths []string) string {
	dir := filepath.Dir(paths[0])
	for _, p := range paths[1:] {
		for dir != filepath.Dir(dir) {
			if rel, err := filepath.Rel(dir, p); err == nil && filepath.IsLocal(rel) && rel != "." {
				break
			}
			dir = filepath.Dir(dir)
		}
	}
	return dir
}

// globRoot returns the directory before the first pattern of a glob.
func globRoot(pattern string) string {
	if i := strings.IndexAny(pattern, "*?["); i >= 0 {
		pattern = pattern[:i] + "x"
	}
	return filepath.Dir(pattern)
}
