package main

import (
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/isa"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
)

// TestKernels: a step's kernels are those of its target, products and attention say what a turn of their main loop is
// for, and their operations add up to the step's.
func TestKernels(t *testing.T) {
	target := op.Targets(limits())[0]
	var defaults, all kernels
	if err := defaults.addSteps("gpt2-124m", 0, target, false); err != nil {
		t.Fatal(err)
	}
	if err := all.addSteps("gpt2-124m", 1, target, true); err != nil {
		t.Fatal(err)
	}
	flops := map[string]float64{}
	for _, k := range defaults.all {
		if !k.isDefault || all.text[k.WGSL] == nil {
			t.Errorf("%s: default %v, among all %v", k.Label, k.isDefault, all.text[k.WGSL] != nil)
		}
		name, _, _ := strings.Cut(k.Label, "/")
		if strings.HasSuffix(name, "_tiled") && (k.MACs <= 0 || k.MACs%k.Threads != 0 || k.Staged <= 0) {
			t.Errorf("%s: a turn has %d multiply-adds and stores %d bytes", k.Label, k.MACs, k.Staged)
		}
		for storage, n := range k.flops {
			flops[storage] += n
		}
	}
	// 16 x 1024 tokens: 6 of each of 84.9M weights of the blocks and 38.6M of the classifier, a token; attention's nine
	// products of (1024,1024,64) halves, 144 heads a sequence.
	want := 16*1024*6*(84.9e6+38.6e6) + 9*16*144*1024*1024*64
	for _, storage := range storages {
		if flops[storage] < 0.99*want || flops[storage] > 1.01*want {
			t.Errorf("%s: %.4g operations, want %.4g", storage, flops[storage], want)
		}
	}
	if len(all.all) <= len(defaults.all) || all.all[len(all.all)-1].isDefault {
		t.Errorf("%d kernels with those that tuning may choose, %d by default", len(all.all), len(defaults.all))
	}
}

// TestRoles: a text that the self-test forces on a target has the role of its tile there.
func TestRoles(t *testing.T) {
	targets := op.Targets(limits())
	nvidia, lavapipe := targets[0], targets[len(targets)-1]
	if nvidia.MoreProducts == nil || nvidia.MoreAttention == nil {
		t.Fatal("nothing to tune")
	}
	for _, c := range []struct {
		name   string
		forced op.Target
		want   role
	}{
		{"its own", nvidia, ordinary},
		{"its own tile", nvidia.WithProduct(nvidia.Products[0].Tile), ordinary},
		{"its own tile in slices", nvidia.WithSlice(64), ordinary},
		{"a tuned product", nvidia.WithProduct(nvidia.MoreProducts[0]), tuned},
		{"a tuned attention", nvidia.WithAttention(nvidia.MoreAttention[len(nvidia.MoreAttention)-1]), tuned},
		{"lavapipe's product", nvidia.WithProduct(lavapipe.Products[0].Tile), foreign},
	} {
		if got := roleOf(nvidia, c.forced); got != c.want {
			t.Errorf("%s: role %v, want %v", c.name, got, c.want)
		}
	}
}

// TestCheck: the rules say which of them is broken.
func TestCheck(t *testing.T) {
	of := func(family, label string, isDefault bool, spills int, step float64) report {
		k := row{isa.Kernel{Label: label, Spills: spills}, isDefault}
		return report{Family: family, Kernels: []row{k}, Step: map[string]float64{"bf16": step, "f32": step}}
	}
	for _, c := range []struct {
		report report
		rules  int
		want   []string
	}{
		{of("navi21", "matmul_tiled/a", true, 0, 1), 3, nil},
		{of("navi21", "matmul_tiled/a", false, 9, 1), 3, nil},
		{of("navi21", "adamw/a", true, 9, 1), 3, []string{"navi21: default kernels spill registers: adamw/a (9)"}},
		{of("navi21", "adamw/a", true, 0, floors["navi21"]["bf16"]-0.01), 3, []string{
			"navi21: the step's bound in bf16 is", "navi21: the step's bound in f32 is"}},
		{of("tgl", "attention_backward_dkv_tiled/a", true, 9, 0), 1, nil},
		{of("tgl", "attention_forward_tiled/a", true, 9, 0), 1, []string{"tgl: default kernels spill registers: "}},
	} {
		got, rules := c.report.check()
		if len(got) != len(c.want) || rules != c.rules {
			t.Errorf("%+v: %q of %d rules, want %q of %d", c.report, got, rules, c.want, c.rules)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(got[i], want) {
				t.Errorf("%+v: %q, want %q", c.report, got[i], want)
			}
		}
	}
}
