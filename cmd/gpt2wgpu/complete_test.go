package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// completed returns the words that the program lists for a command line, whose last word is at the cursor.
func completed(t *testing.T, shell string, line ...string) (words []string) {
	t.Helper()
	args := append([]string{shell}, line[:len(line)-1]...)
	var out bytes.Buffer
	complete(&out, append(args, "."+line[len(line)-1]))
	for l := range strings.SplitSeq(strings.TrimSuffix(out.String(), "\n"), "\n") {
		word, _, ok := strings.Cut(l, "\t")
		if l != "" && !ok {
			t.Errorf("%q: a line without a tab: %q", line, l)
		}
		words = append(words, word)
	}
	return words
}

// twoRuns makes directories that count as runs.
func twoRuns(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, run := range []string{"tiny-1", "my run"} {
		writeFile(t, filepath.Join(train.RunsDir, run, "config.json"), "{}")
		writeFile(t, filepath.Join(train.RunsDir, run, "metrics.jsonl"), "")
	}
}

func TestComplete(t *testing.T) {
	twoRuns(t)
	runs := []string{"runs/my run", "runs/tiny-1"}
	presets := presetNames()
	commandNames := []string{}
	for _, c := range commands {
		commandNames = append(commandNames, c.name)
	}
	weights := []string{"gpt2", "gpt2-large", "gpt2-medium", "gpt2-xl"}
	with := func(prefix string, list []string) (all []string) {
		for _, w := range list {
			all = append(all, prefix+w)
		}
		return all
	}
	for _, c := range []struct {
		line string
		want []string
	}{
		{"", commandNames},
		{"tr", commandNames},
		{"-", []string{"--help", "--version"}},
		{"train --preset ", presets},
		{"train --preset=t", with("--preset=", presets)},
		{"train --steps 5 --preset ", presets},
		{"train --optimizer ", []string{"adamw", "muon"}},
		{"train --init ", append(append([]string{"scratch"}, runs...), append(weights, ":files")...)},
		{"train --data ", []string{"sample", "fineweb-edu", "shakespeare", "tinystories", ":files"}},
		{"train --resume --out ", append(slices.Clone(runs), ":files")},
		{"sample --model=runs/t", append(with("--model=", weights), ":files")}, // runs are files there
		{"train --steps ", nil},
		{"train --resume=", []string{"--resume=true", "--resume=false"}},
		{"sample -n ", nil},
		{"sample --model ", append(append(slices.Clone(runs), weights...), ":files")},
		{"export --out ", []string{":files"}},
		{"export --format ", []string{"hf", "llmc"}},
		{"data ", []string{"fetch", "tokenize", "info"}},
		{"data --log-format json ", []string{"fetch", "tokenize", "info"}},
		{"data -v fetch ", []string{"fineweb-edu", "gpt2", "gpt2-large", "gpt2-medium", "gpt2-xl", "hellaswag",
			"shakespeare", "tinystories"}},
		{"data fetch --", []string{"--shards", "--log-format", "--verbose", "--quiet", "--help"}},
		{"data tokenize a.txt ", []string{":files"}},
		{"data tokenize --format ", []string{"npy", "bin"}},
		{"runs ", append(append([]string{"compare", "plot"}, runs...), ":files")},
		{"runs plot runs/tiny-1 ", append(slices.Clone(runs), ":files")},
		{"runs plot --x ", []string{"step", "tokens", "time"}},
		{"help ", commandNames},
		{"help train ", []string{"--man", "--help"}},
		{"completion ", []string{"bash", "zsh", "fish", "powershell"}},
		{"version ", []string{"--help"}},
		{"nothing ", nil},
		{"train --nothing ", nil},
	} {
		line := strings.Split(c.line, " ")
		got := completed(t, "zsh", line...)
		if strings.HasSuffix(c.line, "--nothing ") { // a flag that there is not is taken for one without a value
			if !slices.Contains(got, "--steps") {
				t.Errorf("%q: %q", c.line, got)
			}
		} else if len(got) == 1 && got[0] == "" && c.want == nil {
		} else if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
	// bash divides at =.
	for _, line := range [][]string{{"train", "--preset", "="}, {"train", "--preset", "=", "t"}} {
		if got := completed(t, "bash", line...); !slices.Equal(got, presets) {
			t.Errorf("%q: %q, want %q", line, got, presets)
		}
	}
	if got := completed(t, "bash", "train", "--preset", "=", "tiny", "--optimizer", ""); len(got) != 2 {
		t.Errorf("behind a flag with =: %q", got)
	}
	if got := completed(t, "zsh", "train", "--device", ""); got[0] != "auto" || !slices.Contains(got, "vulkan") {
		t.Errorf("devices: %q", got)
	}
	complete(new(bytes.Buffer), nil)
}

// TestFlagWords: the help of a flag names every word that completes it.
func TestFlagWords(t *testing.T) {
	for _, c := range commands {
		fs := newFlagSet(c.name)
		c.setup(fs)
		fs.join()
		fs.VisitAll(func(f *pflag.Flag) {
			for _, w := range f.Annotations["words"] {
				if !strings.Contains(f.Usage, w) {
					t.Errorf("%s --%s: the help does not name %s", c.name, f.Name, w)
				}
			}
			if v, ok := flagValues[f.Name]; ok && len(f.Annotations["words"]) > 0 {
				t.Errorf("%s --%s: words in two places (%v)", c.name, f.Name, v)
			}
		})
	}
}
