package isa

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// Metal checks what LLVM, which Apple's compiler is too, makes of the bounds checks in the Metal text that naga writes.
type Metal struct {
	Clang   string // clang++ 16 or later, with the AMDGPU target
	Include string // the folder with metal_stdlib
}

// Guards is what became of a kernel's reads of workgroup memory.
type Guards struct {
	Guarded int // reads that a branch still guards
	Reads   int // of workgroup memory
	FMAs    int // in the optimised code
}

// Guards optimises a Metal text and counts. Error: a text that does not compile.
func (m Metal) Guards(ctx context.Context, label, msl string) (g Guards, err error) {
	text, err := plain(msl)
	if err != nil {
		return g, fmt.Errorf("%s: %w", label, err)
	}
	cmd := exec.CommandContext(ctx, m.Clang, "-x", "hip", "--offload-arch=gfx1030", "--cuda-device-only", "-nogpuinc",
		"-nogpulib", "-nostdinc", "-isystem", m.Include, "-std=c++17", "-Wno-everything", "-O2", "-ffast-math", "-S",
		"-emit-llvm", "-o", "-", "-")
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(text), &said
	ir, err := cmd.Output()
	if err != nil {
		for line := range strings.Lines(said.String()) {
			if strings.Contains(line, "error") {
				return g, fmt.Errorf("%s: %s", label, strings.TrimSpace(line))
			}
		}
		return g, fmt.Errorf("%s: %s: %w", label, m.Clang, err)
	}
	g.count(string(ir))
	return g, nil
}

var (
	irBlock = regexp.MustCompile(`(?m)^(\d+|[\w.]+):`)
	irRead  = regexp.MustCompile(` load [^\n]*addrspace\(3\)`)
	irFMA   = regexp.MustCompile(`call[^\n]*fma\.`)
)

// count counts in optimised code. A guarded read is a block of at most four instructions that reads workgroup memory
// and ends in an unconditional branch: what is left of `i < n ? x[i] : 0`.
func (g *Guards) count(ir string) {
	for _, block := range irBlock.Split(ir, -1) {
		_, block, _ = strings.Cut(block, "\n") // behind the label stand its predecessors
		instructions, reads, leaves := 0, false, false
		for line := range strings.Lines(block) {
			if strings.HasPrefix(line, "  ") {
				instructions++
				reads = reads || irRead.MatchString(line)
				leaves = leaves || strings.HasPrefix(strings.TrimSpace(line), "br label")
			}
		}
		if instructions <= 4 && reads && leaves {
			g.Guarded++
		}
	}
	g.Reads, g.FMAs = len(irRead.FindAllString(ir, -1)), len(irFMA.FindAllString(ir, -1))
}

var (
	construct = regexp.MustCompile(`metal::(float|uint|bool|int)([234])\(`)
	constants = regexp.MustCompile(`(?m)^constant `)
	parameter = regexp.MustCompile(`^(.*?)&? (\w+) \[\[(\w+)(?:\(\d+\))?\]\]$`)
	shared    = regexp.MustCompile(`^(threadgroup \w+)& (\w+)$`)
	clearing  = regexp.MustCompile(`\n\s+if \(metal::all\(\w+ == metal::mk_uint3\(0u\)\)\) \{\n` +
		`(\s+[\w.]+ = \{\};\n)+\s+\}\n\s+metal::threadgroup_barrier\([^\n]*\n`)
	separator = regexp.MustCompile(`\n,|\(\n`)
)

// builtins are Metal's inputs of a thread, in a group of 16 threads a row.
var builtins = map[string]string{
	"threadgroup_position_in_grid": "{__builtin_amdgcn_workgroup_id_x(), __builtin_amdgcn_workgroup_id_y(), " +
		"__builtin_amdgcn_workgroup_id_z()}",
	"thread_position_in_threadgroup": "{__builtin_amdgcn_workitem_id_x(), __builtin_amdgcn_workitem_id_y(), " +
		"__builtin_amdgcn_workitem_id_z()}",
	"thread_index_in_threadgroup": "{__builtin_amdgcn_workitem_id_x() + 16u * __builtin_amdgcn_workitem_id_y()}",
	"threadgroups_per_grid":       "{__builtin_amdgcn_workgroup_id_x() + 1, 1, 1}",
	"thread_position_in_grid": "{__builtin_amdgcn_workgroup_id_x() * 16u + __builtin_amdgcn_workitem_id_x(), " +
		"__builtin_amdgcn_workgroup_id_y(), 0}",
}

// plain turns naga's Metal text into one for clang as it is: constructors are functions, buffers and workgroup memory
// come as pointers, and the clearing of workgroup memory is left out. Error: an entry point unlike naga's.
func plain(msl string) (string, error) {
	s := construct.ReplaceAllString(msl, "metal::mk_$1$2(")
	s = constants.ReplaceAllString(strings.ReplaceAll(s, "using metal::uint;", ""), "static const ")
	head, body, ok := strings.Cut(s, "kernel void")
	signature, rest, ok2 := strings.Cut(body, ") {")
	if !ok || !ok2 {
		return "", fmt.Errorf("no entry point in the Metal text")
	}
	var pointers, names []string
	for _, p := range separator.Split(signature, -1)[1:] {
		p = strings.TrimSpace(p)
		kind, name := "", ""
		if m := shared.FindStringSubmatch(p); m != nil {
			kind, name = m[1], m[2]
		} else if m := parameter.FindStringSubmatch(p); m != nil {
			kind, name = m[1], m[2]
			if m[3] != "buffer" {
				value, ok := builtins[m[3]]
				if !ok {
					return "", fmt.Errorf("the Metal text has a parameter %q", p)
				}
				names = append(names, kind+" "+name+value+";")
				continue
			}
		} else {
			return "", fmt.Errorf("the Metal text has a parameter %q", p)
		}
		pointers = append(pointers, kind+" *__restrict "+name+"_p")
		names = append(names, kind+"& "+name+" = *"+name+"_p;")
	}
	return "#pragma clang force_cuda_host_device begin\n" + head + "\nkernel void main_(" +
		strings.Join(pointers, ", ") + ") {\n" + strings.Join(names, "\n") + clearing.ReplaceAllString(rest, "\n"), nil
}
