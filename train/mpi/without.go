//go:build !mpi

package mpi

import (
	"fmt"

	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// open refuses, once: every rank runs the same program.
func open(l ranks.Launch) (ranks.Group, error) {
	if l.Rank > 0 {
		return nil, ranks.ErrElsewhere
	}
	return nil, fmt.Errorf("%s started %d ranks, but this gpt2wgpu was built without MPI; hint: `make mpi` builds "+
		"one with it", l.By, l.Size)
}
