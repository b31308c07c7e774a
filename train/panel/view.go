package panel

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/gpt2wgpu/gpt2wgpu/train/bar"
	"github.com/gpt2wgpu/gpt2wgpu/train/chart"
	"github.com/gpt2wgpu/gpt2wgpu/train/runs"
)

// Least is the narrowest terminal that has a panel, in columns.
const Least = 40

// Styles use the terminal's own colours; bubbletea leaves them out where it has none.
var (
	bold  = lipgloss.NewStyle().Bold(true)
	faint = lipgloss.NewStyle().Faint(true)
	blue  = lipgloss.NewStyle().Foreground(lipgloss.Color("4"))
	warm  = lipgloss.NewStyle().Foreground(lipgloss.Color("3"))
)

// View returns the panel's lines, none wider than width columns, and no more of them than height.
func (s *State) View(width, height int) string {
	progress := s.bar(width)
	if s.Done {
		return strings.Join(progress, "\n") + "\n" // bubbletea clears the last line when it quits
	}
	lines := append([]string{s.title(width)}, progress...)
	lines = append(lines, s.numbers(width)...)
	footer := []string{s.keys(width)}
	if s.Help {
		footer = s.help(width)
	}
	sample := s.sampleLines(width)
	room := height - len(lines) - len(footer) - len(sample) - 1
	if rows := min(room, 5); rows >= 2 && len(s.losses) > 1 {
		lines = append(lines, s.curve(width, rows)...)
	}
	lines = append(lines, sample...)
	if len(lines)+len(footer) > height-1 {
		lines = lines[:max(1, height-1-len(footer))]
	}
	lines = append(lines, footer...)
	for i, l := range lines {
		lines[i] = ansi.Truncate(l, width, "…")
	}
	return strings.Join(lines, "\n")
}

// curve returns the losses of all steps, with the highest and the lowest at the right.
func (s *State) curve(width, rows int) (lines []string) {
	top, bottom := math.Inf(-1), math.Inf(1)
	for _, v := range s.losses {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			top, bottom = max(top, v), min(bottom, v)
		}
	}
	if top < bottom {
		return nil
	}
	labels := map[int]string{0: fmt.Sprintf("%.2f", top), rows - 1: fmt.Sprintf("%.2f", bottom)}
	room := max(len(labels[0]), len(labels[rows-1]))
	for i, row := range chart.Spark(s.losses, width-3-room, rows) {
		lines = append(lines, " "+blue.Render(row)+faint.Render(" "+labels[i]))
	}
	return lines
}

func (s *State) title(width int) string {
	rest := ""
	if s.Params > 0 {
		rest = fmt.Sprintf(" · %s parameters", runs.Count(float64(s.Params)))
	}
	return ansi.Truncate(bold.Render(s.Name)+faint.Render(rest+" · "+s.Device), width, "…")
}

// bar returns the bar with its percent, and step, epoch and time left beside or below it.
func (s *State) bar(width int) []string {
	part := 0.0
	if s.Steps > 0 {
		part = float64(s.done()) / float64(s.Steps)
	}
	words := fmt.Sprintf("step %d/%d", s.done(), s.Steps)
	if s.EpochTokens > 0 {
		words += fmt.Sprintf(" · epoch %.2f", float64(s.last.Tokens)/float64(s.EpochTokens))
	}
	switch left, known := s.left(); {
	case s.Done:
	case s.Paused:
		words += " · " + warm.Render("paused")
	case s.Ending:
		words += " · " + warm.Render("stopping")
	case s.Status != "":
		words += " · " + s.Status
	case known:
		words += " · " + runs.Duration(left.Round(time.Second).Seconds()) + " left"
	}
	percent := " " + bar.Percent(part) + "  "
	draw := func(cells int) string {
		full, empty := bar.Cells(part, cells)
		return blue.Render(full) + faint.Render(empty)
	}
	if room := width - 2 - len(percent) - ansi.StringWidth(words); room >= 12 {
		return []string{" " + draw(min(room, 50)) + percent + words}
	}
	return []string{" " + draw(width-3-len(percent)) + percent, " " + words}
}

// numbers returns the run's figures, as many on a line as fit.
func (s *State) numbers(width int) (lines []string) {
	if s.last.Kind == "" {
		return nil
	}
	loss := "loss " + bold.Render(fmt.Sprintf("%.4f", s.smooth[len(s.smooth)-1]))
	if change, over, ok := s.trend(); ok {
		arrow := "→"
		if change < -0.0005 {
			arrow = "↓"
		} else if change > 0.0005 {
			arrow = "↑"
		}
		loss += fmt.Sprintf(" %s %.3f in %d", arrow, math.Abs(change), over)
	}
	items := []string{loss}
	if s.has.val {
		val := fmt.Sprintf("validation %.4f", s.val.Loss)
		if s.val.Step == s.best.Step {
			val += " (best)"
		} else {
			val += fmt.Sprintf(" (best %.4f at %d)", s.best.Loss, s.best.Step)
		}
		items = append(items, val)
	}
	items = append(items, fmt.Sprintf("lr %.2e", s.last.LR), fmt.Sprintf("norm %.2f", s.last.GradNorm))
	if ms := s.meanMS(); ms > 0 {
		rate := float64(s.TokensPerStep) / ms * 1e3
		items = append(items, runs.Count(rate)+" tokens/s")
		if s.Peak > 0 {
			items = append(items, fmt.Sprintf("MFU %.1f%%", 100*rate*s.FLOPsPerToken/s.Peak))
		}
	}
	if s.Memory > 0 {
		items = append(items, runs.Bytes(s.Memory))
	}
	for _, item := range items {
		if n := len(lines); n > 0 && ansi.StringWidth(lines[n-1])+3+ansi.StringWidth(item) <= width {
			lines[n-1] += " · " + item
		} else {
			lines = append(lines, " "+item)
		}
	}
	return lines
}

// sampleRows is how many lines of the newest sample are shown.
const sampleRows = 3

func (s *State) sampleLines(width int) (lines []string) {
	if !s.has.sample {
		return nil
	}
	lines = []string{faint.Render(fmt.Sprintf(" sample after %d steps", s.sample.Step))}
	for _, l := range strings.Split(ansi.Wrap(clean(s.sample.Text), width-3, ""), "\n") {
		if strings.TrimSpace(l) != "" && len(lines) <= sampleRows {
			lines = append(lines, "  "+l)
		}
	}
	return lines
}

// clean replaces what a terminal would obey or gives no column, such as control characters and marks.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case !unicode.IsPrint(r) || unicode.IsMark(r):
			return '\uFFFD'
		}
		return r
	}, text)
}

func (s *State) keys(width int) string {
	if s.Asked != "" {
		return " " + warm.Render(s.Asked)
	}
	p := "p pause"
	if s.Paused {
		p = "p go on"
	}
	all := " q stop  s sample  e validate  c checkpoint  " + p + "  ? help"
	if ansi.StringWidth(all) > width {
		all = " q stop  s sample  " + p + "  ? help"
	}
	return faint.Render(all)
}

func (s *State) help(width int) (lines []string) {
	for _, l := range []string{"q, Ctrl-C   stop after this step, with a checkpoint", "s   write a sample",
		"e   validate",
		"c   write a checkpoint", "p   pause, and go on", "Ctrl-Z   suspend; fg goes on", "?   close this help",
		"no key changes what the run learns"} {
		lines = append(lines, faint.Render(ansi.Truncate(" "+l, width, "…")))
	}
	return lines
}
