package isa

import (
	"math"
	"regexp"
	"slices"
	"strings"
)

// arch is a generation with its own rates.
type arch int

const (
	gcn arch = iota
	rdna2
	rdna3
)

func archOf(family string) arch {
	switch {
	case strings.HasPrefix(family, "navi3"), family == "phoenix", strings.HasPrefix(family, "gfx11"):
		return rdna3
	case strings.HasPrefix(family, "navi"), family == "rembrandt":
		return rdna2
	}
	return gcn
}

// The clocks of a CU for an instruction of a wave of 64 threads:
//
//	                                                      GCN, RDNA2   RDNA3
//	v_fma, v_add, v_mul, v_min, v_max of f32, v_mov,
//	v_cndmask                                                      1     1/2 (dual issue)
//	other vector instructions                                      1       1
//	v_exp, v_log, v_rcp, v_rsq, v_sqrt; 32-bit products            4       4
//	ds_* of 128, 64, 32 bits a thread                        8, 4, 2 (128 bytes a clock)
var (
	fmaOp  = regexp.MustCompile(`^v_(fmac|fma|mac|mad|fmaak|fmamk|madak|madmk)_f32`)
	fastOp = regexp.MustCompile(`^v_((add|sub|subrev|mul|max|min)_f32|mov_b32|cndmask_b32)`)
	slowOp = regexp.MustCompile(`^v_((exp|log|rcp|rsq|sqrt|sin|cos)(_iflag)?_f32|mul_lo_u32|mul_hi_[iu]32|mad_u64_u32)`)
	ldsOp  = regexp.MustCompile(`^ds_(read|load|write|store)(2|2st64|_2addr|_2addr_stride64)?_[biu](\d+)`)
	loadOp = regexp.MustCompile(`^(buffer|global)_load`)
)

// fmaClocks are the clocks of the first line.
var fmaClocks = map[arch]float64{gcn: 1, rdna2: 1, rdna3: 0.5}

// mix counts a block.
type mix struct {
	fma, valu int     // instructions
	clocks    float64 // of valu
	lds       float64 // clocks
	stores    int     // bytes that a wave stores in workgroup memory
	loads     bool    // it reads buffers
	others    bool    // it has other vector instructions than moves and the arithmetic of float32
}

// rescales says whether a block multiplies many values and does nothing else: sums, when a maximum grew.
func (m mix) rescales() bool {
	return m.fma == 0 && m.valu >= 16 && !m.others && !m.loads && m.stores == 0
}

func mixOf(b block, a arch) (m mix) {
	for _, i := range b.code {
		if l := ldsOp.FindStringSubmatch(i.op); l != nil {
			bytes := map[string]int{"128": 16, "96": 12, "64": 8, "32": 4, "16": 2, "8": 1}[l[3]] * 64
			if l[2] != "" {
				bytes *= 2
			}
			m.lds += max(2, float64(bytes)/128)
			if l[1] == "write" || l[1] == "store" {
				m.stores += bytes
			}
		}
		m.loads = m.loads || loadOp.MatchString(i.op)
		if !strings.HasPrefix(i.op, "v_") {
			continue
		}
		m.valu++
		fma, fast := fmaOp.MatchString(i.op), fastOp.MatchString(i.op)
		m.others = m.others || !fma && !fast
		switch {
		case fma:
			m.fma++
			m.clocks += fmaClocks[a]
		case fast:
			m.clocks += fmaClocks[a]
		case slowOp.MatchString(i.op):
			m.clocks += 4
		default:
			m.clocks++
		}
	}
	return m
}

// span is a loop: its first and last block.
type span struct{ first, last int }

func (s span) has(o span) bool { return s.first <= o.first && o.last <= s.last && s != o }

// loopsOf returns the loops, each once.
func loopsOf(blocks []block) (all []span) {
	at, end := map[string]int{}, map[int]int{}
	for i, b := range blocks {
		if b.label != "" {
			at[b.label] = i
		}
		if first, back := at[b.target]; back && b.target != "" {
			end[first] = i
		}
	}
	for i := range blocks {
		if last, ok := end[i]; ok {
			all = append(all, span{i, last})
		}
	}
	return all
}

// bound sets what the main loop costs, where there is one with multiply-adds. It is the outermost loop around the one
// that has most of them. A block in it counts as often as a wave runs it in a turn, which follows from what a turn is
// for:
//
//	multiplying only, behind a branch     never: it rescales, which is seldom
//	in an inner loop with multiply-adds   as often as makes t.MACs of them, a power of two
//	storing tiles, without multiply-adds  as often as makes t.Staged bytes, and the loads of tiles with it
//	others                                once
func (k *Kernel) bound(blocks []block, a arch, t Text) {
	loops := loopsOf(blocks)
	mixes := make([]mix, len(blocks))
	for i, b := range blocks {
		mixes[i] = mixOf(b, a)
		if i > 0 && blocks[i-1].target != "" && mixes[i].rescales() {
			mixes[i] = mix{}
		}
	}
	var core span
	most := mix{}
	for _, l := range loops {
		sum := mix{}
		for i := l.first; i <= l.last; i++ {
			inner := func(o span) bool { return l.has(o) && o.first <= i && i <= o.last }
			if !slices.ContainsFunc(loops, inner) {
				sum.fma += mixes[i].fma
				sum.valu += mixes[i].valu
			}
		}
		if sum.fma > most.fma {
			core, most = l, sum
		}
	}
	if most.fma == 0 {
		return
	}
	k.FMAShare = float64(most.fma) / float64(most.valu)
	if t.MACs == 0 {
		return
	}
	turn := core
	for _, l := range loops {
		if l.has(turn) {
			turn = l
		}
	}
	// Which loop inside the turn a block is in, and which of these have multiply-adds.
	inner := map[int]span{}
	computes := map[span]bool{}
	for i := turn.first; i <= turn.last; i++ {
		// The outermost, as loops are in the order of their beginnings.
		at := slices.IndexFunc(loops, func(l span) bool { return turn.has(l) && l.first <= i && i <= l.last })
		if at >= 0 {
			inner[i] = loops[at]
			computes[loops[at]] = computes[loops[at]] || mixes[i].fma > 0
		}
	}
	waves := float64(t.Threads) / 64
	kinds := make([]int, len(blocks))
	const once, repeated, staging = 0, 1, 2
	var fmas, stores [3]float64
	looped := false // staging is in a loop
	for i := turn.first; i <= turn.last; i++ {
		m := mixes[i]
		l, in := inner[i]
		switch {
		case in && computes[l]:
			kinds[i] = repeated
		case m.fma == 0 && (in || m.loads || m.stores > 0):
			kinds[i] = staging
			looped = looped || in
		}
		fmas[kinds[i]] += float64(m.fma)
		stores[kinds[i]] += float64(m.stores)
	}
	needed := fmas[once] + fmas[repeated] // of a wave, as the next
	weight := [3]float64{once: 1, repeated: 1, staging: 1}
	if t.MACs > 0 {
		needed = float64(t.MACs) / float64(t.Threads)
		if fmas[repeated] > 0 {
			// A product's first addend may be no multiply-add, so the quotient is somewhat more than the power of two.
			weight[repeated] = max(1, math.Exp2(math.Round(math.Log2((needed-fmas[once])/fmas[repeated]))))
		}
	}
	if stores[staging] > 0 && t.Staged > 0 {
		weight[staging] = float64(t.Staged) / waves / stores[staging]
		if !looped {
			weight[staging] = min(1, weight[staging])
		}
	}
	for i := turn.first; i <= turn.last; i++ {
		k.VALU += weight[kinds[i]] * mixes[i].clocks
		k.LDSTime += weight[kinds[i]] * mixes[i].lds
	}
	k.FMA = needed * fmaClocks[a]
	k.Bound = k.FMA / max(k.VALU, k.LDSTime)
}
