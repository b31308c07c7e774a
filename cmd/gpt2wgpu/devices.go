package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/train/oneline"
)

var devicesCommand = &command{
	group: "This machine",
	name:  "devices",
	short: "List the GPUs of this machine and their limits",
	long: `
The first column is what --device takes; it takes a part of the name as well. The * marks the one that is used
without --device. TARGET names the tables of kernels and geometries for it (gpu/op/target_*.go).`,
	examples: []string{
		"gpt2wgpu devices --json",
	},
	setup: func(fs *flagSet) runFunc {
		out := fs.section("Output")
		asJSON := out.Bool("json", false, "print a JSON array, with every limit and feature")
		fs.logFlags(out)
		return func(_ context.Context, e *env, _ []string) error {
			list, err := gpu.Adapters()
			if err != nil {
				return err
			}
			if *asJSON {
				type device struct {
					gpu.AdapterInfo
					Target string `json:"target"`
				}
				devices := make([]device, len(list))
				for i, a := range list {
					devices[i] = device{a, targetOf(a)}
				}
				return writeJSON(e.stdout, devices)
			}
			auto, err := gpu.Choose(list, "auto")
			if err != nil {
				return err
			}
			return printDevices(e.stdout, list, auto.Index)
		}
	},
}

func targetOf(a gpu.AdapterInfo) string { return op.TargetFor(a, a.Limits).Name }

func printDevices(w io.Writer, list []gpu.AdapterInfo, auto int) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "  #\tNAME\tBACKEND\tTYPE\tTARGET\tLARGEST BUFFER\tLARGEST BINDING\tWORKGROUP\tDRIVER")
	for _, a := range list {
		mark := " "
		if a.Index == auto {
			mark = "*"
		}
		fmt.Fprintf(tab, "%s %d\t%s\t%s\t%s\t%s\t%s\t%s\t%d threads, %s\t%s\n",
			mark, a.Index, oneline.Of(a.Name), a.Backend, a.Type, targetOf(a),
			gpu.HumanBytes(a.Limits.MaxBufferSize), gpu.HumanBytes(a.Limits.MaxBindingSize),
			a.Limits.MaxInvocations, gpu.HumanBytes(uint64(a.Limits.MaxWorkgroupBytes)), oneline.Of(a.Driver))
	}
	return tab.Flush()
}
