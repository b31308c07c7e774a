package op

import (
	"encoding/json"
	"fmt"
	"slices"

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

// MatmulTile is an algorithm for products and its geometry: groups of WX x WY threads, each with TM rows and 4*TN4
// columns of the result.
type MatmulTile struct {
	Algorithm       string // direct | tiled | split, or one of a device's own
	TM, TN4, WX, WY int
	BK              int `json:",omitempty"` // addends in workgroup memory at a time; 0: none
	Slice           int `json:",omitempty"` // addends per dispatch, where sums may be sliced; 0: all
	Parts           int `json:",omitempty"` // of tiled: groups that share a sum, where it may be sliced
}

// algorithm returns the tile's algorithm, nil if this version has none of the name.
func (t MatmulTile) algorithm() algorithm { return algorithms[t.Algorithm] }

// impossible says whether there is no such algorithm or geometry.
func (t MatmulTile) impossible() bool {
	return t.algorithm() == nil || !t.algorithm().possible(t) || t.Slice < 0 || t.Slice%windowRows != 0 ||
		!between(0, t.Parts) || t.Parts > 0 && t.Algorithm != "tiled"
}

// Name names the algorithm and its geometry.
func (t MatmulTile) Name() string {
	name := fmt.Sprintf("%s%dx%d", t.Algorithm, t.Rows(), t.Cols())
	if t.BK > 0 {
		name += fmt.Sprintf("x%d", t.BK)
	}
	if t.WX > 1 && t.WY > 1 { // threads may share a tile in several ways
		name += fmt.Sprintf("t%dx%d", t.WX, t.WY)
	}
	if t.Parts > 1 {
		name += fmt.Sprintf("p%d", t.Parts)
	}
	return name
}

// Rows returns the rows of a group's part of the result.
func (t MatmulTile) Rows() int { return t.WY * t.TM }

// Cols returns the columns of a group's part of the result.
func (t MatmulTile) Cols() int { return t.algorithm().cols(t) }

// Threads returns the threads of a group.
func (t MatmulTile) Threads() int { return t.WX * t.WY }

// Bytes returns the workgroup memory of a group.
func (t MatmulTile) Bytes() int { return t.algorithm().bytes(t) }

// AttentionTile is an algorithm for attention and the geometries of its kernels.
type AttentionTile struct {
	Algorithm        string // direct | tiled, or one of a device's own
	Heads            int    `json:",omitempty"` // that share a dispatch at most; 0: as many as can
	Forward, DQ, DKV attentionGeometry
}

// algorithm returns the tile's algorithm, nil if this version has none of the name.
func (t AttentionTile) algorithm() attentionAlgorithm { return attentionAlgorithms[t.Algorithm] }

// attentionGeometry is one kernel's: the queries or keys of a group, and the kernel's constants.
type attentionGeometry struct {
	Rows int
	Spec attentionSpec
}

// attentionSpec is the constants of an attention kernel. 0: it has none of that name. A tiled kernel whose TEAM is 1
// shares no rows, and so has no tiles: it is the direct one.
type attentionSpec struct {
	BK, BQ, TEAM, TK, TQ, WX int `json:",omitempty"`
}

func (s attentionSpec) direct() bool { return s.TEAM == 1 }

func (s attentionSpec) constants() shaders.Spec {
	spec := shaders.Spec{}
	for name, n := range map[string]int{"BK": s.BK, "BQ": s.BQ, "TEAM": s.TEAM, "TK": s.TK, "TQ": s.TQ, "WX": s.WX} {
		if n != 0 && !(name == "TEAM" && s.direct()) {
			spec[name] = n
		}
	}
	return spec
}

// impossible says whether there is no such algorithm or geometry.
func (t AttentionTile) impossible() bool {
	bad := func(g attentionGeometry) bool {
		return !between(1, g.Rows, g.Spec.WX) || !between(0, g.Spec.BK, g.Spec.BQ, g.Spec.TEAM, g.Spec.TK, g.Spec.TQ)
	}
	return t.algorithm() == nil || t.Heads < 0 || bad(t.Forward) || bad(t.DQ) || bad(t.DKV) ||
		!t.algorithm().possible(t)
}

// Name names the kernels and their geometries; d: the kernel has no tiles.
func (t AttentionTile) Name() string {
	threads := func(g attentionGeometry) string {
		if g.Spec.direct() {
			return fmt.Sprint(g.Spec.WX, "d")
		}
		return fmt.Sprint(g.Spec.WX)
	}
	f, q, k := t.Forward, t.DQ, t.DKV
	return fmt.Sprintf("%s%dx%dx%dt%sx%sx%s", t.Algorithm, f.Rows, q.Rows, k.Rows, threads(f), threads(q), threads(k))
}

// Bytes returns the most workgroup memory that a group takes with heads of this many channels.
func (t AttentionTile) Bytes(hs int) int { return t.algorithm().bytes(t, hs) }

// threads returns the threads of the largest group.
func (t AttentionTile) threads() int { return max(t.Forward.Spec.WX, t.DQ.Spec.WX, t.DKV.Spec.WX) }
