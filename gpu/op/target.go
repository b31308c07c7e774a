package op

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
)

// A Target says which kernels and geometries suit a device. It is a plain value of numbers, strings and lists: it can
// be printed, compared, made up in tests and sent to another process as JSON.
type Target struct {
	Name         string   // lavapipe, cpu or a class of GPUs, with its backend where that has tables of its own
	Algorithms   []string // of products and attention, whose texts the device's compiler takes well
	GroupThreads int      // that the device allows in a workgroup
	GroupBytes   int      // of workgroup memory that it allows
	TileBytes    int      `json:",omitempty"` // of it that a tile may take without slowing groups down; 0: all

	Threads   int // of a workgroup where each thread has a value or a quad
	Reduce    int // of a workgroup whose threads take several quads, a group apart, or add up in a tree
	AdamW     int // quads per thread of AdamW, in groups of Reduce
	LookUp    LookUpTarget
	LayerNorm LayerNormTarget
	Decode    int // threads of a head in AttentionDecode at most
	// DecodeQuads are the quads of its sums in workgroup memory at a time; 0: all.
	DecodeQuads int `json:",omitempty"`

	Products      []ProductRule // in the order of preference; the last fits every product
	MoreProducts  []MatmulTile  // that tuning may choose beside them
	Slice         SliceTarget   // of long sums
	Attention     []AttentionRule
	MoreAttention []AttentionRule
	Logits        int64 // bytes of a chunk of the classifier's logits in float32, of which bf16 takes half
	LogitsRows    int   `json:",omitempty"` // rows of a chunk are a multiple of this; 0: of 64
	MoreLogits    int   `json:",omitempty"` // times as many rows tuning may choose; 0: halves and quarters
}

// logitsBytes is 320 rows of GPT-2's vocabulary, where a product's tiles fill a CPU's caches.
const logitsBytes = 64 << 20

// LookUpTarget is the geometry of kernels that look up a row and copy or add it.
type LookUpTarget struct {
	Threads int // of a workgroup
	Quads   int // per thread at most
}

// LayerNormTarget is the geometry of kernels with a workgroup per row.
type LayerNormTarget struct {
	Threads   int // of a workgroup at least; wider rows have up to 256
	Quads     int // per thread at most, where 256 threads hold the row
	Rows      int // per workgroup of the forward, one after another
	ThreadRow int // from this many rows on, the forward has a thread per row; 0: never
}

// SliceTarget says how many addends of its sums one dispatch of a backward product takes; 0: all. Slices add to the
// result, so they need it in float32. An algorithm may have long sums in a way of its own.
type SliceTarget struct{ DX, DW int }

func (s SliceTarget) of(op string) int {
	return map[string]int{"matmul_backward_dx": s.DX, "matmul_backward_dw": s.DW}[op]
}

// ProductRule is a tile and the products that it is for: the first rule that fits is taken.
type ProductRule struct {
	Tile      MatmulTile
	Forward   bool `json:",omitempty"` // only for matmul_forward
	MaxRows   int  `json:",omitempty"` // of the result; 0: any
	MinRows   int  `json:",omitempty"`
	MinCols   int  `json:",omitempty"`
	MinSums   int  `json:",omitempty"`
	MinGroups int  `json:",omitempty"`
}

// AttentionRule is a tile and what it is for.
type AttentionRule struct {
	Tile  AttentionTile
	MaxHS int // channels of a head
	MinT  int `json:",omitempty"` // tokens of context
}

// TargetFor returns the target of a device. It is the only function of this package, and of those above, that asks what
// a device is.
func TargetFor(info gpu.AdapterInfo, l gpu.Limits) Target {
	switch {
	case info.Software() && strings.Contains(info.Name, "llvmpipe"):
		return targetLavapipe().within(l)
	case info.Software():
		return targetCPU().within(l)
	}
	return targetOfGPU(info.Vendor, info.Name).on(info.Backend).within(l)
}

// OnCPU says whether the target is that of a device that computes on the CPU.
func (t Target) OnCPU() bool { return t.Name == "cpu" || t.Name == "lavapipe" }

// Targets returns every target as a device with these limits would have it, each once.
func Targets(l gpu.Limits) (all []Target) {
	for _, class := range gpus {
		for _, backend := range class.backends {
			t := class.target().on(backend).within(l)
			if !slices.ContainsFunc(all, func(x Target) bool { return x.Name == t.Name }) {
				all = append(all, t)
			}
		}
	}
	return append(all, targetCPU().within(l), targetLavapipe().within(l))
}

// within leaves out the rules that exceed a device's limits, or TileBytes. The last of each table stays.
func (t Target) within(l gpu.Limits) Target {
	t.GroupThreads, t.GroupBytes = int(l.MaxInvocations), int(l.MaxWorkgroupBytes)
	t.Products = fitting(t.Products, func(r ProductRule) bool { return t.Suits(r.Tile) }, 1)
	t.MoreProducts = fitting(t.MoreProducts, t.Suits, 0)
	t.Attention = fitting(t.Attention, t.runsRule, 1)
	t.MoreAttention = fitting(t.MoreAttention, t.runsRule, 0)
	return t
}

// fitting returns the lines that fit and in any case the last keep of them.
func fitting[T any](table []T, fits func(T) bool, keep int) (out []T) {
	for i, line := range table {
		if i >= len(table)-keep || fits(line) {
			out = append(out, line)
		}
	}
	return out
}

// Runs says whether the target's device has the threads and the workgroup memory that a tile needs, and the compiler.
func (t Target) Runs(m MatmulTile) bool {
	return m.Threads() <= t.GroupThreads && m.Bytes() <= t.GroupBytes && slices.Contains(t.Algorithms, m.Algorithm)
}

// Suits says whether a tile may stand in the target's tables: it runs, and TileBytes hold it.
func (t Target) Suits(m MatmulTile) bool {
	return t.Runs(m) && (t.TileBytes == 0 || m.Bytes() <= t.TileBytes)
}

func (t Target) runsRule(r AttentionRule) bool {
	return r.Tile.threads() <= t.GroupThreads && r.Tile.Bytes(r.MaxHS) <= t.GroupBytes &&
		slices.Contains(t.Algorithms, r.Tile.Algorithm)
}

// Tables is a hash of what decides on the order of sums: the target without its name, the device's limits and what only
// tuning may choose.
func (t Target) Tables() string {
	t.Name, t.Algorithms, t.GroupThreads, t.GroupBytes, t.TileBytes = "", nil, 0, 0, 0
	t.MoreProducts, t.MoreAttention = nil, nil
	hash := sha256.Sum256([]byte(Fingerprint(t)))
	return fmt.Sprintf("%x", hash[:8])
}

// Tiles returns the tiles of the table and those that tuning may choose beside them; few are only for few rows, which
// only matmul_forward has.
func (t Target) Tiles() (tiles, few []MatmulTile) {
	for _, r := range t.Products {
		if r.Forward {
			few = append(few, r.Tile)
		} else {
			tiles = append(tiles, r.Tile)
		}
	}
	return append(tiles, t.MoreProducts...), few
}

// Takes says whether the target's device has the compiler for all algorithms of another target.
func (t Target) Takes(other Target) bool {
	lacks := func(name string) bool { return !slices.Contains(t.Algorithms, name) }
	return !slices.ContainsFunc(other.Algorithms, lacks)
}

// WithProduct returns the target with one tile for all products.
func (t Target) WithProduct(m MatmulTile) Target {
	t.Products = []ProductRule{{Tile: m}}
	return t
}

// WithSlice returns the target with this many addends per dispatch of the backward products.
func (t Target) WithSlice(addends int) Target {
	t.Slice = SliceTarget{addends, addends}
	return t
}

// WithAttention returns the target with these rules for attention; those that the device does not run are left out.
func (t Target) WithAttention(rules ...AttentionRule) Target {
	t.Attention = fitting(rules, t.runsRule, 1)
	return t
}

// attentionFor returns the first tile that fits.
func (t Target) attentionFor(a attention) AttentionTile {
	return firstFit(t.Attention, func(r AttentionRule) bool { return r.fits(a) }).Tile
}

// firstFit returns the first rule that fits, else the last.
func firstFit[Rule any](rules []Rule, fits func(Rule) bool) Rule {
	if i := slices.IndexFunc(rules, fits); i >= 0 {
		return rules[i]
	}
	return rules[len(rules)-1]
}

func (r AttentionRule) fits(a attention) bool {
	return a.hs <= r.MaxHS && a.t >= r.MinT && r.Tile.algorithm().fits(a)
}

// productFor returns the first tile that fits the product.
func (t Target) productFor(m product) MatmulTile {
	return firstFit(t.Products, func(r ProductRule) bool { return r.fits(m) }).Tile
}

func (r ProductRule) fits(m product) bool {
	return r.Tile.algorithm().fits(r.Tile, m) && (!r.Forward || m.op == "matmul_forward") &&
		(r.MaxRows == 0 || m.rows <= r.MaxRows) &&
		m.rows >= r.MinRows && m.cols >= r.MinCols && m.sums >= r.MinSums &&
		max(1, m.batch)*ceilDiv(m.rows, r.Tile.Rows())*ceilDiv(m.cols, r.Tile.Cols()) >= r.MinGroups
}
