package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/runs"
)

// completeWord makes this program list the candidates for the word at the cursor of a command line. The scripts of the
// command completion call it with the shell's name, the words after the program's name, and the word at the cursor
// after a dot, since PowerShell drops empty words. It is not in the list of commands: nobody types it.
const completeWord = "complete-words"

// A candidate is a word that may stand at the cursor.
type candidate struct{ word, about string }

// filesToo stands for names of files, which the shell completes itself.
var filesToo = candidate{word: ":files"}

// listed makes candidates of list.
func listed(list ...string) (all []candidate) {
	for _, w := range list {
		all = append(all, candidate{word: w})
	}
	return all
}

// takes sets the words that a flag takes.
func takes(fs *pflag.FlagSet, flag string, list ...string) { fs.SetAnnotation(flag, "words", list) }

// flagValues has the flags that take the same values in every command: words, a file's name, or both.
var flagValues = map[string]struct {
	list func() []candidate
	file bool // a file's name
}{
	"config":     {nil, true},
	"data":       {datasets, true},
	"device":     {devices, false},
	"hellaswag":  {func() []candidate { return listed("fetch") }, true},
	"init":       {func() []candidate { return append(listed("scratch"), models()...) }, true},
	"log-format": {func() []candidate { return listed("text", "json") }, false},
	"model":      {models, true},
	"out":        {nil, true},
	"preset":     {presets, false},
	"tokenizer":  {func() []candidate { return listed("gpt2", "bytes") }, true},
	"val-data":   {datasets, true},
}

func presets() (all []candidate) {
	for _, p := range train.Presets {
		all = append(all, candidate{p.Name, p.Short})
	}
	return all
}

// fetched returns what data fetch takes, where wanted.
func fetched(wanted func(name string) bool) (all []candidate) {
	for _, n := range cache.Names() {
		if wanted(n) {
			all = append(all, candidate{n, cache.Datasets[n].About})
		}
	}
	return all
}

func isWeights(name string) bool {
	_, named := gpt2.Named(name)
	return named
}

func datasets() []candidate {
	return append(listed("sample"), fetched(func(name string) bool { return cache.Datasets[name].Corpus })...)
}

// devices opens the drivers, which takes a moment.
func devices() (all []candidate) {
	list, _ := gpu.Adapters()
	all = listed("auto")
	for _, a := range list {
		all = append(all, candidate{fmt.Sprint(a.Index), a.String()})
	}
	return append(all, listed("vulkan", "metal", "dx12", "cpu", "cuda", "mps")...)
}

// models are the runs here, and published weights.
func models() []candidate { return append(runsHere(), fetched(isWeights)...) }

func runsHere() []candidate {
	found, _ := runs.Find([]string{train.RunsDir})
	for i := range found {
		found[i] = filepath.ToSlash(found[i])
	}
	return listed(found...)
}

// placeholders has the candidates for the capital words of a command's usage. A word that is not here takes files.
var placeholders = map[string]func() []candidate{
	"NAME":    func() []candidate { return fetched(func(string) bool { return true }) },
	"DIR":     runsAndFiles,
	"A":       runsAndFiles,
	"B":       runsAndFiles,
	"COMMAND": commandWords,
}

func runsAndFiles() []candidate { return append(runsHere(), filesToo) }

func commandWords() (all []candidate) {
	for _, c := range commands {
		all = append(all, candidate{c.name, c.short})
	}
	return all
}

// complete prints the candidates for the word at the cursor, one a line: the word, a tab, its description.
func complete(w io.Writer, args []string) {
	if len(args) < 2 {
		return
	}
	shell, before, cursor := args[0], args[1:len(args)-1], strings.TrimPrefix(args[len(args)-1], ".")
	if shell == "bash" {
		before, cursor = joined(before, cursor)
	}
	list, prefix := candidates(before, cursor)
	if within := train.RunsDir + "/"; slices.Contains(list, filesToo) && strings.HasPrefix(cursor, prefix+within) {
		list = slices.DeleteFunc(list, func(c candidate) bool { return strings.HasPrefix(c.word, within) })
	}
	if shell == "bash" {
		prefix = "" // it replaces what is behind the =
	}
	for _, c := range list {
		if strings.ContainsFunc(c.word, unicode.IsControl) {
			continue // it would be more than one line, or more than one word
		}
		if c != filesToo {
			c.word = prefix + c.word
		}
		fmt.Fprintf(w, "%s\t%s\n", c.word, strings.Join(strings.Fields(c.about), " "))
	}
}

// joined puts together what bash splits: a flag, its = and its value.
func joined(before []string, cursor string) ([]string, string) {
	var all []string
	list := append(slices.Clone(before), cursor)
	for i := 0; i < len(list); i++ {
		if n := len(all); list[i] == "=" && n > 0 && strings.HasPrefix(all[n-1], "--") {
			if all[n-1] += "="; i+1 < len(list) {
				i++
				all[n-1] += list[i]
			}
			continue
		}
		all = append(all, list[i])
	}
	return all[:len(all)-1], all[len(all)-1]
}

// candidates returns the candidates for the word at the cursor after the words before it. prefix is the part of that
// word (--flag=) that comes before each candidate.
func candidates(before []string, cursor string) (list []candidate, prefix string) {
	at := slices.IndexFunc(before, func(w string) bool { return !strings.HasPrefix(w, "-") })
	if at < 0 {
		if strings.HasPrefix(cursor, "-") {
			return []candidate{{"--help", helpCommand.short}, {"--version", versionCommand.short}}, ""
		}
		return commandWords(), ""
	}
	c, err := findCommand(before[at])
	if err != nil {
		return nil, ""
	}
	fs := newFlagSet(c.name)
	c.setup(fs)
	fs.join()
	var typed []string // words that are neither flags nor values of flags
	var open *pflag.Flag
	flagsEnd := false
	for _, w := range before[at+1:] {
		switch f, valued := fs.named(w); {
		case open != nil:
			open = nil
		case w == "--":
			flagsEnd = true
		case flagsEnd || !strings.HasPrefix(w, "-"):
			typed = append(typed, w)
		case f != nil && !valued && f.NoOptDefVal == "":
			open = f
		}
	}
	name, _, valued := strings.Cut(cursor, "=")
	switch f, _ := fs.named(cursor); {
	case open != nil:
		return fs.values(open), ""
	case flagsEnd:
	case f != nil && valued:
		return fs.values(f), name + "="
	case strings.HasPrefix(cursor, "-"):
		return fs.flagWords(c.verb(typed)), ""
	}
	if list = c.argWords(typed); len(list) == 0 && cursor == "" && !flagsEnd {
		list = fs.flagWords("")
	}
	return list, ""
}

// named returns the flag of a word, nil where there is none; valued: its value follows an =.
func (fs *flagSet) named(word string) (f *pflag.Flag, valued bool) {
	word, _, valued = strings.Cut(word, "=")
	if name, long := strings.CutPrefix(word, "--"); long && name != "" {
		return fs.Lookup(name), valued
	}
	if len(word) == 2 && word[0] == '-' && word[1] != '-' {
		return fs.ShorthandLookup(word[1:]), valued
	}
	return nil, false
}

// values returns what a flag takes.
func (fs *flagSet) values(f *pflag.Flag) []candidate {
	list := listed(f.Annotations["words"]...)
	if f.Value.Type() == "bool" {
		list = listed("true", "false")
	}
	n, known := flagValues[f.Name]
	if known && len(list) == 0 {
		if n.list != nil {
			list = n.list()
		}
		if f.Name == "out" && fs.Lookup("resume") != nil {
			list = runsHere()
		}
		if n.file {
			list = append(list, filesToo)
		}
	}
	return list
}

// flagWords returns the flags, without those of other verbs where sections are theirs.
func (fs *flagSet) flagWords(verb string) (list []candidate) {
	for _, s := range fs.sections {
		if verb != "" && len(s.verbs) > 0 && !slices.Contains(s.verbs, verb) {
			continue
		}
		s.VisitAll(func(f *pflag.Flag) {
			_, about := pflag.UnquoteUsage(f)
			list = append(list, candidate{"--" + f.Name, about})
		})
	}
	return append(list, candidate{"--help", helpCommand.short})
}

// alternatives are the usages of a command: the verb, which may be none, and the words behind it.
func (c *command) alternatives() (verbs []string, rest [][]string) {
	for _, a := range strings.Split(c.args, " | ") {
		list, verb := strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(a)), ""
		if len(list) > 0 && list[0] == strings.ToLower(list[0]) {
			verb, list = list[0], list[1:]
		}
		verbs, rest = append(verbs, verb), append(rest, list)
	}
	return verbs, rest
}

// verb returns which of the command's verbs was typed; empty: none.
func (c *command) verb(typed []string) string {
	if verbs, _ := c.alternatives(); len(typed) > 0 && slices.Contains(verbs, typed[0]) {
		return typed[0]
	}
	return ""
}

// argWords returns the candidates for the word after typed, the words that are not flags.
func (c *command) argWords(typed []string) (list []candidate) {
	verbs, rest := c.alternatives()
	verb := c.verb(typed)
	if verb != "" {
		typed = typed[1:]
	} else if len(typed) == 0 {
		list = listed(slices.DeleteFunc(slices.Clone(verbs), func(v string) bool { return v == "" })...)
	}
	for i, v := range verbs {
		if v != verb || len(rest[i]) == 0 {
			continue
		}
		n := len(rest[i])
		place := rest[i][min(len(typed), n-1)]
		name, repeated := strings.CutSuffix(place, "...")
		if len(typed) >= n && !repeated {
			continue
		}
		if find, ok := placeholders[name]; ok {
			list = append(list, find()...)
		} else {
			list = append(list, filesToo)
		}
	}
	return list
}
