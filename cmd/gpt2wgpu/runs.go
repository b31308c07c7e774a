package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/term"
	"github.com/muesli/termenv"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/chart"
	"github.com/gpt2wgpu/gpt2wgpu/train/oneline"
	"github.com/gpt2wgpu/gpt2wgpu/train/runs"
)

var runsCommand = &command{
	group: "Runs and data",
	name:  "runs",
	args:  "[DIR...] | compare A B... | plot DIR...",
	short: "List, compare and plot runs",
	long: `
Without a verb, a table of the runs that the directories are or hold (default: runs/). A run is running, finished,
stopped (it can be resumed where it ended), or broke off: it was killed, and a resume does again what came after its
newest checkpoint. A run that is being trained may be looked at.

compare sets runs side by side: the settings that differ, and their losses after equal tokens and equal time.

plot draws curves: in the terminal, or into an .svg or .png file. The loss is smoothed by a mean of --smooth steps and
has the validations as points; of one run the unsmoothed curve lies behind it. Time is that of the steps, without what
came between them. Bits per byte of the text compare models of different tokenizers; of others than bytes they need a
validation.`,
	examples: []string{
		"gpt2wgpu runs",
		"gpt2wgpu runs compare runs/tiny-1 runs/first",
		"gpt2wgpu runs plot runs/tiny-1 runs/first --x time --unit bits",
		"gpt2wgpu runs plot runs/first --log-x --out loss.png",
	},
	setup: func(fs *flagSet) runFunc {
		r := &runsFlags{fs: fs}
		f := fs.section("Table and compare", "", "compare")
		f.BoolVar(&r.asJSON, "json", false, "print JSON: a line for each run, or one object that compares them")
		f = fs.section("Plot", "plot")
		f.StringVar(&r.out, "out", "", "`file` to write, .svg or .png (default: draw in the terminal)")
		f.StringVar(&r.view.X, "x", "step", "horizontal `axis`: "+strings.Join(runs.Xs, ", "))
		takes(f, "x", runs.Xs...)
		f.StringVar(&r.view.Y, "y", "loss", "what to `draw`: "+strings.Join(runs.Ys, ", "))
		takes(f, "y", runs.Ys...)
		f.StringVar(&r.view.Unit, "unit", "nats", "`unit` of losses: nats (per token), bits (per byte of the text)")
		takes(f, "unit", runs.Units...)
		f.IntVar(&r.view.Smooth, "smooth", 0, "`steps` of the mean that smooths loss, norm and speed; 1 is none "+
			"(default: a fortieth of the longest run)")
		f.BoolVar(&r.view.LogX, "log-x", false, "a logarithmic horizontal axis")
		f.BoolVar(&r.view.LogY, "log-y", false, "a logarithmic vertical axis")
		fs.logFlags(fs.section("Other"))
		return r.run
	},
}

// runsFlags are the flags of runs and its verbs.
type runsFlags struct {
	fs     *flagSet
	asJSON bool
	out    string
	view   runs.View
}

func (r *runsFlags) run(_ context.Context, e *env, args []string) error {
	verb := ""
	if len(args) > 0 && (args[0] == "compare" || args[0] == "plot") {
		verb, args = args[0], args[1:]
	}
	if err := r.fs.otherVerbs(verb); err != nil {
		return err
	}
	switch {
	case verb == "compare" && len(args) < 2:
		return usagef("compare takes two runs or more, got %d; hint: gpt2wgpu runs compare runs/tiny-1 runs/first",
			len(args))
	case verb == "plot" && len(args) == 0:
		return usagef("plot takes runs, got none; hint: gpt2wgpu runs plot %s", someRun())
	case verb == "plot":
		if err := r.checkView(); err != nil {
			return err
		}
	case len(args) == 0:
		if _, err := os.Stat(train.RunsDir); err != nil {
			return fmt.Errorf("no runs here: there is no directory %s; hint: gpt2wgpu train makes one, or name a "+
				"directory of runs", train.RunsDir)
		}
		args = []string{train.RunsDir}
	}
	list, err := readRuns(e, args)
	if err != nil {
		return err
	}
	switch verb {
	case "compare":
		return r.compare(e, list)
	case "plot":
		return r.plot(e, list)
	}
	return r.table(e, list)
}

// checkView reports what is wrong with the flags of plot.
func (r *runsFlags) checkView() error {
	bad := &mistakes{fs: r.fs}
	one := func(flag, got string, want []string) {
		bad.when(!slices.Contains(want, got), "--%s is %q, want %s; hint: --%s %s", flag, got,
			strings.Join(want, ", "), flag, want[0])
	}
	one("x", r.view.X, runs.Xs)
	one("y", r.view.Y, runs.Ys)
	one("unit", r.view.Unit, runs.Units)
	bad.when(r.view.Smooth < 0, "--smooth is %d, want 0 or more; hint: --smooth 50", r.view.Smooth)
	ext := strings.ToLower(filepath.Ext(r.out))
	bad.when(r.out != "" && ext != ".svg" && ext != ".png", "--out %s: want a name that ends in .svg or .png; hint: "+
		"--out loss.svg", r.out)
	return bad.err()
}

// readRuns reads the runs that dirs name, and warns about what is damaged in them.
func readRuns(e *env, dirs []string) (list []*runs.Run, err error) {
	found, err := runs.Find(dirs)
	if err != nil {
		return nil, err
	}
	for _, dir := range found {
		r, err := runs.Read(dir)
		if err != nil { // removed meanwhile
			e.log.Warn(err.Error())
			continue
		}
		for _, t := range r.Trouble {
			e.log.Warn(t)
		}
		list = append(list, r)
	}
	return list, nil
}

// table lists runs.
func (r *runsFlags) table(e *env, list []*runs.Run) error {
	t := newGrid("RUN", "STATE", "STEP", "VAL LOSS", "BITS/BYTE", "TOK/S", "PARAMS", "CHANGED", "DEVICE")
	for _, run := range list {
		w := run.Summary()
		if r.asJSON {
			if err := writeJSON(e.stdout, w); err != nil {
				return err
			}
			continue
		}
		known := func(v float64, text string) string {
			if v == 0 || math.IsNaN(v) {
				return "-"
			}
			return text
		}
		step := fmt.Sprint(w.Step)
		if w.Steps > 0 {
			step += fmt.Sprintf("/%d", w.Steps)
		}
		state := string(w.State)
		if w.Restarts > 0 {
			state += fmt.Sprintf(", %d restarts", w.Restarts)
		}
		if len(w.Trouble) > 0 {
			state += ", damaged"
		}
		t.row(w.Name, state, step, known(float64(w.BestValLoss), fmt.Sprintf("%.4f", w.BestValLoss)),
			known(float64(w.BitsPerByte), fmt.Sprintf("%.4f", w.BitsPerByte)), known(w.TokensPerS,
				runs.Count(w.TokensPerS)),
			known(float64(w.Parameters), runs.Count(float64(w.Parameters))), runs.Ago(time.Since(w.Changed)),
			cmp.Or(w.Device, "-"))
	}
	if r.asJSON {
		return nil
	}
	return t.write(e.stdout, columns(e.stdout))
}

// compare prints settings that differ and losses at equal places.
func (r *runsFlags) compare(e *env, list []*runs.Run) error {
	c := runs.Compare(list)
	if r.asJSON {
		return writeJSON(e.stdout, c)
	}
	width := columns(e.stdout)
	names := runs.Names(list)
	t := newGrid(append([]string{"SETTING"}, names...)...)
	for _, d := range c.Settings {
		cells := []string{d.Name}
		for _, v := range d.Values {
			raw, err := json.Marshal(v)
			if err != nil {
				return err
			}
			cells = append(cells, strings.Trim(string(raw), `"`))
		}
		t.row(cells...)
	}
	if len(c.Settings) == 0 {
		fmt.Fprintln(e.stdout, "all settings are the same")
	} else if err := t.write(e.stdout, width); err != nil {
		return err
	}
	bits := true // of all
	for _, run := range list {
		_, known := run.BytesPerToken()
		bits = bits && known
	}
	print := func(title string, rows []runs.Row, place func(runs.Row) string) error {
		if len(rows) == 0 {
			return nil
		}
		head := []string{title}
		for _, n := range names {
			head = append(head, n+" LOSS")
			if bits {
				head = append(head, "BITS/BYTE")
			}
			head = append(head, "VAL")
		}
		t := newGrid(head...)
		number := func(v *float64) string {
			if v == nil {
				return "-"
			}
			return fmt.Sprintf("%.4f", *v)
		}
		for _, row := range rows {
			cells := []string{place(row)}
			for _, p := range row.Values {
				cells = append(cells, number(p.Loss))
				if bits {
					cells = append(cells, number(p.BitsPerByte))
				}
				cells = append(cells, number(p.ValLoss))
			}
			t.row(cells...)
		}
		fmt.Fprintln(e.stdout)
		return t.write(e.stdout, width)
	}
	if len(c.ByTokens) == 0 {
		fmt.Fprintln(e.stdout, "no losses to compare: a run has no steps yet")
		return nil
	}
	if err := print("TOKENS", c.ByTokens, func(r runs.Row) string { return runs.Count(r.Tokens) }); err != nil {
		return err
	}
	return print("TIME", c.ByTime, func(r runs.Row) string { return runs.Duration(r.Seconds) })
}

// plot draws a chart into the terminal or a file.
func (r *runsFlags) plot(e *env, list []*runs.Run) error {
	c, left := runs.Draw(list, r.view)
	if len(c.Curves) == 0 {
		return fmt.Errorf("--y %s: nothing to draw (%s); hint: gpt2wgpu runs shows how far the runs are", r.view.Y,
			strings.Join(left, "; "))
	}
	for _, l := range left {
		e.log.Warn(l)
	}
	c.Title = oneline.Of(c.Title)
	for i := range c.Curves {
		c.Curves[i].Name = oneline.Of(c.Curves[i].Name)
	}
	if r.out == "" {
		width, height, paint := cmp.Or(columns(e.stdout), 80), 24, chart.Paint(nil)
		w := e.stdout
		if f, ok := terminal(e.stdout); ok {
			if _, rows, err := term.GetSize(f.Fd()); err == nil && rows > 0 {
				height = min(max(rows-2, 12), 40)
			}
			paint = painter(f)
			w = f // the chart's own colours, and its spaces
		}
		_, err := fmt.Fprintln(w, c.Text(width, height, paint))
		return err
	}
	picture, err := c.SVG(), error(nil)
	if strings.ToLower(filepath.Ext(r.out)) == ".png" {
		picture, err = c.PNG()
	}
	if err == nil {
		err = atomicfile.Write(r.out, picture)
	}
	if err != nil {
		return fmt.Errorf("--out %s: %w; hint: another --out", r.out, atomicfile.Reason(err))
	}
	e.log.Info("wrote " + r.out)
	return nil
}

// painter returns the colours of a terminal's curves; nil: it has none, by its name or by NO_COLOR.
func painter(f *os.File) chart.Paint {
	profile := termenv.NewOutput(f).EnvColorProfile()
	if profile == termenv.Ascii {
		return nil
	}
	return func(of int, text string) string {
		colour := profile.Color(chart.Colours[of%len(chart.Colours)].Terminal)
		return termenv.CSI + colour.Sequence(false) + "m" + text + termenv.CSI + "0m"
	}
}

// textGrid is a table whose last columns go where it is wider than the terminal, and then the ends of its first.
type textGrid struct{ rows [][]string }

func newGrid(head ...string) *textGrid {
	t := &textGrid{}
	t.row(head...)
	return t
}

func (t *textGrid) row(cells ...string) {
	for i, c := range cells {
		cells[i] = oneline.Of(c)
	}
	t.rows = append(t.rows, cells)
}

// write prints the table within a width in columns; 0: as wide as it is.
func (t *textGrid) write(w io.Writer, width int) error {
	widths := make([]int, len(t.rows[0]))
	for _, r := range t.rows {
		for i, c := range r {
			widths[i] = max(widths[i], ansi.StringWidth(c))
		}
	}
	shown, sum := len(widths), 2*(len(widths)-1)
	for _, n := range widths {
		sum += n
	}
	for width > 0 && sum > width && shown > 2 {
		if last := widths[shown-1]; sum-last+8 <= width { // enough is left of the last column
			widths[shown-1] = width - (sum - last)
			sum = width
			break
		}
		shown--
		sum -= widths[shown] + 2
	}
	for ; width > 0 && sum > width && widths[0] > 8; sum-- {
		widths[0]--
	}
	for _, r := range t.rows {
		var b strings.Builder
		for i, c := range r[:shown] {
			c = ansi.Truncate(c, widths[i], "…")
			if i < shown-1 {
				c += strings.Repeat(" ", widths[i]-ansi.StringWidth(c)+2)
			}
			b.WriteString(c)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
