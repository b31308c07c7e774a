package op

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// Setup is what the programs of a model share. Its fields may be changed until the first program is made.
type Setup struct {
	Target Target    // kernels and geometries; NewSetup takes those that suit the device
	Tuning Tuning    // tiles that measuring has chosen instead of the target's
	OnUse  func(Use) // if not nil, it is called with each use of a tuned op that is added to a program

	dev     *gpu.Device
	scratch map[string]gpu.Tensor // that programs share, by name; made at the first use
}

// NewSetup returns the setup that suits d, without a tuning.
func NewSetup(d *gpu.Device) *Setup { return &Setup{Target: TargetFor(d.Info, d.Limits), dev: d} }

// NewProgram returns an empty program.
func (s *Setup) NewProgram(name string) *Builder { return &Builder{s.dev.NewProgram(name), s} }

// Free releases the scratch that programs of the setup share. They must have ended (Device.Wait).
func (s *Setup) Free() {
	for _, t := range s.scratch {
		s.dev.Free(t)
	}
	s.scratch = nil
}

// Builder is a program to which ops are added.
type Builder struct {
	*gpu.Program
	*Setup
}

// tuned reports a use and returns the tile that measuring has chosen for it, the zero Tile if it has chosen none.
func (s *Setup) tuned(use func() Use) Tile {
	if s.OnUse == nil && len(s.Tuning) == 0 {
		return Tile{}
	}
	u := use()
	if s.OnUse != nil {
		s.OnUse(u)
	}
	return s.Tuning[u.Class]
}

// allocator is gpu.Device's NewTensor or NewUniform.
type allocator func(role gpu.Role, name string, storage gpu.Storage, shape ...int) (gpu.Tensor, error)

// shared returns the float32 scratch of this name and shape, which all programs of a setup share: they run one after
// the other. An allocation that fails is recorded in the program.
func (p *Builder) shared(name string, alloc allocator, shape ...int) gpu.Tensor {
	if t, ok := p.scratch[name]; ok || p.Err() != nil {
		return t
	}
	t, err := alloc(gpu.Scratch, name, gpu.F32, shape...)
	if err != nil {
		p.Fail("%w", err)
		return t
	}
	if p.scratch == nil {
		p.scratch = map[string]gpu.Tensor{}
	}
	p.scratch[name] = t
	return t
}

// wantQuads records an error unless c values, the named dimension, are whole quads.
func (p *Builder) wantQuads(op, dim string, c int) {
	if c%4 != 0 {
		p.Fail("%s: %s = %d, want a multiple of 4", op, dim, c)
	}
}
