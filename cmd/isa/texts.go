package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// indexed is an entry of index.json: a text in one of its roles.
type indexed struct {
	File    string   `json:"file"`
	Kernel  string   `json:"kernel"`
	Label   string   `json:"label"`
	Targets []string `json:"targets"`
	Default bool     `json:"default"` // of these targets; else tuning may choose it there
}

// writeTexts writes the texts that any target can use to dir, and index.json.
func writeTexts(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var index []*indexed
	known := map[string]*indexed{} // by role and text
	for _, target := range op.Targets(limits()) {
		ks, err := targetKernels(target)
		if err != nil {
			return fmt.Errorf("%s: %w", target.Name, err)
		}
		for _, k := range ks.all {
			key := fmt.Sprint(k.isDefault, k.WGSL)
			e := known[key]
			if e == nil {
				name, _, _ := strings.Cut(k.Label, "/")
				file := strings.NewReplacer("/", "-", "=", "").Replace(k.Label) + ".wgsl"
				e = &indexed{File: file, Kernel: name, Label: k.Label, Default: k.isDefault}
				known[key], index = e, append(index, e)
				if err := os.WriteFile(filepath.Join(dir, file), []byte(k.WGSL), 0o666); err != nil {
					return err
				}
			}
			e.Targets = append(e.Targets, target.Name)
		}
	}
	raw, err := json.MarshalIndent(index, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "index.json"), append(raw, '\n'), 0o666)
}

// targetKernels returns the kernels that a target can use: those of every preset's step and of what tuning may choose
// there, and those of the self-test, which has every other op and shape.
func targetKernels(target op.Target) (ks kernels, err error) {
	for _, p := range train.Presets {
		if err := ks.addSteps(p.Name, 1, target, true); err != nil {
			return ks, err
		}
	}
	for _, e := range selftest.CatalogueFor(target, limits()) {
		p, forced, err := e.Plan(target, limits())
		if err != nil {
			return ks, err
		}
		if r := roleOf(target, forced); r != foreign {
			p.Each(func(d gpu.Dispatch) { ks.add(d, r == ordinary) })
		}
	}
	return ks, nil
}

type role int

const (
	ordinary role = iota // tiles of the target's tables
	tuned                // tiles that tuning may choose
	foreign              // another target's
)

// roleOf says whose tiles a case of the self-test forces on a target.
func roleOf(target, forced op.Target) (r role) {
	for _, f := range forced.Products {
		if slices.ContainsFunc(target.Products, func(o op.ProductRule) bool { return o.Tile == f.Tile }) {
			continue
		}
		r = max(r, tuned)
		if !slices.Contains(target.MoreProducts, f.Tile) {
			r = foreign
		}
	}
	for _, f := range forced.Attention {
		same := func(o op.AttentionRule) bool { return o.Tile == f.Tile }
		if slices.ContainsFunc(target.Attention, same) {
			continue
		}
		r = max(r, tuned)
		if !slices.ContainsFunc(target.MoreAttention, same) {
			r = foreign
		}
	}
	return r
}
