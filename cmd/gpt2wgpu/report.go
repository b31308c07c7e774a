package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

var reportCommand = &command{
	group: "This machine",
	name:  "report",
	short: "Write devices, selftest, tune and bench into one file to paste into an issue",
	long: `
Runs devices, selftest, tune, and bench in both storage types, and writes what they print into one Markdown file. It
leaves out the selftest's rows that passed. The file names the GPU, its driver, the operating system and this program's
version, but no user, host or directory. It grows with each part, so it is of use even where the driver ends a part. On
a GPU all of it takes a few minutes. On a device that computes on the CPU it leaves out tune, and bench measures one
sequence of 64 tokens.`,
	examples: []string{
		"gpt2wgpu report",
		"gpt2wgpu report --device dx12 --out dx12.md",
	},
	setup: func(fs *flagSet) runFunc {
		r := &reportFlags{}
		f := fs.section("What")
		f.StringVar(&r.preset, "preset", "gpt2-124m",
			"tune and measure this preset's model: `name` of "+strings.Join(presetNames(), ", "))
		f.StringVar(&r.kernel, "kernel", "", "try and measure only kernels with this `text` in their names")
		f.IntVar(&r.seconds, "seconds", 60, "longest time of tune in `seconds`")
		f = fs.section("Device")
		f.StringVar(&r.device, "device", "auto", train.DeviceUsage)
		f = fs.section("Output")
		f.StringVar(&r.out, "out", "gpt2wgpu-report.md", "write this `file`")
		fs.logFlags(f)
		return func(ctx context.Context, e *env, _ []string) error {
			if _, err := train.FindPreset(r.preset); err != nil {
				return &train.UsageError{Err: err}
			}
			if r.seconds < 1 {
				return usagef("--seconds is %d, want 1 or more; hint: --seconds 60", r.seconds)
			}
			return r.write(ctx, e)
		}
	},
}

type reportFlags struct {
	preset, kernel, device, out string
	seconds                     int
}

// stages are the commands whose output makes the report, the most important first. On a CPU there is nothing to tune.
func (r *reportFlags) stages(onCPU bool) [][]string {
	device := []string{"--device", r.device}
	stages := [][]string{
		{"devices"},
		append([]string{"selftest"}, device...),
		append([]string{"tune", "--preset", r.preset, "--seconds", fmt.Sprint(r.seconds)}, device...),
		append([]string{"bench", "--preset", r.preset, "--dtype", "f32"}, device...),
		append([]string{"bench", "--preset", r.preset, "--dtype", "bf16"}, device...),
	}
	if r.kernel != "" {
		for _, i := range []int{1, 3, 4} {
			stages[i] = append(stages[i], "--kernel", r.kernel)
		}
		stages[3], stages[4] = append(stages[3], "--step"), append(stages[4], "--step")
	}
	if onCPU {
		short := []string{"--batch-size", "1", "--seq-len", "64"}
		stages[3], stages[4] = append(stages[3], short...), append(stages[4], short...)
		stages = slices.Delete(stages, 2, 3)
	}
	return stages
}

// computesOnCPU says whether a device does. It is a variable for tests.
var computesOnCPU = func(device string) bool {
	list, err := gpu.Adapters()
	if err != nil {
		return false
	}
	info, err := gpu.Choose(list, device)
	return err == nil && info.Software()
}

// reportTitle is a report's first line.
const reportTitle = "# gpt2wgpu report"

// write runs the stages and writes the file. Errors: the file; a stage that failed; ctx ended.
func (r *reportFlags) write(ctx context.Context, e *env) (err error) {
	old, err := os.ReadFile(r.out)
	if err == nil && !strings.HasPrefix(string(old), reportTitle+"\n") {
		return usagef("--out %s: the file exists and is not a report; hint: another --out", r.out)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--out: %w; hint: another --out", err)
	}
	f, err := os.Create(r.out)
	if err != nil {
		return fmt.Errorf("--out: %w; hint: another --out", err)
	}
	defer func() {
		if failed := f.Close(); err == nil {
			err = failed
		}
	}()
	hide := impersonal()
	var version bytes.Buffer
	if err := versionCommand.run(ctx, &env{stdout: &version}); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f, "%s\n\n%s", reportTitle, version.String()); err != nil {
		return err
	}
	onCPU := computesOnCPU(r.device)
	if onCPU {
		const short = "This device computes on the CPU: tune is left out, and bench measures one sequence of 64 tokens."
		if _, err := fmt.Fprintf(f, "\n%s\n", short); err != nil {
			return err
		}
	}
	var failed []string
	for _, args := range r.stages(onCPU) {
		e.log.Info("report: gpt2wgpu " + strings.Join(args, " "))
		var stdout, stderr bytes.Buffer
		stageErr := runStage(ctx, args, &stdout, io.MultiWriter(e.stderr, &stderr))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		text := stdout.String()
		switch args[0] {
		case "selftest":
			text = regexp.MustCompile(`(?m)^.* ok\n`).ReplaceAllString(text, "")
		case "tune": // its messages have the times
			text = stderr.String() + text
		}
		if stageErr != nil {
			failed = append(failed, args[0])
			if args[0] != "tune" {
				text += stderr.String()
			}
			text += fmt.Sprintf("failed: %v\n", stageErr)
		}
		_, err := fmt.Fprintf(f, "\n## %s\n\n```\n%s```\n", strings.Join(args, " "), shorten(hide(text)))
		if err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s failed, and %s says how; hint: please paste that file into an issue",
			strings.Join(failed, " and "), r.out)
	}
	e.log.Info(fmt.Sprintf("wrote %s; please paste it into an issue", r.out))
	return nil
}

// runStage runs a command in a process of its own, which a driver may end. It is a variable for tests.
var runStage = func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd.Run()
}

// shorten leaves out the middle of a text that is too long for an issue, which holds 65,536 characters.
func shorten(text string) string {
	const most = 12000 // bytes
	if len(text) <= most {
		return text
	}
	head, tail := text[:most/2], text[len(text)-most/2:]
	head, tail = head[:strings.LastIndexByte(head, '\n')+1], tail[strings.IndexByte(tail, '\n')+1:]
	left := strings.Count(text, "\n") - strings.Count(head, "\n") - strings.Count(tail, "\n")
	return fmt.Sprintf("%s… %d lines left out\n%s", head, left, tail)
}

// impersonal returns a function that leaves only the last element of every absolute path in a text: the others can name
// the user or the host. Directories that can have spaces in their names are known.
func impersonal() func(string) string {
	var known []string
	dirsOf := []func() (string, error){os.UserCacheDir, os.UserConfigDir, os.UserHomeDir, os.Getwd, os.Executable}
	for _, dir := range dirsOf {
		if d, err := dir(); err == nil && len(filepath.ToSlash(d)) > 1 {
			known = append(known, d+string(filepath.Separator), "/", d, "/…")
		}
	}
	dirs := strings.NewReplacer(known...)
	paths := regexp.MustCompile(`(^|[\s"'(=:\x60])(?:[A-Za-z]:)?[/\\](?:[^\s"'/\\:]*[/\\])*([^\s"'/\\:]*)`)
	return func(text string) string { return paths.ReplaceAllString(dirs.Replace(text), "$1…/$2") }
}
