package op

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// Tile is a choice among the kernels and geometries of an op: one of the fields is set. It is JSON in checkpoints and
// in the cache of gpu/tune.
type Tile struct {
	Matmul     *MatmulTile     `json:"matmul,omitempty"`
	Attention  *AttentionTile  `json:"attention,omitempty"`
	Classifier *classifierTile `json:"classifier,omitempty"`
}

// classifierTile is the rows of Classifier's chunks, a multiple of 64.
type classifierTile struct{ Rows int }

// String is the tile as JSON, for logs.
func (t Tile) String() string {
	raw, err := json.Marshal(t)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// mostTile bounds every number of a tile: far beyond all that compile, and far from overflow.
const mostTile = 1024

func between(least int, ns ...int) bool { return slices.Min(ns) >= least && slices.Max(ns) <= mostTile }

// MatmulTile is one geometry of the matmul kernels: WX x WY threads, each with TM rows and 4*TN4 columns of the result.
type MatmulTile struct {
	TM, TN4, WX, WY int
	BK              int       `json:",omitempty"` // depth of the tiles in workgroup memory; 0: none, as in _direct
	Split           bool      `json:",omitempty"` // the WX threads share TM x 4*TN4 results and split their sums
	Panel           panelTile `json:",omitzero"`  // matmul_panels; the numbers above are 0
	Slice           int       `json:",omitempty"` // addends per dispatch, where sums may be sliced; 0: all
}

func (t MatmulTile) panels() bool { return t.Panel.WG > 0 }

// impossible says whether the kernels have no such geometry.
func (t MatmulTile) impossible() bool {
	if t.Panel != (panelTile{}) {
		return t != MatmulTile{Panel: t.Panel} || t.Panel.impossible()
	}
	return !between(1, t.TM, t.TN4, t.WX, t.WY) || !between(0, t.BK) || t.BK%4 != 0 || t.BK > 0 && t.TM%4 != 0 ||
		t.Split && (t.BK > 0 || t.WY > 1) || t.Slice < 0 || t.Slice%windowRows != 0
}

// Name names the algorithm and its geometry.
func (t MatmulTile) Name() string {
	size := fmt.Sprintf("%dx%d", t.Rows(), t.Cols())
	switch {
	case t.panels():
		return fmt.Sprintf("panels%sx%d", size, t.Depth())
	case t.Split:
		return "split" + size
	case t.BK > 0:
		return fmt.Sprintf("tiled%sx%dt%d", size, t.BK, t.Threads()) // several have the same tile
	}
	return "direct" + size
}

// Rows returns the rows of a group's part of the result.
func (t MatmulTile) Rows() int {
	if t.panels() {
		return t.Panel.WG
	}
	return t.WY * t.TM
}

// Cols returns the columns of a group's part of the result.
func (t MatmulTile) Cols() int {
	if t.panels() {
		return t.Panel.cols()
	}
	if t.Split {
		return t.TN4 * 4
	}
	return t.WX * t.TN4 * 4
}

// Depth returns the addends that are in workgroup memory at a time; 0: none.
func (t MatmulTile) Depth() int {
	if t.panels() {
		return t.Panel.depth()
	}
	return t.BK
}

// Threads returns the threads of a group.
func (t MatmulTile) Threads() int {
	if t.panels() {
		return t.Panel.WG
	}
	return t.WX * t.WY
}

// Bytes returns the workgroup memory: both tiles, each with a quad of padding per row, or each thread's sums.
func (t MatmulTile) Bytes() int {
	if t.panels() {
		return 4 * t.Depth() * t.Cols()
	}
	if t.Split {
		return 4 * t.WX * t.Rows() * t.Cols()
	}
	return 4 * t.BK * (t.Rows() + 4 + t.Cols() + 4)
}

// AttentionTile is one choice of attention's kernels.
type AttentionTile struct {
	Suffix           string // of the kernels' names
	Forward, DQ, DKV attentionGeometry
}

// attentionGeometry is one kernel's: the queries or keys of a group, and the kernel's constants.
type attentionGeometry struct {
	Rows int
	Spec attentionSpec
}

// attentionSpec is the constants of an attention kernel. 0: it has none of that name.
type attentionSpec struct {
	BK, BQ, TK, TQ, WX int `json:",omitempty"`
}

func (s attentionSpec) constants() shaders.Spec {
	spec := shaders.Spec{}
	for name, n := range map[string]int{"BK": s.BK, "BQ": s.BQ, "TK": s.TK, "TQ": s.TQ, "WX": s.WX} {
		if n != 0 {
			spec[name] = n
		}
	}
	return spec
}

// impossible says whether the kernels have no such geometry.
func (t AttentionTile) impossible() bool {
	bad := func(g attentionGeometry) bool {
		return !between(1, g.Rows, g.Spec.WX) || !between(0, g.Spec.BK, g.Spec.BQ, g.Spec.TK, g.Spec.TQ)
	}
	return !slices.Contains([]string{"_direct", "_tiled", "_step"}, t.Suffix) || bad(t.Forward) || bad(t.DQ) || bad(t.DKV)
}

// walks says whether the kernels are those of attention_step.go.
func (t AttentionTile) walks() bool { return t.Suffix == "_step" }

// Name names the kernels and their geometries.
func (t AttentionTile) Name() string {
	return fmt.Sprintf("%s%dx%dx%d", strings.TrimPrefix(t.Suffix, "_"), t.Forward.Rows, t.DQ.Rows, t.DKV.Rows)
}

// threads returns the threads of the largest group.
func (t AttentionTile) threads() int { return max(t.Forward.Spec.WX, t.DQ.Spec.WX, t.DKV.Spec.WX) }
