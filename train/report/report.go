package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/train/chart"
	"github.com/gpt2wgpu/gpt2wgpu/train/runs"
	"github.com/gpt2wgpu/gpt2wgpu/train/shell"
)

// The files that Write makes in a run's directory.
const (
	PageFile = "report.html"
	LossFile = "loss.svg"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// Write writes report.html and loss.svg of the run in dir, which ends now. program is how a person starts this program,
// for the commands of the page. Errors: there is no run, or no file can be written there.
func Write(dir, program string) error {
	r, err := runs.Read(dir)
	if err != nil {
		return err
	}
	r.State = r.Ended() // where it is supervised the lock is held until this process has ended
	loss, _ := runs.Draw([]*runs.Run{r}, runs.View{X: "step", Y: "loss", Unit: "nats"})
	html, err := HTML(r, program)
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, LossFile), loss.SVG())
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(dir, PageFile), html)
	}
	if err != nil {
		return fmt.Errorf("%s: its report cannot be written: %w; hint: check the disk's free space", dir,
			atomicfile.Reason(err))
	}
	return nil
}

// fact is a short value with its name.
type fact struct{ Name, Value string }

// part is a share of a whole, for a bar.
type part struct {
	Name, Value string
	Percent     float64
}

// figure is a chart with what it is called.
type figure struct{ SVG template.HTML }

// view is what the page's template shows.
type view struct {
	Name, State string
	Facts       []fact
	Trouble     []string
	Figures     []figure
	Samples     []sample
	Memory      []part
	MemoryTotal string
	Profile     *Profile
	Kernels     []part
	Settings    []fact
	Commands    []Command
	Version     string
}

type sample struct {
	Step int
	Text string
}

// mostSamples is how many samples a page has: the first and the newest.
const mostSamples = 6

// HTML returns the page of a run.
func HTML(r *runs.Run, program string) ([]byte, error) {
	v := view{Name: r.Dir, State: string(r.State), Trouble: r.Trouble, Version: r.Version}
	v.Facts = facts(r)
	for _, y := range runs.Ys {
		if y == "val" { // among the losses
			continue
		}
		c, _ := runs.Draw([]*runs.Run{r}, runs.View{X: "step", Y: y, Unit: "nats", Smooth: 0})
		if len(c.Curves) == 0 {
			continue
		}
		label := c.Title + ": " + c.Y + " by " + c.X + summary(c)
		c.Title, _, _ = strings.Cut(c.Title, " of ")
		width, height := chart.Width*7/8, chart.Height*3/4
		if len(v.Figures) > 0 { // two beside each other
			width, height = chart.Width/2, chart.Height*9/16
		}
		v.Figures = append(v.Figures, figure{template.HTML(c.Inline(label, width, height))}) // names in it are escaped
	}
	for i, s := range r.Samples {
		if i == 0 || i > len(r.Samples)-mostSamples {
			v.Samples = append(v.Samples, sample{s.Step, s.Text})
		}
	}
	slices.Reverse(v.Samples)
	v.memory(r)
	profile, err := ReadProfile(r.Dir)
	if err != nil {
		v.Trouble = append(v.Trouble, err.Error())
	}
	v.profile(profile)
	for _, s := range r.Settings {
		text := s.Value
		var plain string
		if json.Unmarshal([]byte(s.Value), &plain) == nil {
			text = plain
		}
		v.Settings = append(v.Settings, fact{s.Name, text})
	}
	v.Commands = Commands(r, program)
	var b bytes.Buffer
	err = page.Execute(&b, v)
	return b.Bytes(), err
}

// summary describes a chart's ends for those who cannot see it.
func summary(c chart.Chart) string {
	for _, k := range c.Curves {
		if n := len(k.Y); n > 0 && !k.Faint {
			return fmt.Sprintf(", from %.4g to %.4g", k.Y[0], k.Y[n-1])
		}
	}
	return ""
}

func facts(r *runs.Run) (list []fact) {
	add := func(name, format string, args ...any) { list = append(list, fact{name, fmt.Sprintf(format, args...)}) }
	steps := fmt.Sprint(r.Done())
	if r.Steps > 0 {
		steps += fmt.Sprintf(" of %d", r.Steps)
	}
	add("steps", "%s", steps)
	if n := len(r.Train); n > 0 {
		add("loss", "%.4f → %.4f", float64(r.Train[0].Loss), float64(r.Train[n-1].Loss))
	}
	if best, ok := r.Best(); ok {
		bits := ""
		if best.BitsPerByte > 0 {
			bits = fmt.Sprintf(", %.4f bits per byte", float64(best.BitsPerByte))
		}
		add("best validation loss", "%.4f (step %d%s)", float64(best.Loss), best.Step, bits)
	}
	if n := len(r.Hellaswag); n > 0 {
		add("HellaSwag", "acc_norm %.4f (GPT-2 124M: 0.2955)", float64(r.Hellaswag[n-1].AccNorm))
	}
	if len(r.Train) > 0 {
		add("tokens", "%s", runs.Count(float64(r.Tokens())))
		add("time in steps", "%v", runs.Duration(r.Seconds()))
	}
	if rate := r.Rate(); rate > 0 {
		add("tokens per second", "%s", runs.Count(rate))
	}
	if p := r.Params(); p > 0 {
		add("model", "%s parameters: %d layers, %d heads, %d channels, context %d, vocabulary %d",
			runs.Count(float64(p)),
			r.NLayer, r.NHead, r.NEmbd, r.BlockSize, r.VocabSize)
	}
	if r.Device != "" {
		add("device", "%s", r.Device)
	}
	if r.Restarts > 0 {
		add("restarts", "%d", r.Restarts)
	}
	add("last change", "%s", r.Changed.UTC().Format(time.RFC3339))
	return list
}

func (v *view) memory(r *runs.Run) {
	total := uint64(0)
	for _, m := range r.Memory {
		total += m.Bytes
	}
	if total == 0 {
		return
	}
	v.MemoryTotal = runs.Bytes(total)
	for _, m := range slices.SortedStableFunc(slices.Values(r.Memory), func(a, b runs.Memory) int {
		return cmp.Compare(b.Bytes, a.Bytes)
	}) {
		v.Memory = append(v.Memory, part{m.Role, runs.Bytes(m.Bytes), 100 * float64(m.Bytes) / float64(total)})
	}
}

// mostKernels is how many kernels a page lists; the rest are one line.
const mostKernels = 14

func (v *view) profile(p *Profile) {
	if p == nil || len(p.Kernels) == 0 {
		return
	}
	total := 0.0
	for _, k := range p.Kernels {
		total += k.MS
	}
	if total == 0 {
		return
	}
	v.Profile = p
	rest := part{Name: "others"}
	for i, k := range p.Kernels {
		share := 100 * k.MS / total
		if i >= mostKernels {
			rest.Percent += share
			continue
		}
		v.Kernels = append(v.Kernels, part{k.Name, fmt.Sprintf("%d times, %.3g ms, %.2f of peak", k.Count, k.MS,
			k.OfPeak),
			share})
	}
	if rest.Percent > 0 {
		rest.Value = fmt.Sprintf("%d kernels, %.3g ms", len(p.Kernels)-mostKernels, rest.Percent/100*total)
		v.Kernels = append(v.Kernels, rest)
	}
}

// Command is a command that a person may run next (Value), and its purpose (Name).
type Command struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Commands returns the commands to continue a run with. program is how a person starts this program.
func Commands(r *runs.Run, program string) (list []Command) {
	out := shell.Word(r.Dir)
	program = shell.Word(program)
	if r.State != runs.Running && r.State != runs.Finished {
		list = append(list, Command{"go on", program + " train --out " + out + " --resume"})
	}
	if r.State == runs.Finished {
		list = append(list, Command{"train on", fmt.Sprintf("%s train --out %s --resume --steps %d", program, out,
			2*r.Steps)})
	}
	return append(list,
		Command{"write text", program + " sample --model " + out},
		Command{"draw its curves", program + " runs plot " + out},
		Command{"export", program + " export --model " + out + " --format hf --out " + shell.Word(r.Dir+"-hf")})
}

// Percent is a width for CSS.
func (p part) Width() template.CSS {
	return template.CSS(fmt.Sprintf("width:%.2f%%", math.Max(0.3, p.Percent)))
}
