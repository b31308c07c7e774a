package isa

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	simd    = regexp.MustCompile(`(?m)^SIMD(\d+) shader: (\d+) instructions.* (\d+) cycles\. (\d+):(\d+) spills:fills`)
	genBody = regexp.MustCompile(`(?m)^ +START B\d+.*$`)
	genCode = regexp.MustCompile(`(?m)^(?:\(\S+\) )?([a-z]\w*)(?:\.\S+)?\(\d+\)`)
)

// parseIntel reads what ANV printed about one text: of several widths the last, which it takes. The inner loop counts
// as the straight code with most multiply-adds.
func parseIntel(dump string, t Text) (Kernel, error) {
	all := simd.FindAllStringSubmatchIndex(dump, -1)
	if all == nil {
		return Kernel{}, fmt.Errorf("no statistics in what the driver printed")
	}
	last := all[len(all)-1]
	number := func(i int) int { n, _ := strconv.Atoi(dump[last[2*i]:last[2*i+1]]); return n }
	k := Kernel{Label: t.Label, SIMD: number(1), Instructions: number(2), Cycles: number(3), Spills: number(4),
		Fills: number(5)}
	most := 0
	for _, body := range genBody.Split(dump[last[1]:], -1) {
		mads, code := 0, genCode.FindAllStringSubmatch(body, -1)
		for _, m := range code {
			if m[1] == "mad" {
				mads++
			}
		}
		if mads > most {
			most, k.FMAShare = mads, float64(mads)/float64(len(code))
		}
	}
	return k, nil
}

// IsIntel says whether a family is Intel's: ANV compiles for it, not RADV.
func IsIntel(family string) bool { return strings.Contains(" skl icl tgl adl dg2 ", " "+family+" ") }
