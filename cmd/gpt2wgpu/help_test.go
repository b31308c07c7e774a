package main

import (
	"bytes"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// TestHelpFits: help fits terminals, and is the same text at every width.
func TestHelpFits(t *testing.T) {
	plain := func(text string) string {
		return strings.Join(strings.Fields(strings.ReplaceAll(text, "\\\n", "")), " ")
	}
	for width := 60; width <= 120; width += 4 {
		texts := map[string][2]string{"help": {rootText(width), rootText(120)}}
		for _, c := range commands {
			texts[c.name] = [2]string{helpText(c, width), helpText(c, 120)}
		}
		for name, text := range texts {
			if plain(text[0]) != plain(text[1]) {
				t.Errorf("%s: other words at %d columns:\n%s", name, width, text[0])
			}
			for line := range strings.SplitSeq(text[0], "\n") {
				if n := ansi.StringWidth(line); n > width {
					t.Errorf("%s: %d columns of %d: %s", name, n, width, line)
				}
			}
		}
	}
}

// TestHelpHasPresets: each preset's name stands before its description, apart from it.
func TestHelpHasPresets(t *testing.T) {
	words := strings.Join(strings.Fields(helpText(trainCommand, 100)), " ")
	for _, p := range train.Presets {
		if want := p.Name + " " + strings.Join(strings.Fields(p.Short), " "); !strings.Contains(words, want) {
			t.Errorf("train's help lacks %q", want)
		}
	}
}

// TestExamples: every command's help ends with examples, whose commands and flags there are. docs/commands_test.go runs
// them.
func TestExamples(t *testing.T) {
	for _, c := range commands {
		if len(c.examples) == 0 {
			t.Errorf("%s has no examples", c.name)
			continue
		}
		_, text, _ := cli(t, c.name, "--help")
		end := "\nExamples:\n  " + strings.Join(c.examples, "\n  ") + "\n"
		if !strings.HasSuffix(text, end) {
			t.Errorf("%s: help ends with %q, want %q", c.name, text[max(0, len(text)-len(end)):], end)
		}
		for _, e := range c.examples {
			args := strings.Fields(e)
			at := slices.Index(args, "gpt2wgpu")
			if at < 0 {
				at = slices.Index(args, "<(gpt2wgpu")
			}
			if at < 0 || args[at+1] != c.name {
				t.Errorf("%s: the example %q is of something else", c.name, e)
				continue
			}
			fs := newFlagSet(c.name)
			c.setup(fs)
			if err := fs.parse(args[at+2:]); err != nil {
				t.Errorf("%s: %v", e, err)
			}
		}
	}
}

// TestManual: the manual page has every command and flag, and groff has nothing to say about it.
func TestManual(t *testing.T) {
	code, page, stderr := cli(t, "help", "--man")
	if code != 0 || stderr != "" {
		t.Fatalf("code %d, stderr %q", code, stderr)
	}
	wantFailure(t, exitUsage, []string{"help", "--man", "train"}, "--man has no effect")
	for _, c := range commands {
		fs := newFlagSet(c.name)
		c.setup(fs)
		for _, want := range append(fs.flagWords(""), candidate{word: ".SS gpt2wgpu " + c.name}) {
			if want.word != "--help" && !strings.Contains(page, strings.ReplaceAll(want.word, "-", `\-`)) {
				t.Errorf("%s: no %s", c.name, want.word)
			}
		}
	}
	needs.Programs(t, "groff")
	cmd := exec.Command("groff", "-man", "-ww", "-z", "-K", "utf8")
	cmd.Stdin = strings.NewReader(page)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &said
	if err := cmd.Run(); err != nil || said.Len() > 0 {
		t.Errorf("%v: %s", err, &said)
	}
}
