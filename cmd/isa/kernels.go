package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/isa"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model"
	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// kernel is a text that a target can use.
type kernel struct {
	isa.Text
	isDefault bool               // not only when tuning chooses it
	flops     map[string]float64 // of a micro-step, by storage
}

// limits are those of GPUs today.
func limits() gpu.Limits {
	return gpu.Limits{
		MaxBufferSize: 1<<32 - 256, MaxBindingSize: 1<<31 - 256, OffsetAlignment: 256, MaxGroups: 65535,
		MaxInvocations: 1024, MaxWorkgroupBytes: 64 << 10, MaxStorageBuffers: 32,
	}
}

// kernels collects texts by what they say.
type kernels struct {
	all  []*kernel
	text map[string]*kernel
}

func (ks *kernels) add(d gpu.Dispatch, isDefault bool) *kernel {
	k := ks.text[d.Source.WGSL]
	if k == nil {
		k = &kernel{Text: isa.Text{Text: d.Source}, isDefault: isDefault, flops: map[string]float64{}}
		k.MACs, k.Staged = turn(d)
		if ks.text == nil {
			ks.text = map[string]*kernel{}
		}
		ks.text[d.Source.WGSL], ks.all = k, append(ks.all, k)
	}
	k.isDefault = k.isDefault || isDefault
	return k
}

var number = regexp.MustCompile(`/([A-Z]+\d?)=(\d+)`)

// turn returns the multiply-adds that a workgroup has to do in a turn of the main loop of a tiled kernel, and the bytes
// of the tiles that it works on. Products without tiles have as many as their code, other kernels none.
func turn(d gpu.Dispatch) (macs, staged int) {
	n := map[string]int{}
	for _, m := range number.FindAllStringSubmatch(d.Source.Label, -1) {
		n[m[1]], _ = strconv.Atoi(m[2])
	}
	name, _, _ := strings.Cut(d.Source.Label, "/")
	if name == "matmul_tiled" {
		rows, cols := n["WY"]*n["TM"], n["WX"]*n["TN4"]*4
		return rows * cols * n["BK"], 4 * n["BK"] * (rows + cols)
	}
	products := map[string]int{"attention_forward_tiled": 2, "attention_backward_dq_tiled": 3,
		"attention_backward_dkv_tiled": 4}[name]
	if products == 0 {
		if d.FLOPs > 0 && (strings.HasPrefix(name, "matmul") || strings.HasPrefix(name, "attention")) {
			return -1, 0
		}
		return 0, 0
	}
	depth := max(n["BK"], n["BQ"])
	t := d.Bind["lse"].Dim(2)
	rows := t / int(d.Groups[0])
	return products * rows * depth * n["HS"], 4 * depth * n["HS"] * 2
}

// storages are those of activations and of the matrices that kernels read.
var storages = []string{"bf16", "f32"}

// addSteps adds the kernels of a preset's step on a target, those of Muon's update beside it, and with candidates those
// that tuning may choose. The model has this many layers, or with 0 the preset's.
func (ks *kernels) addSteps(preset string, layers int, target op.Target, candidates bool) error {
	p, err := train.FindPreset(preset)
	if err != nil {
		return err
	}
	uses := map[string]op.Use{}
	for _, storage := range storages {
		j := train.Job{Config: p.Config}
		j.DType, j.TotalBatchSize = storage, 0
		if layers > 0 {
			j.NLayer = layers
		}
		noted := model.OnUse(func(u op.Use) { uses[u.Class+u.Detail] = u })
		s, err := train.NewStep(gpu.Plan(gpu.AdapterInfo{Limits: limits()}), j, model.WithTarget(target), noted)
		if err != nil {
			return err
		}
		for _, p := range s.Programs() {
			p.Each(func(d gpu.Dispatch) { ks.add(d, true).flops[storage] += d.FLOPs })
		}
		j.Optimizer, j.BatchSize, j.SeqLen = "muon", 1, 64 // only the update counts
		s, err = train.NewStep(gpu.Plan(gpu.AdapterInfo{Limits: limits()}), j, model.WithTarget(target))
		if err != nil {
			return err
		}
		s.Optimizer.Program().Each(func(d gpu.Dispatch) { ks.add(d, true) })
	}
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		if u := uses[name]; candidates && u.Op != "classifier" { // its candidates are other shapes
			if err := ks.addCandidates(target, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// addCandidates adds the kernels that tuning may choose for a use.
func (ks *kernels) addCandidates(target op.Target, u op.Use) error {
	d := gpu.Plan(gpu.AdapterInfo{Limits: limits()})
	tensors := map[string]gpu.Tensor{}
	for name, o := range u.Tensors {
		t, err := d.NewTensor(gpu.Scratch, name, o.Storage, o.Shape...)
		if err != nil {
			return err
		}
		tensors[name] = t
	}
	for _, tile := range op.Candidates(target, u) {
		setup := op.NewSetup(d)
		setup.Target, setup.Tuning = target, op.Tuning{u.Class: tile}
		p := setup.NewProgram(u.Class)
		u.AddTo(p, tensors)
		if err := p.Err(); err != nil {
			return fmt.Errorf("%v: %w", tile, err)
		}
		p.Each(func(d gpu.Dispatch) { ks.add(d, false) })
	}
	return nil
}
