package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// catalogue is a variable for tests.
var catalogue = selftest.Catalogue

var selftestCommand = &command{
	group: "This machine",
	name:  "selftest",
	short: "Run every kernel against its float64 reference on this GPU and print a report to paste into an issue",
	long: `
Tries every kernel, and every tile of matmul and attention that suits this GPU, at two or three awkward shapes, in
each storage type. Outputs start as NaN. Inputs and the memory behind every tensor must stay as they were, two runs
must agree bit for bit, and results must be within a limit that follows from the arithmetic. Each row shows its worst
error.`,
	examples: []string{
		"gpt2wgpu selftest",
		"gpt2wgpu selftest --kernel attention --json",
	},
	setup: func(fs *flagSet) runFunc {
		f := fs.section("What")
		kernel := f.String("kernel", "", "try only kernels with this `text` in their names")
		f = fs.section("Device")
		device := f.String("device", "auto", train.DeviceUsage)
		f = fs.section("Output")
		asJSON := f.Bool("json", false, "print one JSON object")
		fs.logFlags(f)
		return func(ctx context.Context, e *env, _ []string) error {
			d, err := gpu.Open(*device)
			if err != nil {
				return err
			}
			defer d.Close()
			entries := slices.DeleteFunc(catalogue(d), func(c selftest.Entry) bool {
				return !strings.Contains(c.Name, *kernel)
			})
			if len(entries) == 0 {
				return usagef("--kernel is %q, in no kernel's name; hint: matmul, attention, layernorm, classifier, "+
					"adamw", *kernel)
			}
			show := func(r selftest.Row) {
				for _, f := range r.Failures {
					e.log.Error(fmt.Sprintf("%s %s %s: %s", r.Name, r.DType, r.Shape, f))
				}
			}
			if !*asJSON {
				fmt.Fprintf(e.stdout, "program:  gpt2wgpu %s, %s, %s/%s\n", programVersion(), runtime.Version(),
					runtime.GOOS, runtime.GOARCH)
				show = selftest.NewTable(e.stdout, d.Info, entries).Row
			}
			start, done, m := time.Now(), 0, newBar(e)
			r, err := selftest.Run(ctx, d, entries, func(r selftest.Row) {
				show(r)
				done++
				m.counting("testing kernels", done, len(entries))
			})
			if err != nil {
				return err
			}
			if *asJSON {
				err = writeJSON(e.stdout, r)
			} else {
				_, err = fmt.Fprintf(e.stdout, "\n%d passed, %d failed in %v\n", r.Passed, r.Failed,
					time.Since(start).Round(time.Second))
			}
			if err == nil && r.Failed > 0 {
				err = fmt.Errorf("%d of %d cases failed on %v; hint: a driver update may help; if not, please open "+
					"an issue with this report", r.Failed, len(entries), d.Info)
			}
			return err
		}
	},
}
