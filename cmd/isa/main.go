package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/isa"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// child is the word that makes this program a compiler's process.
const child = "child"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	args := append(os.Args[1:], "")
	var err error
	switch {
	case args[0] == child:
		if err = isa.Child(os.Stdin); err != nil {
			fmt.Println(err) // standard error is the driver's
		}
	case args[0] == "texts" && len(args) == 3:
		err = writeTexts(args[1])
	case args[0] == "metal" && len(args) == 6:
		var only *regexp.Regexp
		if only, err = regexp.Compile(args[4]); err == nil {
			err = metal(ctx, args[1], args[2], args[3], only, os.Stdout)
		}
	default:
		err = run(ctx, os.Args[1:], os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "isa:", err)
		os.Exit(1)
	}
}

// families are those for which everything is compiled: AMD's RDNA 2 and 3 and GCN, and Intel's. newer need Mesa 25.
var (
	families = []string{"navi21", "rembrandt", "navi31", "phoenix", "vega10", "raven", "renoir", "skl", "tgl", "dg2"}
	newer    = []string{"navi31", "phoenix"}
)

// floors are the bounds of the step's products and attention below which no version may fall, by family and storage:
// what docs/results.md has, less what another version of Mesa may take away.
var floors = map[string]map[string]float64{
	"navi21": {"bf16": 0.927, "f32": 0.937}, "rembrandt": {"bf16": 0.927, "f32": 0.937},
	"navi31": {"bf16": 0.86, "f32": 0.875}, "phoenix": {"bf16": 0.86, "f32": 0.875},
	"vega10": {"bf16": 0.927, "f32": 0.937}, "raven": {"bf16": 0.927, "f32": 0.937},
	"renoir": {"bf16": 0.927, "f32": 0.937},
}

// report is what became of the kernels on a family.
type report struct {
	Family  string             `json:"family"`
	Target  string             `json:"target"`
	Step    map[string]float64 `json:"step"` // the bound of its products and attention, by storage
	Kernels []row              `json:"kernels"`
}

type row struct {
	isa.Kernel
	Default bool `json:"default"`
}

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("isa", flag.ContinueOnError)
	list := fs.String("families", strings.Join(families, ","), "the GPUs, `names` as Mesa has them")
	mesa := fs.String("mesa", "", "the `folder` of Mesa's Vulkan drivers")
	mesa25 := fs.String("mesa25", "", "the `folder` of Mesa 25's drivers, for families that older ones do not know")
	shims := fs.String("shims", "build/isa", "the `folder` of the libraries that pretend to be their devices")
	only := fs.String("kernel", "", "only kernels whose names match this `pattern`; nothing is checked")
	defaults := fs.Bool("defaults", false, "leave out what only tuning chooses")
	cache := fs.String("cache", "", "a `folder` that keeps what drivers print, for the next time")
	asJSON := fs.Bool("json", false, "print one JSON object")
	if err := fs.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(*shims)
	if err != nil {
		return err
	}
	results := out
	if *asJSON {
		results = os.Stderr
	}
	var reports []report
	passed, failed := 0, 0
	for _, family := range strings.Split(*list, ",") {
		c := isa.Compiler{Cache: *cache, Child: func(ctx context.Context) *exec.Cmd {
			return exec.CommandContext(ctx, os.Args[0], child)
		}}
		drivers := *mesa
		if slices.Contains(newer, family) {
			drivers = *mesa25
		}
		if isa.IsIntel(family) {
			c.Driver, c.Shim = filepath.Join(drivers, "libvulkan_intel.so"), filepath.Join(folder, "libintel_shim.so")
		} else {
			c.Driver, c.Shim = filepath.Join(drivers, "libvulkan_radeon.so"), filepath.Join(folder, "libshim.so")
		}
		r, err := measure(ctx, c, family, pattern, *defaults)
		if err != nil {
			return err
		}
		reports = append(reports, r)
		if !*asJSON {
			r.print(out)
		}
		if *only != "" {
			continue
		}
		failures, rules := r.check()
		for _, failure := range failures {
			fmt.Fprintln(results, "FAIL", failure)
		}
		passed, failed = passed+rules-len(failures), failed+len(failures)
	}
	if *asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(map[string]any{"families": reports}); err != nil {
			return err
		}
	}
	if *only != "" {
		return nil
	}
	fmt.Fprintf(results, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return fmt.Errorf("%d rules are broken", failed)
	}
	return nil
}

// measure compiles the kernels of a 124M step for a family.
func measure(ctx context.Context, c isa.Compiler, family string, only *regexp.Regexp, defaults bool) (report, error) {
	info := gpu.AdapterInfo{Name: fmt.Sprintf("AMD Radeon Graphics (RADV %s)", strings.ToUpper(family)),
		Backend: "vulkan", Type: "discrete", Vendor: 0x1002, Limits: limits()}
	if isa.IsIntel(family) {
		info.Name, info.Vendor = fmt.Sprintf("Intel(R) Graphics (%s)", strings.ToUpper(family)), 0x8086
	}
	target := op.TargetFor(info, info.Limits)
	r := report{Family: family, Target: target.Name, Step: map[string]float64{}}
	var ks kernels
	if err := ks.addSteps("gpt2-124m", 0, target, !defaults); err != nil {
		return r, err
	}
	var chosen []*kernel
	var texts []isa.Text
	for _, k := range ks.all {
		if only.MatchString(k.Label) {
			chosen, texts = append(chosen, k), append(texts, k.Text)
		}
	}
	made, err := c.Compile(ctx, family, texts)
	if err != nil {
		return r, err
	}
	flops, time := map[string]float64{}, map[string]float64{}
	for i, k := range made {
		r.Kernels = append(r.Kernels, row{k, chosen[i].isDefault})
		for storage, n := range chosen[i].flops {
			if n > 0 && k.Bound > 0 {
				flops[storage] += n
				time[storage] += n / k.Bound
			}
		}
	}
	for storage := range flops {
		r.Step[storage] = flops[storage] / time[storage]
	}
	return r, nil
}

func (r report) print(out io.Writer) {
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if isa.IsIntel(r.Family) {
		fmt.Fprintf(out, "%s, target %s\n", r.Family, r.Target)
		fmt.Fprintln(tab, "SIMD\tSPILLS:FILLS\tINSTRUCTIONS\tFMA SHARE\tKERNEL")
	} else {
		fmt.Fprintf(out, "%s, target %s: the step's products and attention reach at most %.3f (bf16), %.3f (f32) of "+
			"the peak rate of multiply-adds\n", r.Family, r.Target, r.Step["bf16"], r.Step["f32"])
		fmt.Fprintln(tab, "VGPRS\tSPILLS\tLDS\tWAVES\tFMA SHARE\tFMA / MAX(VALU, LDS) = BOUND\t\tKERNEL")
	}
	for _, k := range r.Kernels {
		share, bound, role := "", "\t", "default"
		if k.FMAShare > 0 {
			share = fmt.Sprintf("%.2f", k.FMAShare)
		}
		if k.Bound > 0 {
			bound = fmt.Sprintf("%.0f / max(%.0f, %.0f)\t%.3f", k.FMA, k.VALU, k.LDSTime, k.Bound)
		}
		if !k.Default {
			role = "tuning"
		}
		if k.SIMD > 0 {
			fmt.Fprintf(tab, "%d\t%d:%d\t%d\t%s\t", k.SIMD, k.Spills, k.Fills, k.Instructions, share)
		} else {
			fmt.Fprintf(tab, "%d\t%d\t%d\t%d\t%s\t%s\t", k.VGPRs, k.Spills, k.LDS, k.Waves, share, bound)
		}
		fmt.Fprintln(tab, role, k.Label)
	}
	tab.Flush()
	fmt.Fprintln(out)
}

// maySpill matches kernels for which Intel's 128 registers a thread are too few.
var maySpill = regexp.MustCompile(`^attention_backward_dkv`)

// check returns what breaks the rules, a line each, and how many rules there are for the family.
func (r report) check() (failures []string, rules int) {
	var spills []string
	for _, k := range r.Kernels {
		if k.Default && k.Spills > 0 && !(isa.IsIntel(r.Family) && maySpill.MatchString(k.Label)) {
			spills = append(spills, fmt.Sprintf("%s (%d)", k.Label, k.Spills))
		}
	}
	if spills != nil {
		failures = append(failures, fmt.Sprintf("%s: default kernels spill registers: %s", r.Family,
			strings.Join(spills, ", ")))
	}
	for _, storage := range storages {
		if floor := floors[r.Family][storage]; r.Step[storage] < floor {
			failures = append(failures, fmt.Sprintf("%s: the step's bound in %s is %.3f, want %.3f", r.Family, storage,
				r.Step[storage], floor))
		}
	}
	return failures, 1 + len(floors[r.Family])
}
