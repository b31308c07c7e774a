package op_test

import (
	"fmt"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/selftest"
)

func TestElementwise(t *testing.T) { storages(elementwise)(t, gputest.New) }

func elementwise(t *testing.T, newCase maker, s gpu.Storage) {
	for _, shape := range [][]int{{4}, {3, 84}, {256}, {13, 20}, {1020}, {1024}, {257, 4}} { // groups of 64 and 256 quads
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			selftest.Elementwise(newCase(t), s, shape...)
		})
	}
}
