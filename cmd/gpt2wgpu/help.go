package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/pflag"
)

var helpCommand = &command{
	group: "This program",
	name:  "help",
	args:  "[COMMAND]",
	short: "Describe the program or a command",
	long: `
Without a command, lists all commands. --man prints the manual page: all commands and flags, in the format of man.`,
	examples: []string{
		"gpt2wgpu help train",
		"gpt2wgpu help --man > gpt2wgpu.1",
	},
}

// Not in the literal: it uses the list of commands, which has helpCommand in it.
func init() {
	helpCommand.setup = func(fs *flagSet) runFunc {
		man := fs.section("Output").Bool("man", false, "print the manual page, for man")
		return func(_ context.Context, e *env, args []string) error {
			switch {
			case *man && len(args) > 0:
				return usagef("--man has no effect with a command; hint: gpt2wgpu help --man")
			case *man:
				return printManual(e.stdout)
			case len(args) == 0:
				return printRoot(e.stdout)
			case len(args) > 1:
				return usagef("%d commands, want one; hint: gpt2wgpu help %s", len(args), args[0])
			}
			c, err := findCommand(args[0])
			if err != nil {
				return err
			}
			return printHelp(e.stdout, c)
		}
	}
}

// about describes the program in one sentence.
const about = "gpt2wgpu trains GPT-2 on any GPU, through Vulkan, Metal or DX12, and on the CPU through software Vulkan."

// firstExamples are a first run, which needs no network and no files.
var firstExamples = []string{"gpt2wgpu train --out runs/first", "gpt2wgpu sample --model runs/first"}

func printRoot(out io.Writer) error {
	_, err := io.WriteString(out, rootText(helpWidth(out)))
	return err
}

// rootText returns the list of commands, within width columns.
func rootText(width int) string {
	w := &strings.Builder{}
	fmt.Fprintf(w, "%s\n\nUsage:\n  gpt2wgpu <command> [flags]\n", wrap(about, width, 0))
	group := ""
	for _, c := range commands {
		if c.group != group {
			group = c.group
			fmt.Fprintf(w, "\n%s:\n", group)
		}
		w.WriteString(entry("  "+c.name, c.short, 15, width))
	}
	fmt.Fprintf(w, "\n%s\n", wrap("gpt2wgpu help COMMAND lists a command's flags. A first run that needs no network "+
		"and no files:", width, 0))
	w.WriteString("\n" + examplesText(firstExamples, width))
	return w.String()
}

// helpWidth is where help is wrapped, in columns: at the terminal's width, at most 120, and at 100 where it is piped.
func helpWidth(out io.Writer) int { return min(cmp.Or(columns(out), 100), 120) }

func printHelp(out io.Writer, c *command) error {
	_, err := io.WriteString(out, helpText(c, helpWidth(out)))
	return err
}

// A command's text has paragraphs, whose lines go on after a line's end, and lists, whose lines are indented.
var (
	broken = regexp.MustCompile(`(\S)\n(\S)`)
	item   = regexp.MustCompile(`^(  \S+) {2,}(.*)$`)
)

// helpText returns a command's help, within width columns.
func helpText(c *command, width int) string {
	w := &strings.Builder{}
	fs := newFlagSet(c.name)
	c.setup(fs)
	fmt.Fprintf(w, "%s\n\nUsage:\n", wrap(c.short+".", width, 0))
	for _, usage := range c.usages(fs) {
		fmt.Fprintf(w, "  %s\n", usage)
	}
	if c.long != "" {
		w.WriteString("\n")
		text := broken.ReplaceAllString(strings.TrimSpace(c.long), "$1 $2")
		for line := range strings.SplitSeq(text, "\n") {
			if m := item.FindStringSubmatch(line); m != nil {
				w.WriteString(entry(m[1], m[2], len(line)-len(m[2]), width))
			} else {
				w.WriteString(wrap(line, width, 0) + "\n")
			}
		}
	}
	for _, s := range fs.sections {
		fmt.Fprintf(w, "\n%s:\n", s.title)
		s.VisitAll(func(f *pflag.Flag) {
			head, text := describe(f)
			at := 29
			if width < 80 {
				at = 8
			}
			w.WriteString(entry("  "+head, text, at, width))
		})
	}
	if len(c.examples) > 0 {
		w.WriteString("\nExamples:\n" + examplesText(c.examples, width))
	}
	return w.String()
}

// usages returns the lines of a command's usage, one for each of its verbs.
func (c *command) usages(fs *flagSet) (lines []string) {
	flags := ""
	if len(fs.sections) > 0 {
		flags = " [flags]"
	}
	for _, args := range strings.Split(c.args, " | ") {
		if args != "" {
			args = " " + args
		}
		lines = append(lines, "gpt2wgpu "+c.name+args+flags)
	}
	return lines
}

// describe returns a flag with the name of its value, and what it does with its default.
func describe(f *pflag.Flag) (head, text string) {
	value, text := pflag.UnquoteUsage(f)
	if head = "--" + f.Name; f.Shorthand != "" {
		head = "-" + f.Shorthand + ", " + head
	}
	if value != "" {
		head += " " + value
	}
	if d := f.DefValue; d != "" && d != "0" && d != "false" && !strings.Contains(text, "(default: ") {
		text += " (default: " + d + ")"
	}
	return head, text
}

// entry returns text in the columns from at to width, with head before it, or above where that is longer.
func entry(head, text string, at, width int) string {
	margin := "\n" + strings.Repeat(" ", at)
	text = strings.ReplaceAll(wrap(text, max(width-at, 10), 0), "\n", margin)
	if room := at - ansi.StringWidth(head); room >= 2 {
		return head + strings.Repeat(" ", room) + text + "\n"
	}
	return head + margin + text + "\n"
}

// examplesText returns commands a line each. One that is longer than width goes on in the next, as a shell reads it.
func examplesText(examples []string, width int) string {
	var b strings.Builder
	for _, e := range examples {
		b.WriteString("  " + strings.ReplaceAll(wrap(e, width-4, 4), "\n", " \\\n  ") + "\n")
	}
	return b.String()
}
