package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

var helpCommand = &command{
	name:  "help",
	args:  "[COMMAND]",
	short: "Describe the program or a command",
	long:  "Without a command, lists those there are.",
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

func printRoot(out io.Writer) (err error) {
	w := &strings.Builder{}
	defer func() { _, err = io.WriteString(out, wrap(w.String(), columns(out), 2)) }()
	fmt.Fprint(w,
		`gpt2wgpu trains GPT-2 on any GPU, through Vulkan, Metal or DX12, and on the CPU through software Vulkan.

Usage:
  gpt2wgpu <command> [flags]

Commands:
`)
	tab := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(tab, "  %s\t%s\n", c.name, c.short)
	}
	tab.Flush()
	fmt.Fprint(w, `
gpt2wgpu help COMMAND lists a command's flags. A first run that needs no network and no files:

  gpt2wgpu train --out runs/first
  gpt2wgpu sample --model runs/first
`)
	return nil
}

// helpWidth is where help is wrapped, in columns, unless the terminal is narrower.
const helpWidth = 110

func printHelp(out io.Writer, c *command) (err error) {
	w, width := &strings.Builder{}, columns(out)
	defer func() { _, err = io.WriteString(out, wrap(w.String(), width, 2)) }()
	flagsWidth := helpWidth
	if width > 0 {
		flagsWidth = min(helpWidth, width)
	}
	usage := "gpt2wgpu " + c.name
	fs := newFlagSet(c.name)
	c.setup(fs)
	if len(fs.sections) > 0 {
		usage += " [flags]"
	}
	if c.args != "" {
		usage += " " + c.args
	}
	fmt.Fprintf(w, "%s.\n\nUsage:\n  %s\n", c.short, usage)
	if c.long != "" {
		fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(c.long))
	}
	for _, s := range fs.sections {
		fmt.Fprintf(w, "\n%s:\n%s", s.title, s.FlagUsagesWrapped(flagsWidth))
	}
	return nil
}
