package op

import "github.com/gpt2wgpu/gpt2wgpu/gpu"

// Setup is what the programs of a model share. Its fields may be changed until the first program is made.
type Setup struct {
	Target Target    // kernels and geometries; NewSetup takes those that suit the device
	Tuning Tuning    // tiles that measuring has chosen instead of the target's
	OnUse  func(Use) // if not nil, it is called with each use of a tuned op that is added to a program

	dev    *gpu.Device
	panels *panels // made at the first use
}

// NewSetup returns the setup that suits d, without a tuning.
func NewSetup(d *gpu.Device) *Setup { return &Setup{Target: TargetFor(d.Info, d.Limits), dev: d} }

// NewProgram returns an empty program.
func (s *Setup) NewProgram(name string) *Builder { return &Builder{s.dev.NewProgram(name), s} }

// Free releases the scratch that programs of the setup share. They must have ended (Device.Wait).
func (s *Setup) Free() {
	if s.panels != nil {
		s.dev.Free(s.panels.a, s.panels.sums)
		s.panels = nil
	}
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
