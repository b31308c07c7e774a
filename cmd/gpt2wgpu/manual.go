package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// printManual prints the manual page: the help of every command, in roff with the macros of man.
func printManual(out io.Writer) error {
	w := &strings.Builder{}
	fmt.Fprintf(w, ".TH GPT2WGPU 1 \"\" \"gpt2wgpu %s\" \"User Commands\"\n", roff(programVersion()))
	w.WriteString(".SH NAME\ngpt2wgpu \\- train GPT\\-2 on any GPU\n.SH SYNOPSIS\n.B gpt2wgpu\n.I command\n" +
		".RI [ flags ]\n.SH DESCRIPTION\n" + roff(about) + "\nA first run, which needs no network and no files:\n")
	roffBlock(w, firstExamples)
	w.WriteString(".SH COMMANDS\n")
	for _, c := range commands {
		fs := newFlagSet(c.name)
		c.setup(fs)
		fmt.Fprintf(w, ".SS gpt2wgpu %s\n%s.\n", c.name, roff(c.short))
		roffBlock(w, c.usages(fs))
		roffText(w, strings.TrimSpace(c.long))
		for _, s := range fs.sections {
			fmt.Fprintf(w, ".PP\n%s:\n", roff(s.title))
			s.VisitAll(func(f *pflag.Flag) {
				head, text := describe(f)
				flag, value := head, ""
				if i := strings.LastIndex(head, " "); i > strings.LastIndex(head, "--") {
					flag, value = head[:i], " \\fI"+roff(head[i+1:])+"\\fR"
				}
				fmt.Fprintf(w, ".TP\n\\fB%s\\fR%s\n%s\n", roff(flag), value, roff(text))
			})
		}
		if len(c.examples) > 0 {
			w.WriteString(".PP\nExamples:\n")
			roffBlock(w, c.examples)
		}
	}
	w.WriteString(".SH EXIT STATUS\n")
	for _, s := range [][2]string{
		{"0", "done"}, {"1", "failed"}, {"2", "wrong usage"},
		{"130", "interrupted: train has finished its step and written a checkpoint"},
		{"131", "ended at once by Ctrl-\\ or SIGQUIT"},
	} {
		fmt.Fprintf(w, ".TP\n.B %s\n%s\n", s[0], s[1])
	}
	_, err := io.WriteString(out, w.String())
	return err
}

// roff escapes text for roff.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\(ga", "~", `\(ti`, "^", `\(ha`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

// roffBlock writes lines that roff does not fill.
func roffBlock(w *strings.Builder, lines []string) {
	w.WriteString(".PP\n.RS 4\n.EX\n")
	for _, l := range lines {
		w.WriteString(roff(l) + "\n")
	}
	w.WriteString(".EE\n.RE\n")
}

// roffText writes paragraphs. Indented lines in them are not filled.
func roffText(w *strings.Builder, text string) {
	if text == "" {
		return
	}
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		var block []string
		lines := strings.Split(strings.TrimRight(paragraph, "\n"), "\n")
		for i, l := range lines {
			if indented, ok := strings.CutPrefix(l, "  "); ok {
				block = append(block, indented)
				continue
			}
			if len(block) > 0 {
				roffBlock(w, block)
				block = nil
			}
			if i == 0 || strings.HasPrefix(lines[i-1], "  ") {
				w.WriteString(".PP\n")
			}
			w.WriteString(roff(l) + "\n")
		}
		if len(block) > 0 {
			roffBlock(w, block)
		}
	}
}
