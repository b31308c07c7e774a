package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
)

var helpCommand = &command{
	name:  "help",
	args:  "[COMMAND]",
	short: "Describe the program or a command",
	long:  "Without a command, lists all commands.",
}

// Not in the literal: it uses the list of commands, which has helpCommand in it.
func init() {
	helpCommand.setup = func(*flagSet) runFunc {
		return func(_ context.Context, e *env, args []string) error {
			switch len(args) {
			case 0:
				return printRoot(e.stdout)
			case 1:
				c, err := findCommand(args[0])
				if err != nil {
					return err
				}
				return printHelp(e.stdout, c)
			}
			return usagef("%d commands, want one; hint: gpt2wgpu help %s", len(args), args[0])
		}
	}
}

func printRoot(out io.Writer) error {
	var list strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&list, "  %-11s%s\n", c.name, c.short)
	}
	return printText(out, `gpt2wgpu trains GPT-2 on any GPU, through Vulkan, Metal or DX12, and on the CPU through `+
		`software Vulkan.

Usage:
  gpt2wgpu <command> [flags]

Commands:
`+list.String()+`
gpt2wgpu help COMMAND lists a command's flags. A first run that needs no network and no files:

  gpt2wgpu train --out runs/first
  gpt2wgpu sample --model runs/first
`)
}

// helpWidth is where help is wrapped, in columns, unless the terminal is narrower.
const helpWidth = 110

// broken is a line's end within a paragraph of a command's text, whose other lines are indented or empty.
var broken = regexp.MustCompile(`(\S)\n(\S)`)

func printHelp(out io.Writer, c *command) error {
	w := &strings.Builder{}
	fs := newFlagSet(c.name)
	c.setup(fs)
	usage := "gpt2wgpu " + c.name
	if len(fs.sections) > 0 {
		usage += " [flags]"
	}
	if c.args != "" {
		usage += " " + c.args
	}
	fmt.Fprintf(w, "%s.\n\nUsage:\n  %s\n", c.short, usage)
	width := min(helpWidth, cmp.Or(columns(out), helpWidth))
	if c.long != "" {
		text := broken.ReplaceAllString(strings.TrimSpace(c.long), "$1 $2")
		fmt.Fprintf(w, "\n%s\n", wrap(text, width, 0))
	}
	for _, s := range fs.sections {
		fmt.Fprintf(w, "\n%s:\n%s", s.title, s.FlagUsagesWrapped(width))
	}
	return printText(out, w.String())
}

// printText prints text with its long lines broken where out is a terminal.
func printText(out io.Writer, text string) error {
	_, err := io.WriteString(out, wrap(text, columns(out), 2))
	return err
}
