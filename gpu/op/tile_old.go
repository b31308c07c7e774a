package op

import (
	"encoding/json"
	"strings"
)

// Checkpoints and caches of earlier versions have tiles in other words. They are read as they were meant.

// UnmarshalJSON reads a tile. Before tiles named their algorithm, Split or a depth of the tiles meant it, and a
// geometry of panels stood by itself.
func (t *MatmulTile) UnmarshalJSON(raw []byte) error {
	type plain MatmulTile
	var old struct {
		plain
		Split bool
		Panel struct{ WG, TC4, KS4 int }
	}
	if err := json.Unmarshal(raw, &old); err != nil {
		return err
	}
	*t = MatmulTile(old.plain)
	switch {
	case t.Algorithm != "":
	case old.Split:
		t.Algorithm = "split"
	case t.BK > 0:
		t.Algorithm = "tiled"
	case old.Panel.WG > 0:
		*t = panelTile(old.Panel.WG, old.Panel.TC4, old.Panel.KS4)
	default:
		t.Algorithm = "direct"
	}
	return nil
}

// UnmarshalJSON reads a tile. Before tiles named their algorithm, Suffix was the end of the kernels' names.
func (t *AttentionTile) UnmarshalJSON(raw []byte) error {
	type plain AttentionTile
	var old struct {
		plain
		Suffix string
	}
	if err := json.Unmarshal(raw, &old); err != nil {
		return err
	}
	*t = AttentionTile(old.plain)
	if t.Algorithm == "" {
		t.Algorithm = strings.TrimPrefix(old.Suffix, "_")
	}
	if t.Algorithm == "step" {
		t.Algorithm = "walk"
	}
	if t.Algorithm == "tiled" && t.DQ.Spec.TQ == 0 { // without teams: this version has no such kernels
		*t = attentionTiled(64, t.Forward.Spec.TQ, 4*t.Forward.Spec.TQ) // with TQ 2 it may be for heads of 128
	}
	return nil
}
