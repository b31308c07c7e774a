package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// flagSet is the flags of a command, in the sections of its help.
type flagSet struct {
	*pflag.FlagSet
	name     string
	sections []section
	log      logOptions
}

type section struct {
	title string
	verbs []string // of the command that the flags belong to; none: to all
	*pflag.FlagSet
}

func newFlagSet(name string) *flagSet { return &flagSet{FlagSet: newPflags(name), name: name} }

func newPflags(name string) *pflag.FlagSet {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(io.Discard) // run reports
	fs.Usage = func() {}
	return fs
}

// section starts a section; flags defined on what it returns belong to it, and to these verbs of the command only.
func (fs *flagSet) section(title string, verbs ...string) *pflag.FlagSet {
	s := section{title, verbs, newPflags(title)}
	fs.sections = append(fs.sections, s)
	return s.FlagSet
}

// logFlags defines the flags that every command that prints messages has.
func (fs *flagSet) logFlags(to *pflag.FlagSet) {
	to.StringVar(&fs.log.format, "log-format", "text", "`format` of the messages on standard error: text, json")
	to.BoolVarP(&fs.log.verbose, "verbose", "v", false, "print more messages")
	to.BoolVarP(&fs.log.quiet, "quiet", "q", false, "print only warnings and errors")
}

// join makes the flags of all sections those of the set.
func (fs *flagSet) join() {
	for _, s := range fs.sections {
		fs.AddFlagSet(s.FlagSet)
	}
}

// parse parses args with the flags of all sections. Shells leave the ~ of --out=~/runs/x as it is.
func (fs *flagSet) parse(args []string) error {
	fs.join()
	if err := fs.Parse(args); err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	for name, v := range flagValues {
		if f := fs.Lookup(name); err == nil && v.file && f != nil && strings.HasPrefix(f.Value.String(), "~/") {
			f.Value.Set(filepath.Join(home, f.Value.String()[2:])) // a string, which takes any value
		}
	}
	return nil
}

// wantsJSON reports whether args, which may have mistakes, ask for the JSON log.
func wantsJSON(args []string) bool {
	i := slices.Index(args, "--log-format")
	return slices.Contains(args, "--log-format=json") || i >= 0 && i+1 < len(args) && args[i+1] == "json"
}

// explain turns an error of Parse into a line with a hint. help is the command that lists the flags.
func (fs *flagSet) explain(err error, help string) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name, given := unknown.GetSpecifiedName(), "--"+unknown.GetSpecifiedName()
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			name, given = short, "-"+short
		}
		var names []string
		fs.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		hint := didYouMean("--", name, names, help+" lists the flags")
		return usagef("unknown flag %s; hint: %s", given, hint)
	case errors.As(err, &missing):
		f := missing.GetFlag()
		return usagef("--%s has no value, want %s; hint: --%s %s", f.Name, wanted(f), f.Name, example(f))
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return usagef("--%s is %q, want %s; hint: --%s %s", f.Name, invalid.GetValue(), wanted(f), f.Name, example(f))
	}
	return usagef("%w; hint: %s", err, help)
}

// wants says which values flags take, by their types.
var wants = map[string]string{
	"int": "a whole number", "uint64": "a whole number, 0 or more", "float64": "a number",
	"fraction": "a number, 0 or more and below 1", "bool": "true or false",
}

// wanted says which values a flag takes.
func wanted(f *pflag.Flag) string { return cmp.Or(wants[f.Value.Type()], "a value") }

// example is a value that the flag would take.
func example(f *pflag.Flag) string {
	name, _ := pflag.UnquoteUsage(f)
	return cmp.Or(f.DefValue, map[string]string{"fraction": "0.1"}[f.Value.Type()], name)
}

// didYouMean is the hint about an unknown name: the candidate that is near, behind prefix, or else.
func didYouMean(prefix, name string, candidates []string, otherwise string) string {
	if near := nearest(name, candidates); near != "" {
		return fmt.Sprintf("did you mean %s%s?", prefix, near)
	}
	return otherwise
}

// nearest returns the candidate that name is most likely a slip of, or "".
func nearest(name string, candidates []string) string {
	plain := strings.NewReplacer("_", "-").Replace(strings.ToLower(name))
	best, least := "", min(3, len(plain)/2)+1 // a swap counts as two
	for _, c := range candidates {
		if d := distance(plain, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
