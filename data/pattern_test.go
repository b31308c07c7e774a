package data

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestIsPattern: any error of stat leads to the glob, since systems report a name with * in it in ways of their own.
func TestIsPattern(t *testing.T) {
	windows := &fs.PathError{Op: "CreateFile", Err: errors.New("The filename, directory name, or volume label " +
		"syntax is incorrect.")}
	for _, c := range []struct {
		spec string
		err  error
		want bool
	}{
		{`data\*.bin`, windows, true}, {`C:\data\train_??.npy`, windows, true}, {"data/*.bin", fs.ErrNotExist, true},
		{"data/[ab].txt", fs.ErrPermission, true}, {"data/[ab].txt", nil, false}, {"data/a.txt", windows, false},
		{"", windows, false},
	} {
		if got := isPattern(c.spec, c.err); got != c.want {
			t.Errorf("isPattern(%q, %v) = %v", c.spec, c.err, got)
		}
	}
}

// TestExpand: what an argument means, on a system whose shell expands no globs.
func TestExpand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.bin", "a.bin", "c.npy", "odd[1].bin", ".hidden.bin"} {
		write(t, filepath.Join(dir, name), binFile(1, 2, 3))
	}
	in := func(names ...string) []string {
		for i, n := range names {
			names[i] = filepath.Join(dir, n)
		}
		return names
	}
	for _, c := range []struct{ args, want []string }{
		{in("?.bin"), in("a.bin", "b.bin")},
		{in(".h*"), in(".hidden.bin")},
		{in("*.npy", "a.bin"), in("c.npy", "a.bin")},
		{in("odd[1].bin"), in("odd[1].bin")}, // a file of that name comes first
		{in("missing.bin"), in("missing.bin")},
		{nil, nil},
	} {
		got, err := Expand(c.args)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("Expand(%q) = %q, %v; want %q", c.args, got, err, c.want)
		}
	}
	for pattern, word := range map[string]string{"*.txt": "no file matches", "[": "pattern"} {
		if _, err := Expand(in(pattern)); err == nil || !strings.Contains(err.Error(), word) ||
			!strings.Contains(err.Error(), "; hint: ") {
			t.Errorf("Expand(%q): %v", pattern, err)
		}
	}
	// stat fails with "file name too long" here, and not with fs.ErrNotExist.
	long := "[a" + strings.Repeat("b", 300) + "].bin"
	if runtime.GOOS == "windows" {
		long = "?.bin"
	}
	c, err := Open(filepath.Join(dir, long), nil, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Len() != 6 {
		t.Errorf("%d tokens, want those of a.bin and b.bin", c.Len())
	}
	c.Close()
}

// TestMissingHint: a spec that is not a file gets the hint that suits it.
func TestMissingHint(t *testing.T) {
	for spec, want := range map[string]string{
		"https://example.com/a.txt": "download the file", "shakespere": "names are sample",
		"corpus.txt": "check the path", `C:\texts\a`: "check the path",
	} {
		if _, err := Open(spec, nil, 0, nil); err == nil || !strings.Contains(err.Error(), "hint: "+want) &&
			!strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v, want the hint %q", spec, err, want)
		}
	}
}
