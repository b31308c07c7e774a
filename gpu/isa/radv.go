package isa

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/shaders/wgsl"
)

// Text is a kernel and what its main loop is for. A turn of that loop works on one tile.
type Text struct {
	wgsl.Text
	MACs   int // multiply-adds of a workgroup in a turn that the mathematics needs; -1: as the code has; 0: no bound
	Staged int // bytes that a workgroup stores in a turn as its tiles in workgroup memory
}

// Kernel is what a compiler made of a text.
type Kernel struct {
	Label    string  `json:"kernel"`
	Spills   int     `json:"spills"`    // of registers; on AMD vector and scalar ones
	FMAShare float64 `json:"fma_share"` // of the vector instructions of the loop with most multiply-adds; 0: none

	// AMD. Clocks are those of a CU for a wave in a turn of the main loop.
	VGPRs   int     `json:"vgprs,omitempty"`
	LDS     int     `json:"lds_bytes,omitempty"` // of a workgroup
	Waves   int     `json:"waves,omitempty"`     // of 64 threads that a SIMD holds
	Code    int     `json:"code_bytes,omitempty"`
	FMA     float64 `json:"fma_clocks,omitempty"`
	VALU    float64 `json:"valu_clocks,omitempty"`
	LDSTime float64 `json:"lds_clocks,omitempty"`
	Bound   float64 `json:"bound,omitempty"` // FMA / max(VALU, LDSTime): of the peak rate of multiply-adds; 0: none

	// Intel.
	SIMD         int `json:"simd,omitempty"` // threads that a hardware thread runs in step
	Fills        int `json:"fills,omitempty"`
	Instructions int `json:"instructions,omitempty"`
	Cycles       int `json:"cycles,omitempty"` // Mesa's estimate
}

// divide returns what the driver printed about each of n texts.
func divide(dump string, n int) ([]string, error) {
	parts := strings.Split(dump, "\n"+mark)[1:]
	if len(parts) != n {
		return nil, fmt.Errorf("%d kernels printed, want %d", len(parts), n)
	}
	return parts, nil
}

// parse reads what the driver printed about each text on a family. Error: a text about which it printed nothing.
func parse(dumps []string, family string, texts []Text) ([]Kernel, error) {
	var all []Kernel
	for i, dump := range dumps {
		k, err := Kernel{}, error(nil)
		if IsIntel(family) {
			k, err = parseIntel(dump, texts[i])
		} else {
			k, err = parseRADV(dump, archOf(family), texts[i])
		}
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w", texts[i].Label, family, err)
		}
		all = append(all, k)
	}
	return all, nil
}

var stat = regexp.MustCompile(`(?m)^([A-Za-z -]+): (\d+)`)

func parseRADV(dump string, a arch, t Text) (Kernel, error) {
	_, code, ok := strings.Cut(dump, "\ndisasm:\n")
	code, stats, ok2 := strings.Cut(code, "*** SHADER STATS ***")
	if !ok || !ok2 {
		return Kernel{}, fmt.Errorf("no disassembly or no statistics in what the driver printed")
	}
	s := map[string]int{}
	for _, m := range stat.FindAllStringSubmatch(stats, -1) {
		s[m[1]], _ = strconv.Atoi(m[2])
	}
	k := Kernel{Label: t.Label, VGPRs: s["VGPRs"], Spills: s["Spilled VGPRs"] + s["Spilled SGPRs"], LDS: s["LDS size"],
		Waves: s["Subgroups per SIMD"], Code: s["Code size"]}
	if a != gcn {
		k.Waves /= 2 // RADV counts waves of 32 threads there
	}
	k.bound(blocksOf(code), a, t)
	return k, nil
}

// block is straight code.
type block struct {
	label  string
	code   []instruction
	target string // of the branch at its end
}

type instruction struct{ op, args string }

var (
	labelLine = regexp.MustCompile(`^(BB\d+):`)
	codeLine  = regexp.MustCompile(`^\t([a-z]\w+)\s*([^;]*)`)
	repeated  = regexp.MustCompile(`^\s*\(then repeated (\d+) times\)`)
	branchTo  = regexp.MustCompile(`BB\d+`)
)

func blocksOf(text string) []block {
	all := []block{{}}
	for line := range strings.Lines(text) {
		last := &all[len(all)-1]
		if m := labelLine.FindStringSubmatch(line); m != nil {
			if last.label != "" || len(last.code) > 0 {
				all = append(all, block{})
			}
			all[len(all)-1].label = m[1]
		} else if m := repeated.FindStringSubmatch(line); m != nil {
			for n, _ := strconv.Atoi(m[1]); n > 0 && len(last.code) > 0; n-- {
				last.code = append(last.code, last.code[len(last.code)-1])
			}
		} else if m := codeLine.FindStringSubmatch(line); m != nil {
			last.code = append(last.code, instruction{m[1], m[2]})
			if strings.HasPrefix(m[1], "s_cbranch") || m[1] == "s_branch" {
				last.target = branchTo.FindString(m[2])
				all = append(all, block{})
			}
		}
	}
	return all
}
